"""What a call wants done: the outputs of ``gateway.call``, in the imperative.

``SendUp SendAgain`` go to the bus, ``SeekWorker`` to placement, ``SendAudio SendMark SendKeys ClearAudio EndLeg`` to
the leg, the rest is kept by the runner for metrics and the call's record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from wire.ids import TurnId, WorkerId
from wire.messages import Decision, Playback, SoundEvent, Transcript, Translation, UpMessage


@dataclass(frozen=True, slots=True)
class SendUp:
    message: UpMessage
    to: WorkerId


@dataclass(frozen=True, slots=True)
class SendAgain:
    """As ``SendUp``, of what another worker was told before."""

    message: UpMessage
    to: WorkerId


@dataclass(frozen=True, slots=True)
class SeekWorker:
    """Lease another worker and tell the call by ``Moved``. ``reason``: why the one it has will not do."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendAudio:
    """Bytes in the leg's codec, to be played after what it already has.

    ``at_s``: when the caller begins to hear them, seconds since the call began. Within a turn the
    pieces follow each other to the sample, except after an underrun.
    """

    payload: bytes
    at_s: float


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
    """Drop at once what the leg has not played yet.

    ``taken_back_samples`` of it the leg will be given again, within the same turn.
    """

    taken_back_samples: int = 0


@dataclass(frozen=True, slots=True)
class EndLeg:
    """Let go of the caller.

    The wish of the agent or of an operator: ``hangup``, ``transfer`` (argument ``to``), ``voicemail``; ours:
    ``failed``, with an apology, and ``dead`` for a leg at whose end nobody is.
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
class NoteMissing:
    """No decision will come for chunk ``index``: one on a later chunk came first, or too many are awaited."""

    index: int
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteMoved:
    """Another worker serves the call from now on; the one before was given up ``sought_s`` ago for ``reason``."""

    worker: WorkerId
    reason: str
    sought_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteTurnOpened:
    """The agent takes the floor; the caller hears nothing of it yet."""

    turn: TurnId
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteFirstAudio:
    """A turn becomes audible. ``latency_s``: the chunk that made the model speak complete, to audio on the leg."""

    turn: TurnId
    latency_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class ReplyTrace:
    """Where the time of one reply went, from the caller's last word to the caller hearing the first sound.

    The parts follow one another. ``total_s`` is measured on its own, so that what they miss of it shows.
    ``at_s``: when the caller heard the reply begin, into the call. ``turn/reply_trace.py`` tells how each is measured.
    """

    turn: TurnId
    at_s: float
    jitter_buffer_s: float
    """The caller's last word was later here than the quickest audio of the seconds before it."""
    endpoint_s: float
    """From that word being here to the chunk being complete after which the model spoke."""
    bus_up_s: float
    queue_s: float
    """The worker's scheduler."""
    compute_s: float
    """The engine's step."""
    bus_down_s: float
    voice_s: float
    """From the decision being here to the first piece of the voice being here."""
    playout_s: float
    """From there to the leg having it."""
    leg_s: float
    """From there to the caller's ear."""
    total_s: float

    def parts(self) -> tuple[tuple[str, float], ...]:
        """Each part with its name, in the order in which they happen."""
        return (
            ("jitter_buffer", self.jitter_buffer_s),
            ("endpoint", self.endpoint_s),
            ("bus_up", self.bus_up_s),
            ("queue", self.queue_s),
            ("compute", self.compute_s),
            ("bus_down", self.bus_down_s),
            ("voice", self.voice_s),
            ("playout", self.playout_s),
            ("leg", self.leg_s),
        )


@dataclass(frozen=True, slots=True)
class NoteReply:
    """The caller hears a reply to what he said. Comes once per such turn, after ``NoteFirstAudio``."""

    trace: ReplyTrace


class TurnEnd(Enum):
    """Why a turn is over."""

    PLAYED = "played"
    BARGED_IN = "barged_in"
    SUPERSEDED = "superseded"
    MUTED = "muted"
    LEG_LOST = "leg_lost"
    RUNAWAY = "runaway"
    """It had no end, or went round in circles."""
    CALL_ENDED = "call_ended"


class OverlapEnd(StrEnum):
    """What became of sound of the caller over the agent's voice."""

    KEPT = "kept"
    """The voice was lowered and came back; nothing of it was lost."""
    RESUMED = "resumed"
    """The voice was stopped, and went on from the word it was stopped in."""
    YIELDED = "yielded"
    """The caller took the floor."""
    PASSED = "passed"
    """The turn was over before it was decided."""


@dataclass(frozen=True, slots=True)
class NoteDucked:
    """The agent's voice is lowered: the caller began to sound over it at ``onset_at_s``."""

    turn: TurnId
    onset_at_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteOverlap:
    """An overlap is over. It was ducked from ``ducked_at_s`` on; times into the call.

    ``stopped_at_s``: the voice was stopped then, None if it never was. ``at_s``: it came back, or the turn ended.
    """

    turn: TurnId
    end: OverlapEnd
    onset_at_s: float
    ducked_at_s: float
    stopped_at_s: float | None
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteEcho:
    """The caller's line sends back what the agent says, so far below it; from now on it is taken out."""

    return_loss_db: float
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteAlarm:
    """A watchdog barks (``gateway.turn.watchdog``)."""

    alarm: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteTurnEnded:
    """A turn is over; ``ledger.played`` is what was heard of it.

    For a barge-in, ``onset_at_s`` is when the caller began to speak and ``stop_s`` the time from there to
    the clear. ``estimated``: the voice gave no word timings, so the words are split by their share of the sound.
    """

    ledger: Playback
    end: TurnEnd
    text_heard: str
    text_unheard: str
    at_s: float
    stop_s: float | None = None
    onset_at_s: float | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class NoteTranscript:
    transcript: Transcript
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteTranslation:
    translation: Translation
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteSound:
    """The worker's model heard something other than speech."""

    sound: SoundEvent
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteKey:
    """The caller pressed a key. What callers press is theirs: never log it bare."""

    digit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NoteMuted:
    """An operator muted the agent, or gave it its voice back."""

    on: bool
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
    | SendAgain
    | SeekWorker
    | SendAudio
    | SendMark
    | SendKeys
    | ClearAudio
    | EndLeg
    | NoteDecision
    | NoteMissing
    | NoteMoved
    | NoteTurnOpened
    | NoteFirstAudio
    | NoteReply
    | NoteDucked
    | NoteOverlap
    | NoteEcho
    | NoteAlarm
    | NoteTurnEnded
    | NoteTranscript
    | NoteTranslation
    | NoteSound
    | NoteKey
    | NoteMuted
    | NoteDropped
    | NoteEnded
)
