"""Every message between a gateway and a model worker.

Up (gateway to worker): ``CallOpened AudioChunk TurnCancelled Dtmf CallClosed Say``.
Down (worker to gateway): ``Decision SpeechChunk TurnDone Transcript Translation ToolCall
SoundEvent CallFailed WorkerDraining CallRules Snapshot WorkerBeat``.

Each carries the call, the epoch (grows by one at every hand-over of the call to
another worker, so that a worker which lost it cannot speak into it) and ``seq``,
which counts the messages of one call, epoch and direction from 0 without a gap.

Structs travel as arrays: a field may be added at the end, with a default, within
one wire version, and a message with a tag of its own; anything else is a new version
(``wire.codec.VERSION``). A frame with an unknown tag is damaged to its reader: counted, and no more.
Durations are seconds, positions are samples at the rate of the call's codec.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from wire.audio.codecs import Codec
from wire.ids import NO_TURN, CallId, GatewayId, TurnId, WorkerId

Count = Annotated[int, Meta(ge=0, lt=2**53)]
Index = Annotated[int, Meta(ge=0, lt=2**32)]
Turn = Annotated[TurnId, Meta(ge=0, lt=2**32)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Probability = Annotated[float, Meta(ge=0, le=1)]
MAX_SAY_CHARS = 1_000  # more than a minute of speech
MAX_STATE_BYTES = 64 * 1024  # of one call in an engine: words and counts, no tensors


class DecisionKind(StrEnum):
    """What a duplex model chose after one chunk."""

    LISTEN = "listen"
    SPEAK = "speak"


class Floor(StrEnum):
    """What a model makes of sound of the caller over its own voice."""

    YIELD = "yield"
    """The caller takes the floor: stop."""
    KEEP = "keep"
    """An acknowledgement, a cough, somebody else: go on."""


class Voice(StrEnum):
    """Whose words a transcript holds."""

    CALLER = "caller"
    AGENT = "agent"


class Message(Struct, frozen=True, array_like=True):
    """What every message carries; never sent by itself."""

    call: CallId
    epoch: Index
    seq: Count


class Playback(Struct, frozen=True, array_like=True):
    """The playback ledger of one turn, in samples: ``generated >= sent >= played``.

    ``generated`` reached the gateway, ``sent`` left it towards the caller, ``played``
    is what the caller has heard by now (a lower bound where the leg acknowledges late).
    """

    turn: Turn
    generated: Count
    sent: Count
    played: Count


class OverlapRules(Struct, frozen=True, array_like=True):
    """How sound of the caller over the agent's voice is treated: duck at once, then decide.

    ``gateway.turn.overlap`` walks them; an agent file may set them (docs/AGENTS.md).
    """

    duck_db: Annotated[float, Meta(ge=0, le=60)] = 20.0
    """How far the agent's voice is lowered while it is undecided whose turn it is."""
    trigger_frames: Annotated[int, Meta(ge=1, le=50)] = 2
    """So many of the last ``trigger_window`` frames of 20 ms must be speech for the voice to be lowered."""
    trigger_window: Annotated[int, Meta(ge=1, le=50)] = 3
    over_after_s: Annotated[float, Meta(gt=0, le=5)] = 0.24
    """So much quiet ends an overlap: no pause within a word is longer."""
    model_judges: bool = False
    """The engine says yield or keep (``Decision.floor``); the lengths below then count only when it stays silent."""
    judged_within_s: Annotated[float, Meta(gt=0, le=10)] = 1.6
    """How long after its begin an overlap waits for the engine's judgement."""
    stop_after_s: Annotated[float, Meta(gt=0, le=10)] = 0.6
    """Speech this long stops the voice; a shorter overlap was an acknowledgement ("mhm", "right") or a cough."""
    sure_after_s: Annotated[float, Meta(gt=0, le=10)] = 0.8
    """Speech this long takes the floor for good; a shorter one that stopped the voice gives it back."""


class Line(Struct, frozen=True, array_like=True):
    """What one side said, as far as it was heard."""

    voice: Voice
    text: str


class Past(Struct, frozen=True, array_like=True):
    """What a gateway has of a call when it moves it to another worker; a replay of its chunk log follows.

    The replay makes the engine what it was in the worker before, and brings out nothing that is here already.
    """

    decided_below: Index
    """Chunks below it were decided on. Beyond these chunks nothing is repeated: they have not been answered yet."""
    told: Count = 0
    """How many transcripts, translations, sound events and tool calls came with the last of those decisions."""
    turn: Turn = NO_TURN
    """The newest turn."""
    generated: Count = 0
    """So many samples of it are here."""
    open: bool = False
    """More of it is awaited: the gateway has no ``TurnDone`` of it, and did not cancel it."""
    checksum: Count = 0
    """CRC-32 of those samples: an engine that says something else now must not go on in the middle of it."""
    state: Annotated[bytes, Meta(max_length=MAX_STATE_BYTES)] = b""
    """The newest ``Snapshot``; empty when there was none."""
    exact: bool = True
    """The replay follows on the snapshot, or begins with the call: nothing is missing, and turns keep their numbers.
    Else the engine goes on from ``state`` or from ``said``, numbers turns after ``turn``, and ends that one."""
    said: Annotated[tuple[Line, ...], Meta(max_length=256)] = ()
    """The conversation in words, oldest first."""


