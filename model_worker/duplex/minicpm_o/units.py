"""Sound of these protocols: float32 in base64, in units of a second (the first one 1,035 ms: paper, section 3.2)."""

import numpy as np

from model_worker.duplex.remote.json_frames import GarbageError
from model_worker.seams import Pcm

UNIT_MS = 1_000
FIRST_UNIT_MS = 1_035
IN_HZ = 16_000
OUT_HZ = 24_000
_FULL_SCALE = 32_768


_LEAD_SAMPLES = (FIRST_UNIT_MS - UNIT_MS) * IN_HZ // 1_000


class Units:
    """The units of one session."""

    def __init__(self) -> None:
        self._first = True

    def write(self, pcm: Pcm) -> bytes:
        """A chunk as a unit. The first of a session that follows another is as long as any: silence makes it longer."""
        if self._first and len(pcm) == IN_HZ * UNIT_MS // 1_000:
            pcm = np.concatenate((np.zeros(_LEAD_SAMPLES, np.int16), pcm))
        self._first = False
        return floats(pcm)


def floats(pcm: Pcm) -> bytes:
    """Int16 as float32, little-endian, full scale 1."""
    return (pcm.astype("<f4") / _FULL_SCALE).tobytes()


def sound(octets: bytes) -> Pcm:
    """The other way round; what is louder than full scale is clipped. Raises GarbageError."""
    if len(octets) % 4:
        raise GarbageError("sound that ends within a sample")
    wave = np.frombuffer(octets, "<f4")
    if not np.isfinite(wave).all():
        raise GarbageError("sound that is not a number")
    pcm: Pcm = np.clip(np.rint(wave * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return pcm
