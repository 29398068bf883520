"""Find what was played in what the caller's line sends back: cross-correlation with phase transform (GCC-PHAT).

The phase transform (Knapp and Carter 1976) weighs all frequencies alike, so that speech, which resembles itself at
every period of its pitch, has one sharp peak at the delay of its echo. Measured on 0.4 s of µ-law speech: an echo peaks
at 10 to 18 times the deviation of all lags, from 12 to 30 dB below the voice; two different voices stay below 9. Of
0.1 s any two voices may look alike.
"""

from dataclasses import dataclass

import numpy as np

from gateway.echo.canceller import Pcm

_BAND_HZ = (300.0, 3_400.0)  # of a telephone; outside of it there is noise, which would weigh as much

_LEAST_S = 0.2
_BLOCK_S = 0.02
_SOUND = 0.05  # of the loudest block, in amplitude


@dataclass(frozen=True, slots=True)
class EchoPeak:
    """The likeliest echo in a piece of the caller's sound.

    ``sharpness``: the peak in standard deviations of all lags. ``return_loss_db``: how far the sound lies below what
    was played at that delay; an echo's, if it is one.
    """

    delay_samples: int
    sharpness: float
    return_loss_db: float


def find_echo(near: Pcm, far: Pcm, rate_hz: int) -> EchoPeak | None:
    """Look for ``far`` in ``near``, both of which end at the same time; delays up to the difference of their lengths.

    None where there is too little sound in either.
    """
    longest = len(far) - len(near)
    if _sound_s(near, rate_hz) < _LEAST_S or _sound_s(far, rate_hz) < _LEAST_S:
        return None
    length = 1 << (len(far) + len(near) - 1).bit_length()
    cross = np.fft.rfft(near, length) * np.conj(np.fft.rfft(far, length))
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    level = np.abs(cross)
    cross[(hz < _BAND_HZ[0]) | (hz > _BAND_HZ[1])] = 0
    correlation = np.fft.irfft(cross / (level + 1e-9 * level.max()), length)
    # near[n] is far[n + longest - delay], so that this delay stands at the lag ``delay - longest``.
    lags = np.abs(correlation[np.arange(-longest, 1)])
    delay = int(np.argmax(lags))
    deviation = float(correlation[np.arange(-longest, 1)].std())
    if deviation == 0.0:
        return None
    source = far[longest - delay : len(far) - delay].astype(np.float64)
    power, own = float(np.mean(source**2)), float(np.mean(near.astype(np.float64) ** 2))
    loss_db = 10 * np.log10(power / own) if power > 0 else 0.0
    return EchoPeak(delay, float(lags[delay]) / deviation, float(loss_db))


def _sound_s(pcm: Pcm, rate_hz: int) -> float:
    """How much of it is about as loud as its loudest part."""
    size = round(_BLOCK_S * rate_hz)
    blocks = np.abs(pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64)).mean(axis=1)
    return float((blocks > _SOUND * blocks.max()).sum()) * _BLOCK_S if blocks.any() else 0.0
