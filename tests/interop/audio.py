"""Prove that a recording is its source: second by second, with the lag at which it fits best.

One number over a whole call hides what ears complain about. Second by second, a lost packet shows as a second that fits
worse and a lag that stays shifted, a doubled one likewise in the other direction, drift as a lag that grows, and
time-stretching as a coefficient that falls everywhere.
"""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

SILENCE_RMS = 40.0  # of int16; a quiet line with G.711's smallest steps stays below it
WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Second:
    """One window of the recording, and the place in the source that it fits best.

    ``lag_s`` is the recording's time minus the source's: positive when it comes out later. ``correlation`` is the
    normalised cross-correlation there, 1.0 for the same shape at any loudness.
    """

    at_s: float
    lag_s: float
    correlation: float


def compare(recording: Samples, source: Samples, sample_rate_hz: int, window_s: float = WINDOW_S) -> list[Second]:
    """Fit each whole window of the recording to the source; windows without sound in them are left out.

    Both int16, shape ``(samples,)``, at one rate. The whole source is searched, so a source that was played in a loop
    must be handed over in as many turns as the recording may hold.
    """
    for name, samples in (("recording", recording), ("source", source)):
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"expected the {name} as int16 (samples,), got {samples.dtype} {samples.shape}")
    size = round(window_s * sample_rate_hz)
    if len(source) < size:
        raise ValueError(f"expected a source of at least {size} samples, got {len(source)}")
    search = _Search(source, size)
    seconds = []
    for start in range(0, len(recording) - size + 1, size):
        window = recording[start : start + size].astype(np.float64)
        if np.sqrt(np.mean(np.square(window))) < SILENCE_RMS:
            continue
        at, correlation = search.best(window)
        seconds.append(Second(start / sample_rate_hz, (start - at) / sample_rate_hz, correlation))
    return seconds


class _Search:
    """The source, transformed once, and its energy under every place of the window."""

    def __init__(self, source: Samples, size: int) -> None:
        signal = source.astype(np.float64)
        self._places = len(signal) - size + 1
        self._length = 1 << (len(signal) + size - 1).bit_length()
        self._spectrum = np.fft.rfft(signal, self._length)
        sums = np.concatenate(([0.0], np.cumsum(np.square(signal))))
        energy = sums[size:] - sums[: self._places]
        # A place that is itself silent fits nothing: its energy would only blow rounding errors up.
        self._norm = np.where(energy < size * SILENCE_RMS**2, np.inf, np.sqrt(np.maximum(energy, 0.0)))

    def best(self, window: npt.NDArray[np.float64]) -> tuple[int, float]:
        spectrum = np.conj(np.fft.rfft(window, self._length))
        products = np.fft.irfft(self._spectrum * spectrum, self._length)[: self._places]
        fits = products / (self._norm * np.sqrt(np.sum(np.square(window))))
        at = int(np.argmax(fits))
        return at, float(fits[at])


def assert_same_audio(
    recording: Samples,
    source: Samples,
    sample_rate_hz: int,
    *,
    at_least: float = 0.99,
    seconds: int = 3,
    lag_spread_s: float = 0.0,
) -> list[Second]:
    """Fail, with the whole table, unless every second with sound fits its source.

    ``seconds``: how many must hold sound, for silence proves nothing. The first and the last of them may be cut by the
    start and the end of the call and need not fit. ``lag_spread_s`` bounds how far the lags of the others lie apart:
    0 means not one sample was lost, added or stretched.
    """
    table = compare(recording, source, sample_rate_hz)
    whole = table[1:-1]
    report = describe(table)
    assert len(table) >= seconds, f"expected {seconds} s with sound, got {len(table)}:\n{report}"
    assert len(whole) > 0, f"expected a second besides the first and the last:\n{report}"
    worst = min(second.correlation for second in whole)
    assert worst >= at_least, f"expected every second to fit with {at_least}, got {worst:.4f}:\n{report}"
    lags = [second.lag_s for second in whole]
    spread = max(lags) - min(lags)
    assert spread <= lag_spread_s + 1e-9, f"expected lags within {lag_spread_s} s, got {spread:.4f} s:\n{report}"
    return table


def describe(table: Sequence[Second]) -> str:
    """The table as text, one line per second."""
    return "\n".join(f"{row.at_s:7.1f} s  lag {row.lag_s:+9.4f} s  fits {row.correlation:.4f}" for row in table)


def read_wav(path: Path) -> tuple[Samples, int]:
    """Samples and rate of a 16-bit mono file. A header that was never finished (size 0) is read to the file's end."""
    with wave.open(str(path), "rb") as file:
        layout = file.getnchannels(), file.getsampwidth()
        if layout != (1, 2):
            raise ValueError(f"expected one channel of 16 bits in {path}, got (channels, octets) {layout}")
        rate = file.getframerate()
        frames = file.readframes(file.getnframes())
    if not frames:
        frames = path.read_bytes()[44:]
        frames = frames[: len(frames) // 2 * 2]
    return np.frombuffer(frames, "<i2").astype(np.int16), rate


def write_wav(path: Path, samples: Samples, sample_rate_hz: int) -> None:
    """A 16-bit mono file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
