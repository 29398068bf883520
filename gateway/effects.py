"""What a call wants done: the outputs of ``gateway.call``, in the imperative.

``SendUp`` goes to the bus, ``SendAudio SendMark SendKeys ClearAudio EndLeg`` to the leg, the rest is
kept by the runner for metrics and the call's record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from wire.ids import TurnId
from wire.messages import Decision, Playback, Transcript, UpMessage


@dataclass(frozen=True, slots=True)
class SendUp:
    message: UpMessage


@dataclass(frozen=True, slots=True)
class SendAudio:
    """Bytes in the leg's codec, to be played after what it already has."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class SendMark:
    """Ask the leg to report when everything sent so far has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class SendKeys:
    """Press keys on the leg: the agent works a menu at the other end, or opens a door."""

    keys: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Drop at once what the leg has not played yet."""


@dataclass(frozen=True, slots=True)
class EndLeg:
    """Let go of the caller.

    The agent's wish: ``hangup``, ``transfer`` (argument ``to``), ``voicemail``; ours: ``failed``, with an
    apology, and ``dead`` for a leg at whose end nobody is.
    """

    action: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoteDecision:
    """One record of the decision log. ``latency_s``: chunk complete to decision here; ``at_s``: into the call."""

    decision: Decision
    latency_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteFirstAudio:
    """A turn becomes audible. ``latency_s``: the chunk that made the model speak complete, to audio on the leg."""

    turn: TurnId
    latency_s: float
    at_s: float


class TurnEnd(Enum):
    """Why a turn is over."""

    PLAYED = "played"
    BARGED_IN = "barged_in"
    SUPERSEDED = "superseded"
    CALL_ENDED = "call_ended"


@dataclass(frozen=True, slots=True)
class NoteTurnEnded:
    """A turn is over; ``ledger.played`` is what was heard of it.

    ``stop_s`` is, for a barge-in, the time from the caller's onset to the clear.
    """

    ledger: Playback
    end: TurnEnd
    text_heard: str
    text_unheard: str
    at_s: float
    stop_s: float | None = None


@dataclass(frozen=True, slots=True)
class NoteTranscript:
    transcript: Transcript
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteDropped:
    """A message of the worker was not used. ``reason`` takes few values."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoteEnded:
    """The call is over; nothing follows. ``reason`` takes few values."""

    reason: str
    duration_s: float


Effect = (
    SendUp
    | SendAudio
    | SendMark
    | SendKeys
    | ClearAudio
    | EndLeg
    | NoteDecision
    | NoteFirstAudio
    | NoteTurnEnded
    | NoteTranscript
    | NoteDropped
    | NoteEnded
)
