"""Whether somebody speaks in a chunk of the caller: for watchdogs, who need no more than a guess, and a cheap one."""

import webrtcvad

from gateway.turn.overlap import FRAME_MS
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, quiet_codes

AGGRESSIVENESS = 3
_FRAMES = 7  # of 20 in 0.4 s; a third of a chunk
_SPEECH_FRAMES = 4
_LOUD_SHARE = 0.2  # of the samples; speech is that loud for more than half of its time


class ChunkSpeech:
    """One call's. Chunks come one after the other."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._quiet = quiet_codes(codec)
        self._vad = webrtcvad.Vad(AGGRESSIVENESS)
        self._frame_bytes = codec.sample_rate_hz * codec.bytes_per_sample * FRAME_MS // 1_000

    def is_in(self, chunk: bytes) -> bool:
        """True when the middle of the chunk sounds like speech."""
        if self._quiet and len(chunk.translate(None, self._quiet)) < _LOUD_SHARE * len(chunk):
            return False  # one pass in C spares the rest for most chunks
        frames = len(chunk) // self._frame_bytes
        first = max(0, (frames - _FRAMES) // 2)
        voiced = 0
        for n in range(first, min(frames, first + _FRAMES)):
            frame = chunk[n * self._frame_bytes : (n + 1) * self._frame_bytes]
            voiced += self._vad.is_speech(decode(self._codec, frame).tobytes(), self._codec.sample_rate_hz)
        return voiced >= _SPEECH_FRAMES
