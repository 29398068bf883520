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
        self._words: deque[tuple[int, str]] = deque()  # not yet sent: where they begin in the turn, and what they are
        self._resampler = Resampler(engine_rate_hz, codec.sample_rate_hz)
        self._max_samples = round(MAX_PIECE_S * codec.sample_rate_hz)

    def speak(self, speech: Speech) -> Iterator[Piece]:
        """Encode what the engine says next; its words go with the pieces in which they begin.

        All with the first piece where the voice did not tell when they do. Exhaust it before the next call.
        """
        words = speech.text.split()
        if len(words) != len(speech.word_starts):
            self._taken_samples += len(speech.pcm)
            yield from self._cut(self._resampler.push(speech.pcm), speech.text)
            return
        rate = self._codec.sample_rate_hz / self._engine_rate_hz
        starts = [round((self._taken_samples + start) * rate) for start in speech.word_starts]
        self._taken_samples += len(speech.pcm)
        self._words.extend(zip(starts, words, strict=True))
        yield from self._cut(self._resampler.push(speech.pcm), "")

    def finish(self) -> Iterator[Piece]:
        """The last milliseconds, which the resampler still holds."""
        return self._cut(self._resampler.flush(), "", last=True)

    def _cut(self, pcm: Pcm, text: str, last: bool = False) -> Iterator[Piece]:
        for at in range(0, len(pcm), self._max_samples):
            part = pcm[at : at + self._max_samples]
            start = self.total_samples
            self.total_samples += len(part)
            final = last and at + len(part) == len(pcm)
            begun: list[tuple[int, str]] = []
            while self._words and (final or self._words[0][0] < self.total_samples):
                begun.append(self._words.popleft())
            text = " ".join([text, *(word for _, word in begun)]).strip()
            starts = tuple(min(place, self.total_samples) for place, _ in begun)
            yield Piece(start, g711.encode(self._codec, part), text, starts)
            text = ""
