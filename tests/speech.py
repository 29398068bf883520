"""Real speech for the tests, as a phone line carries it."""

from functools import cache
from pathlib import Path

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

_JFK = Path(__file__).parent / "data" / "jfk_8k_ulaw.wav"


@cache
def jfk_ulaw() -> bytes:
    """11 s of one speaker: 8 kHz µ-law, 88,000 bytes. Speech begins about 0.3 s in."""
    data = _JFK.read_bytes()
    at = data.index(b"data") + 8
    return data[at:]


def is_quiet(audio: bytes | bytearray, codec: Codec = Codec.PCMU) -> bool:
    """Whether audio is the noise of a pause: far below any talker, and not digital silence."""
    pcm = decode(codec, audio).astype(np.float64)
    return bool(10 < np.sqrt(np.mean(pcm**2)) < 60 and np.abs(pcm).max() < 300)
