"""What the runner asks of a door: the seam every transport fills."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wire.audio.codecs import Codec


@dataclass(frozen=True, slots=True)
class PlayoutProfile:
    """How a door wants its audio.

    ``lead_s``: how far ahead of the caller's ear the leg is kept. ``piece_s``: the least it is
    topped up by, except for the tail of a turn. ``marks``: the leg tells when a piece was played.
    """

    lead_s: float
    piece_s: float
    marks: bool


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What a door knows of a call before it is answered. Numbers are the caller's: never log them bare."""

    door: str
    codec: Codec
    playout: PlayoutProfile
    agent: str
    caller: str = ""
    callee: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Untrusted words from outside."""
    echoes: bool = False
    """The line may send back what it plays: a telephone. Browsers cancel their echo themselves."""
    returns: bool = False
    """When this gateway is gone, the leg comes back to another one."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """How well the caller's audio reaches us, since the leg began.

    ``lost``: packets that were not there when they were due, whether they came later or never; ``received``: the
    others. ``buffer_s``: how long a missing packet is waited for now; what comes in order does not wait.
    ``mos``: see ``rtp.quality``; None before the first packet.
    """

    received: int
    lost: int
    jitter_s: float
    buffer_s: float
    round_trip_s: float | None
    mos: float | None

    @property
    def loss(self) -> float:
        """The part of the packets that were not played, 0 to 1."""
        expected = self.received + self.lost
        return self.lost / expected if expected else 0.0


class Leg(Protocol):
    """The caller's side of one call, as the runner drives it. No method blocks or raises."""

    def send_audio(self, payload: bytes) -> None:
        """Play bytes of the leg's codec after what was sent before."""

    def send_mark(self, name: str) -> None:
        """Report ``MarkPlayed(name)`` once everything sent so far was played."""

    def send_keys(self, keys: str) -> None:
        """Press keys, one after the other; a door that cannot ignores it."""

    def clear(self) -> None:
        """Drop what was sent and not played yet."""

    def end(self, action: str, arguments: Mapping[str, str]) -> None:
        """Hang up or hand on, see ``effects.EndLeg``. A leg that is gone already ignores it."""

    def quality(self) -> LegQuality | None:
        """How well the caller is heard; None where the door cannot know. Costs too much for every packet."""
