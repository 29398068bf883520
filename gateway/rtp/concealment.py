"""Conceal lost audio by repeating the pitch of what came before (after ITU-T G.711 appendix I).

The last period of the signal is repeated, with its ends overlapped so that it joins itself; after
10 ms two periods are repeated and after 20 ms three, against buzzing. The level falls by a fifth
every 10 ms from the tenth millisecond on, to silence after 60 ms: a model that hears a vowel held
for longer believes the caller still speaks. Two things differ from the appendix. Audio that came
is never altered nor delayed, so the first synthetic samples alone make the joint. And the pitch is
searched with normalized correlation over the whole range at once.
"""

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]

HISTORY_S = 0.04875  # 390 samples at 8 kHz, as in the appendix
FADED_S = 0.060
_LONGEST_PITCH_S = 0.015  # 66 Hz
_SHORTEST_PITCH_S = 0.005  # 200 Hz; of a higher voice, several periods are repeated
_WINDOW_S = 0.010  # the appendix has 20 ms; the newest 10 ms tell more of what comes next, in every measure we tried
_STEP_S = 0.010
_JOINT_S = 0.002


class Concealer:
    """The continuation of one stream after a loss, at 8 or 16 kHz."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.history_samples = round(HISTORY_S * sample_rate_hz)
        self._longest = round(_LONGEST_PITCH_S * sample_rate_hz)
        self._shortest = round(_SHORTEST_PITCH_S * sample_rate_hz)
        self._window = round(_WINDOW_S * sample_rate_hz)
        self._step = round(_STEP_S * sample_rate_hz)
        self._joint = round(_JOINT_S * sample_rate_hz)
        self._faded = round(FADED_S * sample_rate_hz)
        self._made = np.empty(0, np.int16)

    def start(self, history: Pcm) -> None:
        """Continue ``history``, the newest audio; the more of ``history_samples`` there is, the better."""
        self._made = self._synthesize(history)

    def stop(self) -> None:
        """Nothing more is to be continued."""
        self._made = np.empty(0, np.int16)

    def take(self, samples: int) -> Pcm:
        """The next samples, up to ``samples``; fewer, and at last none, once it has faded away."""
        taken, self._made = self._made[:samples], self._made[samples:]
        return taken

    def _synthesize(self, history: Pcm) -> Pcm:
        if len(history) < self.history_samples:
            history = np.concatenate((np.zeros(self.history_samples - len(history), np.int16), history))
        signal = history[-self.history_samples :].astype(np.float64)
        if not signal.any():
            return np.zeros(0, np.int16)
        pitch = self._pitch(signal)
        made = np.concatenate(
            [
                _repeat(signal, pitch, periods, start, min(self._step, self._faded - start))
                for periods, start in ((1, 0), (2, self._step))
            ]
            + [_repeat(signal, pitch, 3, 2 * self._step, self._faded - 2 * self._step)]
        )
        for start in (self._step, 2 * self._step):  # more periods from here on: cross over
            fewer = _repeat(signal, pitch, start // self._step, start, self._joint)
            rise = np.linspace(0.0, 1.0, self._joint, endpoint=False)
            made[start : start + self._joint] = fewer * (1 - rise) + made[start : start + self._joint] * rise
        # What came stays as it came; the step to the repetition is spread over its first samples instead.
        made[: self._joint] += (signal[-1] - signal[-1 - pitch]) * np.linspace(1.0, 0.0, self._joint)
        made *= np.interp(np.arange(self._faded), [self._step, self._faded], [1.0, 0.0])
        return np.clip(np.rint(made), -32_768, 32_767).astype(np.int16)

    def _pitch(self, signal: npt.NDArray[np.float64]) -> int:
        """The lag, between the shortest and the longest pitch, at which the signal best repeats itself."""
        newest = signal[-self._window :]
        lags = np.arange(self._shortest, self._longest + 1)
        windows = np.lib.stride_tricks.sliding_window_view(signal, self._window)
        earlier = windows[len(windows) - 1 - lags]
        likeness = (earlier @ newest) / np.sqrt(np.einsum("ij,ij->i", earlier, earlier) + 1.0)
        return int(lags[np.argmax(likeness)])


def _repeat(
    signal: npt.NDArray[np.float64], pitch: int, periods: int, start: int, samples: int
) -> npt.NDArray[np.float64]:
    """``samples`` of the last ``periods`` repeated for ever, from ``start`` samples after the signal's end.

    The last quarter of a period is crossed over into the quarter before the repeated piece, so
    that its end leads into its beginning.
    """
    length = periods * pitch
    overlap = pitch // 4
    piece = signal[-length:].copy()
    before = signal[len(signal) - length - overlap : len(signal) - length]
    if len(before) == overlap:
        rise = np.linspace(0.0, 1.0, overlap, endpoint=False)
        piece[-overlap:] = piece[-overlap:] * (1 - rise) + before * rise
    return piece[(start + np.arange(samples)) % length]
