"""Sound whose pitch names the turn it belongs to, so that a test can tell whose voice it got."""

import numpy as np

from model_worker.seams import Pcm

LOWEST_HZ, STEP_HZ = 300, 100
AMPLITUDE = 8_000


def tone(turn: int, samples: int, rate_hz: int, start_samples: int = 0) -> Pcm:
    """A piece of the tone of ``turn`` (from 0, at most 29), int16 ``(samples,)``, from ``start_samples`` of it on."""
    seconds = (start_samples + np.arange(samples)) / rate_hz
    wave = np.sin(2 * np.pi * (LOWEST_HZ + STEP_HZ * turn) * seconds)
    pcm: Pcm = (AMPLITUDE * wave).astype(np.int16)
    return pcm


def turn_of(pcm: Pcm, rate_hz: int) -> int | None:
    """Whose tone this is, of at least 50 ms; None where it is quiet or several at once."""
    if len(pcm) < rate_hz // 20 or np.abs(pcm.astype(np.int32)).max() < AMPLITUDE // 8:
        return None
    power = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), n=rate_hz)) ** 2
    loudest_hz = int(power.argmax())
    near = power[max(0, loudest_hz - STEP_HZ // 2) : loudest_hz + STEP_HZ // 2].sum()
    return round((loudest_hz - LOWEST_HZ) / STEP_HZ) if near > 0.8 * power.sum() else None