class CallOpened(Message, frozen=True, array_like=True, tag=1):
    """A call begins, or begins again with a higher epoch, at this worker."""

    gateway: GatewayId
    codec: Codec
    agent: str
    caller: str = ""
    callee: str = ""
    variables: dict[str, str] = {}
    past: Past | None = None
    """Of a call that was served by another worker before."""


class AudioChunk(Message, frozen=True, array_like=True, tag=2):
    """One whole chunk of what the caller said, without holes.

    ``index`` counts chunks of the call from 0 across epochs; ``start_samples`` is the
    media time of its first sample. ``age_s`` is how long ago its last sample reached
    the gateway when the message was written.
    """

    index: Index
    start_samples: Count
    age_s: Seconds
    payload: bytes
    playback: Playback | None = None
    overlap_s: Seconds = 0.0
    """How long ago the caller began to sound over the agent's voice, while whose turn it is is undecided; else 0."""


class TurnCancelled(Message, frozen=True, array_like=True, tag=3):
    """The gateway stopped a turn: the caller heard its first ``heard_samples``, no more."""

    turn: Turn
    heard_samples: Count
    cause: str


class Dtmf(Message, frozen=True, array_like=True, tag=4):
    """The caller pressed a key: one of ``0-9 * # A-D`` (RFC 4733, section 3.2)."""

    digit: Annotated[str, Meta(pattern="^[0-9*#A-D]$")]
    at_samples: Count


class CallClosed(Message, frozen=True, array_like=True, tag=5):
    """The call is over, or no longer this worker's."""

    reason: str


class Say(Message, frozen=True, array_like=True, tag=6):
    """An operator wants the agent to say this now, in a turn of its own, whatever it is saying."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_SAY_CHARS)]


class Decision(Message, frozen=True, array_like=True, tag=17):
    """What the model chose after chunk ``index``: exactly one per chunk, in order.

    ``turn`` is the open turn, 0 while none is. ``chunk_age_s`` is the time from the
    chunk's last sample at the gateway to the decision; ``queue_s`` and ``step_s`` are the
    shares of the scheduler and of the engine in it.
    """

    index: Index
    kind: DecisionKind
    turn: Turn = NO_TURN
    p_speak: Probability | None = None
    chunk_age_s: Seconds = 0.0
    queue_s: Seconds = 0.0
    step_s: Seconds = 0.0
    floor: Floor | None = None
    """Whether the caller may have the floor, of an engine that can tell; None: no opinion, or nobody asked."""


class SpeechChunk(Message, frozen=True, array_like=True, tag=18):
    """A piece of the agent's voice in the call's codec.

    ``start_samples`` is its place in the turn; ``text`` are the words that begin in it. ``word_starts`` are the
    places in the turn of those words, split at spaces; empty where the voice does not tell them.
    """

    turn: Turn
    start_samples: Count
    payload: bytes
    text: str = ""
    word_starts: Annotated[tuple[Count, ...], Meta(max_length=256)] = ()


class TurnDone(Message, frozen=True, array_like=True, tag=19):
    """The agent has nothing more to say in this turn; what was sent plays on."""

    turn: Turn
    total_samples: Count


class Transcript(Message, frozen=True, array_like=True, tag=20):
    """Words of one side, final: what the caller said, or all that a turn of the agent says."""

    voice: Voice
    text: str
    turn: Turn = NO_TURN
    confidence: Probability | None = None


class ToolCall(Message, frozen=True, array_like=True, tag=21):
    """The agent wants something done to the call once ``turn`` has been played; at once when it is 0.

    It is dropped with the turn when the caller barges into it: the agent decides anew.
    """

    name: str
    arguments: dict[str, str] = {}
    turn: Turn = NO_TURN


class SoundEvent(Message, frozen=True, array_like=True, tag=22):
    """Something other than speech was heard (a cough, an alarm, a tone)."""

    name: str
    probability: Probability | None = None


class Translation(Message, frozen=True, array_like=True, tag=28):
    """Final words of the caller in another language."""

    text: str
    language: str
    """A tag of BCP 47."""


class CallFailed(Message, frozen=True, array_like=True, tag=23):
    """The worker cannot serve the call: unknown agent, engine fault, no slot."""

    reason: str


class WorkerDraining(Message, frozen=True, array_like=True, tag=24):
    """The worker will stop serving this call within ``deadline_s``."""

    deadline_s: Seconds


class CallRules(Message, frozen=True, array_like=True, tag=25):
    """How the agent of this call wants to be talked over; a worker's first message where there are such rules."""

    overlap: OverlapRules


class Snapshot(Message, frozen=True, array_like=True, tag=26):
    """What the engine needs to go on after chunk ``index`` without having heard what was before; opaque."""

    index: Index
    state: Annotated[bytes, Meta(max_length=MAX_STATE_BYTES)]


class WorkerBeat(Message, frozen=True, array_like=True, tag=27):
    """A worker that serves calls of this gateway, and has not had anything to say for a moment, lives.

    It is about all calls of ``worker``: ``call`` is empty, ``epoch`` 0.
    """

    worker: WorkerId


UpMessage = CallOpened | AudioChunk | TurnCancelled | Dtmf | CallClosed | Say
DownMessage = (
    Decision
    | SpeechChunk
    | TurnDone
    | Transcript
    | ToolCall
    | SoundEvent
    | Translation
    | CallFailed
    | WorkerDraining
    | CallRules
    | Snapshot
    | WorkerBeat
)
AnyMessage = UpMessage | DownMessage
