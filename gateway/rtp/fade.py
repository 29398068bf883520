"""End cut speech without a click: the ramp over the last samples before silence."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

FADE_MS = 5  # shorter clicks, longer is heard as speech going on; the ear does not place it


@lru_cache(maxsize=16)
def _ramp(samples: int) -> npt.NDArray[np.float32]:
    """Half a cosine from just below 1 down to just above 0: no corner at either end."""
    phase = (np.arange(samples, dtype=np.float32) + 0.5) / max(samples, 1)
    return (0.5 + 0.5 * np.cos(np.pi * phase)).astype(np.float32)


def fade_out(codec: Codec, payload: bytes | bytearray) -> bytes:
    """``payload`` with its level brought down to nothing over its whole length; as long as it was.

    G.711 goes through the tables of ``wire.audio.g711``. Raises ValueError when the payload ends within a sample.
    """
    pcm = decode(codec, payload)
    return encode(codec, np.rint(pcm * _ramp(len(pcm))).astype(np.int16))
