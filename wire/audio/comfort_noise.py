"""Quiet noise in the place of sound that is missing.

A model trained on rooms and lines misjudges digital zeros, and a caller who hears them takes the line for dead. Silero
finds 0.3 s of speech in a question of 0.8 s that two seconds of zeros came before, and all of it after this noise.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import Pcm, encode

LEVEL_DBFS = -60.0
"""Root mean square against a full-scale square wave: below any talker and most lines, above one step of G.711."""
_SEED = 3389
_BLOCK_S, _BLOCKS = 0.01, 100
_LEAST_STEP = 8  # of 32,768: what A-law makes of silence
_SIGMA = 32_768 * 10 ** (LEVEL_DBFS / 20)


@cache
def quiet_frames(codec: Codec, samples: int) -> tuple[bytes, ...]:
    """About a second of such noise in frames of ``samples`` each: always the same objects, to be sent in turn."""
    count = max(1, codec.sample_rate_hz // samples)
    return tuple(comfort_noise(codec, samples, [_SEED, n]) for n in range(count))


def comfort_noise(codec: Codec, samples: int, seed: int | Sequence[int]) -> bytes:
    """White noise of ``samples`` samples in ``codec``; the same ``seed`` (not negative) gives the same bytes."""
    return encode(codec, _noise(samples, seed))


def enliven(pcm: Pcm, rate_hz: int) -> Pcm:
    """The same sound, with noise in the place of digital silence; shape ``(calls, samples)``, int16.

    Lines that send nothing in a pause (DTX) sound so. What is as quiet as the smallest step of G.711 for 10 ms is
    taken for silence; without any the very array is returned.
    """
    size = round(_BLOCK_S * rate_hz)
    whole = pcm.shape[1] // size * size
    blocks = pcm[:, :whole].reshape(len(pcm), -1, size)
    dead = (blocks.max(axis=2, initial=-1) <= _LEAST_STEP) & (blocks.min(axis=2, initial=1) >= -_LEAST_STEP)
    if not dead.any():
        return pcm
    places = np.nonzero(dead)
    live = np.array(blocks)
    live[places] = _noise_blocks(size)[places[1] % _BLOCKS]
    return np.concatenate((live.reshape(len(pcm), whole), pcm[:, whole:]), axis=1)


@cache
def _noise_blocks(size: int) -> Pcm:
    blocks: Pcm = _noise(_BLOCKS * size, _SEED).reshape(_BLOCKS, size)
    return blocks


def _noise(samples: int, seed: int | Sequence[int]) -> Pcm:
    noise = np.random.default_rng(seed).standard_normal(samples, np.float32) * np.float32(_SIGMA)
    pcm: Pcm = np.rint(noise).astype(np.int16)
    return pcm
