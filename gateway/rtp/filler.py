"""What stands in for audio that is not there: concealment first, then the sender's comfort noise."""

from collections import deque

from gateway.rtp.comfort_noise import ComfortNoise
from gateway.rtp.concealment import Concealer
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

_PIECES_KEPT = 10  # of 5 ms or more: enough history for the concealer


class Filler:
    """Fills holes of one stream, in the leg's codec.

    ``keep`` is to be called with all audio that goes out; while nothing is being filled (``active``
    is false) it may be called as cheaply as appending to ``recent``.
    """

    __slots__ = ("_codec", "_concealer", "active", "concealed_samples", "noise", "quiet_samples", "recent")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._concealer: Concealer | None = None  # most streams lose nothing
        self.noise = ComfortNoise(codec)
        self.recent: deque[bytes] = deque(maxlen=_PIECES_KEPT)
        self.active = False
        self.concealed_samples = 0
        self.quiet_samples = 0

    def keep(self, audio: bytes) -> None:
        """Audio came: the next hole continues it."""
        self.recent.append(audio)
        self.active = False

    def fill(self, samples: int, quiet: bool) -> bytes:
        """``samples`` of concealment that fades into noise; with ``quiet``, of the noise alone.

        ``quiet`` is a pause that the sender meant. One that begins while concealment has not
        faded yet lets it fade.
        """
        if not self.active:
            self.active = True
            self._begin(quiet)
        filled = b"" if self._concealer is None else encode(self._codec, self._concealer.take(samples))
        rest = samples - len(filled) // self._codec.bytes_per_sample
        if rest:
            filled += self.noise.take(rest)
        if quiet:
            self.quiet_samples += samples
        else:
            self.concealed_samples += samples
        self.recent.append(filled)
        return filled

    def _begin(self, quiet: bool) -> None:
        if quiet or not self.recent:
            if self._concealer is not None:
                self._concealer.stop()
            return
        if self._concealer is None:
            self._concealer = Concealer(self._codec.sample_rate_hz)
        wanted = self._concealer.history_samples * self._codec.bytes_per_sample
        self._concealer.start(decode(self._codec, b"".join(self.recent)[-wanted:]))
