"""What can happen to a call besides media: the inputs of ``gateway.call``, facts in the past tense."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wire.bus.seam import Lease
from wire.messages import DownMessage

MAX_KEYS = 64
_KEYS = frozenset("0123456789*#ABCD")


def is_keys(text: str) -> bool:
    """True for one or more keys of a telephone (RFC 4733 §3.2)."""
    return 0 < len(text) <= MAX_KEYS and _KEYS.issuperset(text)


@dataclass(frozen=True, slots=True)
class WorkerSaid:
    """A message of the worker that holds the call's lease."""

    message: DownMessage


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """The worker does not live, or the lease on it is lost. ``reason`` takes few values."""

    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Another worker holds the call's lease from now on."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class BusAway:
    """The bus does not answer: what workers owe is not their fault."""


@dataclass(frozen=True, slots=True)
class BusBack:
    """The bus is back: workers begin to answer now."""


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """The leg played everything up to a mark, or dropped it after a clear; the call can tell which."""

    name: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The caller is gone: hung up, or the leg broke. ``reason`` takes few values."""

    reason: str


@dataclass(frozen=True, slots=True)
class LegAway:
    """The way to the caller broke and may come back: what is said now, nobody hears."""


@dataclass(frozen=True, slots=True)
class LegBack:
    """There is a way to the caller again."""


@dataclass(frozen=True, slots=True)
class GatewayStopping:
    """The gateway ends the call: drain limit reached."""

    reason: str = "gateway_stopping"


@dataclass(frozen=True, slots=True)
class LegMeasured:
    """How far away the caller is; told once per turn, while the turn is young."""

    round_trip_s: float


@dataclass(frozen=True, slots=True)
class OperatorSaid:
    """An operator wants the agent to say these words now."""

    text: str


@dataclass(frozen=True, slots=True)
class OperatorMuted:
    """An operator silences the agent, or gives it its voice back. The agent goes on listening and deciding."""

    on: bool


@dataclass(frozen=True, slots=True)
class OperatorEnded:
    """An operator hangs up, or hands the caller on (argument ``to``), without a further word of the agent."""

    action: Literal["hangup", "transfer"]
    arguments: Mapping[str, str] = field(default_factory=dict)


CallEvent = (
    WorkerSaid
    | WorkerGone
    | Moved
    | BusAway
    | BusBack
    | MarkPlayed
    | KeyPressed
    | LegAway
    | LegBack
    | LegEnded
    | GatewayStopping
    | LegMeasured
    | OperatorSaid
    | OperatorMuted
    | OperatorEnded
)
