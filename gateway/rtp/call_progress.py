"""The tones by which a telephone network tells how a call fares (ITU-T E.180, North American plan)."""

from functools import lru_cache

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import encode

_LEVEL = 10 ** (-19 / 20) * 32_768 / 2  # each of two tones at -19 dBFS: clear, and not in the ear
_RAMP_S = 0.005


@lru_cache(maxsize=16)
def congestion(codec: Codec, seconds: float) -> bytes:
    """Reorder tone: "this call cannot be completed"; 480 and 620 Hz, 0.25 s on, 0.25 s off."""
    return _cadence(codec, (480, 620), 0.25, 0.25, seconds)


@lru_cache(maxsize=16)
def ringback(codec: Codec) -> bytes:
    """One period of "it rings at the other end": 440 and 480 Hz, 2 s on, 4 s off."""
    return _cadence(codec, (440, 480), 2.0, 4.0, 6.0)


@lru_cache(maxsize=16)
def hold(codec: Codec) -> bytes:
    """One period of a soft reminder that the line is held: a 440 Hz blip every 3 s."""
    return _cadence(codec, (440, 440), 0.15, 2.85, 3.0)


def _cadence(codec: Codec, tones_hz: tuple[int, int], on_s: float, off_s: float, seconds: float) -> bytes:
    rate_hz = codec.sample_rate_hz
    t = np.arange(round(on_s * rate_hz)) / rate_hz
    tone = sum(np.sin(2 * np.pi * hz * t) for hz in tones_hz) * _LEVEL
    ramp = np.clip(np.minimum(t, t[::-1]) / _RAMP_S, 0, 1)  # no click where it begins and ends
    period = np.concatenate((tone * ramp, np.zeros(round(off_s * rate_hz))))
    samples = round(seconds * rate_hz)
    repeated = np.tile(period, -(-samples // len(period)))[:samples]
    return encode(codec, np.rint(repeated).astype(np.int16))
