"""Sound as a Moshi server takes and gives it: an Ogg Opus stream each way, 24 kHz, one voice."""

import numpy as np

from model_worker.seams import Pcm
from wire.audio.ogg_opus import OggError, OggOpusReader, OggOpusWriter
from wire.audio.opus import CLOCK_HZ, OpusDecoder, OpusEncoder, ticks_of

RATE_HZ = 24_000
CHUNK_SAMPLES = RATE_HZ * 80 // 1_000
BITRATE_BPS = 48_000  # nothing is lost on a WebSocket, and the model should not hear what Opus leaves out
_FRAME_SAMPLES = RATE_HZ // 50
_TICKS_PER_SAMPLE = CLOCK_HZ // RATE_HZ


class VoiceOut:
    """The caller's voice on its way to the server."""

    def __init__(self) -> None:
        """Raises OpusMissingError."""
        self._encoder = OpusEncoder(BITRATE_BPS, complexity=5, loss_percent=0, rate_hz=RATE_HZ)
        self._writer = OggOpusWriter(RATE_HZ)
        self._begun = False

    def write(self, pcm: Pcm) -> bytes:
        """One page of sound, int16 of whole 20 ms; before the first one, what a stream begins with."""
        begin = b"" if self._begun else self._writer.begin()
        self._begun = True
        packets = [self._encoder.encode(frame.tobytes()) for frame in pcm.reshape(-1, _FRAME_SAMPLES)]
        return begin + self._writer.page(packets, len(pcm) * _TICKS_PER_SAMPLE)


class VoiceIn:
    """The model's voice as it comes."""

    def __init__(self) -> None:
        """Raises OpusMissingError."""
        self._reader = OggOpusReader()
        self._decoder = OpusDecoder(RATE_HZ)
        self._skipped = 0

    def read(self, octets: bytes) -> Pcm:
        """More of the stream, in any split: the sound that it completes. Raises OggError."""
        sound: list[bytes] = []
        for packet in self._reader.push(octets):
            ticks = ticks_of(packet)
            decoded = self._decoder.decode(packet)
            if not ticks or len(decoded) != 2 * ticks // _TICKS_PER_SAMPLE:
                raise OggError("a packet that is none of Opus")
            sound.append(decoded)
        return self._skip(np.frombuffer(b"".join(sound), np.int16))

    def _skip(self, pcm: Pcm) -> Pcm:
        """What an encoder needed to get going is not sound of the model (RFC 7845 §4.2)."""
        to_skip = (self._reader.pre_skip_ticks or 0) // _TICKS_PER_SAMPLE
        count = min(len(pcm), to_skip - self._skipped)
        self._skipped += count
        return pcm[count:]
