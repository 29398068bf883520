"""The parts of a cascade that may be anybody's server: a recognizer that hears along, a voice that is polled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Pcm, Word
from wire.ids import CallId

OUTPUT_RATE_HZ = 24_000
"""Of every voice of the cascade: what speech servers send, so that most of them are not resampled here."""


@dataclass(frozen=True, slots=True)
class HeardWords:
    """What is recognized of a call's utterance by now: all its words so far, not only the new ones."""

    call: CallId
    text: str
    final: bool = False
    """Nothing follows of this utterance."""
    confidence: float | None = None
    fault: SessionFault | None = None
    """Only with ``final``: why it is not known what was said."""
    lasting: bool = False
    """Only with ``fault``: the same would happen to the next utterance."""


class StreamingAsr(Protocol):
    """Recognizer of many calls. For one thread; nothing waits. One utterance of a call at a time."""

    @property
    def ready(self) -> bool:
        """``poll`` has something."""

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``ready`` becomes true."""

    def open(self, call: CallId, language: str) -> None:
        """A call begins, in a language (BCP 47): what can be prepared for its first word is prepared now."""

    def start(self, call: CallId) -> None:
        """An utterance begins; one that is open is cancelled."""

    def feed(self, call: CallId, pcm: Pcm) -> None:
        """More of it: int16 at 16 kHz, any length."""

    def finish(self, call: CallId) -> None:
        """It is over; its final words follow, or a fault."""

    def cancel(self, call: CallId) -> None:
        """Nothing is to be told of it any more."""

    def poll(self) -> list[HeardWords]:
        """What became known since, in order."""

    def close(self, call: CallId) -> None:
        """The call is over. Unknown calls are ignored."""


@dataclass(frozen=True, slots=True)
class VoiceWish:
    """How something is to be said: a voice as its server names it (empty: its own choice), a language of BCP 47."""

    name: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class VoicePiece:
    """More sound of a part, int16 at ``OUTPUT_RATE_HZ``, maybe none."""

    call: CallId
    part: int
    pcm: Pcm
    words: Sequence[Word] = ()
    """Of the whole part, where the voice tells; starts are samples of the part."""
    exact_words: bool = False
    done: bool = False
    fault: SessionFault | None = None
    """Only with ``done``: what came until then stands."""


class StreamingTts(Protocol):
    """A voice of many calls, one part of each at a time. For one thread; ``ask`` may take milliseconds."""

    @property
    def ready(self) -> bool:
        """``poll`` has something."""

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``ready`` becomes true."""

    def ask(self, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        """Say a part of a turn, in place of the one before; numbers of parts grow within a call."""

    def poll(self) -> list[VoicePiece]:
        """What there is to play since, in order. Nothing of parts that were cancelled."""

    def cancel(self, call: CallId) -> None:
        """Say no more of the call's part, and stop making it. Calls without one are ignored."""

    def close(self) -> None:
        """Free what this holds."""
