"""Find what was played in what the caller's line sends back: cross-correlation with phase transform (GCC-PHAT).

The phase transform (Knapp and Carter 1976) weighs all frequencies alike, so that speech, which resembles itself at
every period of its pitch, has one sharp peak at the delay of its echo. Two voices that resemble each other for some
tenths of a second have one as well, so that a peak is only where to look: what was played must explain what came.
"""

from dataclasses import dataclass

import numpy as np

from gateway.echo.canceller import Pcm

_BAND_HZ = (300.0, 3_400.0)  # of a telephone; outside of it there is noise, which would weigh as much

_FLOOR = 1e-4  # of the strongest frequency: where there is no sound there is no phase either
_PATH_BEFORE_S, _PATH_AFTER_S = 0.002, 0.006  # of the filter, around the peak
_RIDGE = 1e-3
_LEAST_S = 0.2
_BLOCK_S = 0.02
_SOUND = 0.05  # of the loudest block, in amplitude


@dataclass(frozen=True, slots=True)
class EchoPeak:
    """The likeliest echo in a piece of the caller's sound.

    ``sharpness``: the peak in standard deviations of all lags; of an echo 8 to 20. ``return_loss_db``: how far the
    sound lies below what was played at that delay; an echo's, if it is one.
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
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    band = (hz >= _BAND_HZ[0]) & (hz <= _BAND_HZ[1])
    # Without their edges: a window that is cut out of a sound has two, which resemble those of any other.
    cross = np.fft.rfft(near * np.hanning(len(near)), length) * np.conj(np.fft.rfft(far * np.hanning(len(far)), length))
    cross[~band] = 0
    level = np.abs(cross)
    correlation = np.fft.irfft(cross / (level + _FLOOR * level.max()), length)
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


def explained_db(near: Pcm, far: Pcm, delay: int, rate_hz: int) -> float:
    """How much of ``near`` goes when what was played ``delay`` samples before is taken out of it; in dB.

    A short filter is fitted to the first half and judged by the second, which it has not seen: two voices may resemble
    each other for some tenths of a second, but neither can be computed from the other. Both end at the same time.
    """
    before, after = round(_PATH_BEFORE_S * rate_hz), round(_PATH_AFTER_S * rate_hz)
    begin = len(far) - len(near) - delay - after
    if begin < 0:
        return 0.0
    # Row n holds what may be heard in near[n]: far at that delay, a little less and a little more.
    rows = np.lib.stride_tricks.sliding_window_view(far.astype(np.float64), before + after + 1)
    rows = rows[begin : begin + len(near)]
    short = min(len(near), len(rows))  # delays below ``before`` have no future to look at
    rows, wanted = rows[:short], near[:short].astype(np.float64)
    half = short // 2
    seen = rows[:half]
    power = seen.T @ seen
    ridge = _RIDGE * np.trace(power) / len(power) + 1.0
    path = np.linalg.solve(power + ridge * np.eye(len(power)), seen.T @ wanted[:half])
    left = wanted[half:] - rows[half:] @ path
    whole = float(np.sum(wanted[half:] ** 2))
    return float(10 * np.log10(whole / max(float(np.sum(left**2)), 1e-3 * whole))) if whole > 0 else 0.0


def _sound_s(pcm: Pcm, rate_hz: int) -> float:
    """How much of it is about as loud as its loudest part."""
    size = round(_BLOCK_S * rate_hz)
    blocks = np.abs(pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64)).mean(axis=1)
    return float((blocks > _SOUND * blocks.max()).sum()) * _BLOCK_S if blocks.any() else 0.0
