"""The voice of one turn on its way to the gateway: at the call's rate, in its codec, in pieces that fit the wire."""

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
    """Speech in the call's codec and its place in the turn, in samples of that codec."""

    start_samples: int
    payload: bytes
    text: str


class TurnVoice:
    """Encodes one turn; its pieces follow each other without a gap."""

    def __init__(self, turn: TurnId, codec: Codec, engine_rate_hz: int) -> None:
        self.turn = turn
        self.total_samples = 0
        self._codec = codec
        self._resampler = Resampler(engine_rate_hz, codec.sample_rate_hz)
        self._max_samples = round(MAX_PIECE_S * codec.sample_rate_hz)

    def speak(self, speech: Speech) -> Iterator[Piece]:
        """Encode what the engine says next; its words go with the first piece. Exhaust it before the next call."""
        return self._cut(self._resampler.push(speech.pcm), speech.text)

    def finish(self) -> Iterator[Piece]:
        """The last milliseconds, which the resampler still holds."""
        return self._cut(self._resampler.flush(), "")

    def _cut(self, pcm: Pcm, text: str) -> Iterator[Piece]:
        for at in range(0, len(pcm), self._max_samples):
            part = pcm[at : at + self._max_samples]
            yield Piece(self.total_samples, g711.encode(self._codec, part), text)
            self.total_samples += len(part)
            text = ""
