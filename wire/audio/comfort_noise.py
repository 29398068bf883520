"""Quiet noise in the place of sound that is missing.

A model trained on rooms and lines misjudges digital zeros, and a caller who hears them takes the line for dead.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import encode

LEVEL_DBFS = -60.0
"""Root mean square against a full-scale square wave: below any talker and most lines, above one step of G.711."""
_SEED = 3389
_SIGMA = 32_768 * 10 ** (LEVEL_DBFS / 20)


@cache
def quiet_frames(codec: Codec, samples: int) -> tuple[bytes, ...]:
    """About a second of such noise in frames of ``samples`` each: always the same objects, to be sent in turn."""
    count = max(1, codec.sample_rate_hz // samples)
    return tuple(comfort_noise(codec, samples, [_SEED, n]) for n in range(count))


def comfort_noise(codec: Codec, samples: int, seed: int | Sequence[int]) -> bytes:
    """White noise of ``samples`` samples in ``codec``; the same ``seed`` (not negative) gives the same bytes."""
    noise = np.random.default_rng(seed).standard_normal(samples, np.float32) * np.float32(_SIGMA)
    return encode(codec, np.rint(noise).astype(np.int16))
