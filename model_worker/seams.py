"""The seams of the worker: what an engine is, and the components an engine may be made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor, OverlapRules, Voice

Pcm = npt.NDArray[np.int16]
"""Mono PCM, shape ``(samples,)``."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; placement, chunker and scheduler follow it, nothing is hard-wired."""

    engine: str
    chunk_ms: int
    """Length of one chunk: 80, 400 or 1000 with the engines we know."""
    first_chunk_ms: int
    """Length of the first chunk where it differs (MiniCPM-o: 1035), else ``chunk_ms``."""
    input_rate_hz: int
    output_rate_hz: int
    explicit_decision: bool
    """The model emits a listen/speak token itself, rather than us reading it off its output."""
    hears_while_speaking: bool
    sessions: int
    """How many calls one instance serves at once."""
    context_s: float | None = None
    """How much of a call it remembers; None where that is unbounded."""
    languages: tuple[str, ...] = ("en",)
    licence_note: str = ""
    chunks_per_step: int = 1
    """How many chunks of one call a step may bring when the engine is behind; more than 1 where that is cheaper."""
    says_given_words: bool = False
    """It can be told what to say (``StepInput.say``)."""


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What an engine is told about a call when it opens."""

    agent: str
    caller: str = ""
    callee: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    said: Sequence["Said"] = ()
    """What was said before, oldest first, in a call that begins here in its middle and without a snapshot."""
    replayed: Sequence["Said"] = ()
    """What was said so far, as far as it was heard, in a call that is heard again from its beginning: for engines
    that would find other words this time."""


@dataclass(frozen=True, slots=True)
class StepInput:
    """One chunk of one call, ready to be decided on."""

    call: CallId
    index: int
    pcm: Pcm
    """int16 at ``Capabilities.input_rate_hz``; its length is the chunk's."""
    playback_s: tuple[TurnId, float] = (NO_TURN, 0.0)
    """The open turn and how many seconds of it the caller has heard by the end of the chunk."""
    dtmf: str = ""
    """Keys pressed during the chunk, in order."""
    say: tuple[str, ...] = ()
    """What an operator wants said now, in a turn of its own; only with ``Capabilities.says_given_words``."""
    overlap_s: float = 0.0
    """How long ago the caller began to sound over the agent's voice, while the floor is undecided; else 0."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the agent's voice: int16 at ``Capabilities.output_rate_hz``, and the words that begin in it."""

    pcm: Pcm
    text: str = ""
    word_starts: Sequence[int] = ()
    """Where the words of ``text`` begin in ``pcm``, one each; empty where the voice does not tell."""


