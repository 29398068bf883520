"""What can happen to a call besides media: the inputs of ``gateway.call``, facts in the past tense."""

from dataclasses import dataclass

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
class GatewayStopping:
    """The gateway ends the call: drain limit reached."""

    reason: str = "gateway_stopping"


CallEvent = WorkerSaid | MarkPlayed | KeyPressed | LegEnded | GatewayStopping
