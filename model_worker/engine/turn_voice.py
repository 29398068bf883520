"""The voice of one turn on its way to the gateway: at the call's rate, in its codec, in pieces that fit the wire."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from model_worker.seams import Pcm, Speech
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler
from wire.ids import TurnId

# A piece of 0.4 s is 19 kB in the widest codec, far below what one message may carry, and coarse enough that a
# sentence is a handful of messages.
MAX_PIECE_S = 0.4


class Piece(NamedTuple):
    """Speech in the call's codec and its place in the turn, in samples of that codec.

    ``text`` are the words that begin in it, ``word_starts`` their places in the turn where the voice told them.
    """

    start_samples: int
    payload: bytes
    text: str
    word_starts: tuple[int, ...] = ()


class TurnVoice:
    """Encodes one turn; its pieces follow each other without a gap."""

    def __init__(self, turn: TurnId, codec: Codec, engine_rate_hz: int) -> None:
        self.turn = turn
        self.total_samples = 0
        self._codec = codec
        self._engine_rate_hz = engine_rate_hz
        self._taken_samples = 0  # of the engine's speech
        self._text = ""  # not yet sent, of a voice that does not tell
        self._words: deque[tuple[int, str]] = deque()  # not yet sent: where they begin in the turn, and what they are
        self._resampler = Resampler(engine_rate_hz, codec.sample_rate_hz)
        self._max_samples = round(MAX_PIECE_S * codec.sample_rate_hz)

    def speak(self, speech: Speech) -> Iterator[Piece]:
        """Encode what the engine says next; its words go with the pieces in which they begin.

        All with the first piece where the voice did not tell when they do. Exhaust it before the next call.
        """
        words = speech.text.split()
        if len(words) == len(speech.word_starts):
            rate = self._codec.sample_rate_hz / self._engine_rate_hz
            starts = [round((self._taken_samples + start) * rate) for start in speech.word_starts]
            self._words.extend(zip(starts, words, strict=True))
        else:
            self._text = f"{self._text} {speech.text}".strip()
        self._taken_samples += len(speech.pcm)
        return self._cut(self._resampler.push(speech.pcm))

    def finish(self) -> Iterator[Piece]:
        """The last milliseconds, which the resampler still holds, and words that rounding put behind them."""
        yield from self._cut(self._resampler.flush())
        if self._words or self._text:
            yield self._piece(self.total_samples, b"", len(self._words))

    def _cut(self, pcm: Pcm) -> Iterator[Piece]:
        for at in range(0, len(pcm), self._max_samples):
            part = pcm[at : at + self._max_samples]
            start = self.total_samples
            self.total_samples += len(part)
            begun = sum(1 for place, _ in self._words if place < self.total_samples)
            yield self._piece(start, g711.encode(self._codec, part), begun)

    def _piece(self, start: int, payload: bytes, begun: int) -> Piece:
        told = [self._words.popleft() for _ in range(begun)]
        text = " ".join([self._text, *(word for _, word in told)]).strip()
        self._text = ""
        return Piece(start, payload, text, tuple(min(place, self.total_samples) for place, _ in told))