@dataclass(frozen=True, slots=True)
class Said:
    """Final words of one side, for the transcript."""

    voice: Voice
    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """Final words of the caller in another language, a tag of BCP 47."""

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class SoundHeard:
    """Something other than speech was heard: an alarm, a cough, a dog."""

    name: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done to the call when the turn in which it stands has been played.

    Names: ``hangup``, ``transfer`` (argument ``to``), ``voicemail``.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What the engine decided after one chunk, and what it says from here on.

    A turn starts with the first output that names it. ``speech`` belongs to ``turn``;
    ``turn_done`` closes it. A LISTEN decision carries no speech. Without a decision it is more of a turn between two
    chunks, ``index`` being the one before.
    """

    call: CallId
    index: int
    decision: DecisionKind | None
    turn: TurnId = NO_TURN
    speech: Sequence[Speech] = ()
    turn_done: bool = False
    said: Sequence[Said] = ()
    actions: Sequence[Action] = ()
    p_speak: float | None = None
    floor: Floor | None = None
    """Asked while ``StepInput.overlap_s`` > 0: may the caller have the floor? None: cannot tell, or not yet."""
    fault: Exception | None = None
    """The call is beyond repair: the engine has closed it, and another worker has to go on."""
    translated: Sequence[Translated] = ()
    sounds: Sequence[SoundHeard] = ()


class BadSnapshotError(Exception):
    """Not a snapshot of this engine, or of another version of it."""


class EngineLostError(Exception):
    """What the engine works with is gone for good, another process say: this worker serves no call any more."""


class UnknownAgentError(Exception):
    """The call asks for an agent this worker does not have."""


class Engine(Protocol):
    """A duplex model serving many calls. Synchronous, without clock or tasks, one thread.

    ``step`` gets the due chunk of every call that has one (a ragged batch; up to ``chunks_per_step`` of a call that
    is behind, in order) and returns one output per input, in any order: at once, or, where the engine is ``busy``
    afterwards, from a later step. A fault of one call is that call's: the engine answers for the others.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def busy(self) -> bool:
        """It has work to do without new input: ``step`` is called again, with none where none is due.

        Calls whose chunks it has not answered are given no more until then.
        """

    @property
    def context_positions(self) -> tuple[int, int] | None:
        """Of the model's context in this process: filled by open calls, and how many there is memory for.

        None where the calls' number is all that bounds it. A worker takes no new calls while it is nearly full.
        """

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Told once, before the first call: ``wake`` is to be called whenever ``busy`` becomes true by itself.

        That is where something outside answers, a server or a thread; on any thread. Others have nothing to do here.
        """

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        """Begin a call; returns how its agent wants to be talked over, None for the gateway's own rules.

        Raises UnknownAgentError.
        """

    def snapshot(self, call: CallId) -> bytes | None:
        """All that it needs to go on with the call without having heard it so far, at most 64 KiB.

        None where it cannot tell at this moment (it is in the middle of a turn), or never can.
        """

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        """As ``open``, of a call that goes on after ``snapshot``. Raises UnknownAgentError and BadSnapshotError."""

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Decide on one chunk of each call. Raises EngineLostError, and what else a fault of its own makes of it."""

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """The caller barged in: the turn ended after ``heard_s`` seconds of it. Cut the history there.

        Unknown calls and old turns are ignored.
        """

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """What was said and heard so far, oldest first: ``{"voice", "text", "turn", "cut"}``; maybe nothing."""

    def close(self, call: CallId) -> None:
        """End a call and free what it held. Unknown calls are ignored."""


class Vad(Protocol):
    """Speech detection for one call."""

    def push(self, pcm: Pcm) -> list[float]:
        """Feed 16 kHz int16 of any length; returns p(speech) of each 32 ms frame it completes."""

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was recognized in one utterance; ``text`` is empty when nothing in the grammar fits."""

    text: str
    confidence: float
    """0 to 1; compare with the engine's rejection threshold."""


class Asr(Protocol):
    """Recognizer of many calls at once; calls never block, results are polled."""

    def start(self, call: CallId, phrases: Sequence[str]) -> None:
        """Begin an utterance in which one of ``phrases`` is expected. Drops an unfinished one."""

    def feed(self, call: CallId, pcm: Pcm) -> None:
        """Add 16 kHz int16 of any length to the utterance."""

    def finish(self, call: CallId) -> None:
        """The utterance is over; its result becomes ready."""

    def poll(self, timeout_s: float) -> dict[CallId, Recognition]:
        """Results that became ready, waiting up to ``timeout_s`` for those asked for."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Word:
    """A word of synthesized speech: where it starts, in samples of the voice."""

    text: str
    start_samples: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """Synthesized speech: int16 at ``sample_rate_hz`` with its word timings."""

    pcm: Pcm
    sample_rate_hz: int
    words: Sequence[Word]
    exact_words: bool = False
    """The voice told where the words begin; else their starts are estimates."""


class Tts(Protocol):
    """A voice. Blocking; a sentence takes milliseconds on the CPU voices."""

    def synthesize(self, text: str) -> Utterance:
        """Speak one sentence. Raises TtsError."""

    def close(self) -> None: ...


class TtsError(Exception):
    """The voice could not speak; the text names the engine and the remedy."""
