"""Quiet noise in the place of sound that is missing.

A model trained on rooms and lines misjudges digital zeros, and a caller who hears them takes the line for dead.
"""

from collections.abc import Sequence

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import encode

LEVEL_DBFS = -60.0
"""Root mean square against a full-scale square wave: below any talker and most lines, above one step of G.711."""
_SIGMA = 32_768 * 10 ** (LEVEL_DBFS / 20)


def comfort_noise(codec: Codec, samples: int, seed: int | Sequence[int]) -> bytes:
    """White noise of ``samples`` samples in ``codec``; the same ``seed`` (not negative) gives the same bytes."""
    noise = np.random.default_rng(seed).standard_normal(samples, np.float32) * np.float32(_SIGMA)
    return encode(codec, np.rint(noise).astype(np.int16))
