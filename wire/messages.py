"""Every message between a gateway and a model worker.

Up (gateway to worker): ``CallOpened AudioChunk TurnCancelled Dtmf CallClosed Say``.
Down (worker to gateway): ``Decision SpeechChunk TurnDone Transcript ToolCall
SoundEvent CallFailed WorkerDraining``.

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
from wire.ids import NO_TURN, CallId, GatewayId, TurnId

Count = Annotated[int, Meta(ge=0, lt=2**53)]
Index = Annotated[int, Meta(ge=0, lt=2**32)]
Turn = Annotated[TurnId, Meta(ge=0, lt=2**32)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Probability = Annotated[float, Meta(ge=0, le=1)]
MAX_SAY_CHARS = 1_000  # more than a minute of speech


class DecisionKind(StrEnum):
    """What a duplex model chose after one chunk."""

    LISTEN = "listen"
    SPEAK = "speak"


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


class CallOpened(Message, frozen=True, array_like=True, tag=1):
    """A call begins, or begins again with a higher epoch, at this worker."""

    gateway: GatewayId
    codec: Codec
    agent: str
    caller: str = ""
    callee: str = ""
    variables: dict[str, str] = {}


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


class SpeechChunk(Message, frozen=True, array_like=True, tag=18):
    """A piece of the agent's voice in the call's codec.

    ``start_samples`` is its place in the turn; ``text`` are the words that begin in it.
    """

    turn: Turn
    start_samples: Count
    payload: bytes
    text: str = ""


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


class CallFailed(Message, frozen=True, array_like=True, tag=23):
    """The worker cannot serve the call: unknown agent, engine fault, no slot."""

    reason: str


class WorkerDraining(Message, frozen=True, array_like=True, tag=24):
    """The worker will stop serving this call within ``deadline_s``."""

    deadline_s: Seconds


UpMessage = CallOpened | AudioChunk | TurnCancelled | Dtmf | CallClosed | Say
DownMessage = Decision | SpeechChunk | TurnDone | Transcript | ToolCall | SoundEvent | CallFailed | WorkerDraining
AnyMessage = UpMessage | DownMessage
