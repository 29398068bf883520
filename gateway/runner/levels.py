"""How loud each side of a call was, packed: one octet per 50 ms, an hour of it in 72 kB.

What the console draws as a waveform. A level is the peak of its step, from 0 (60 dB below full
scale, or less) to 100 (full scale), so that a short click shows as high as it was.
"""

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

STEP_S = 0.05
MAX_STEPS = 72_000  # one hour; the oldest go first
_FORGET_STEPS = 1_200  # a minute at a time, so that an endless call does not shift an hour of octets per chunk
_RANGE_DB = 60.0
_FULL_SCALE = 32_768

Levels = npt.NDArray[np.uint8]


class LevelTape:
    """The levels of one voice. Positions are samples of the call's codec since the call began.

    ``push`` only keeps the audio; the work is done in ``measure``, once per chunk.
    """

    def __init__(self, codec: Codec) -> None:
        self._sample_bytes = codec.bytes_per_sample
        self._step_samples = round(codec.sample_rate_hz * STEP_S)
        self._octets = _G711_LEVELS.get(codec)
        self._levels = bytearray()
        self._first_step = 0
        self._pending: list[bytes] = []
        self._pending_start = 0
        self._pending_end = 0
        self._changed: tuple[int, int] | None = None

    @property
    def first_step(self) -> int:
        """The step of the first level that is still kept."""
        return self._first_step

    def push(self, start_samples: int, payload: bytes) -> None:
        """Take audio; usually it follows on what came before."""
        if start_samples != self._pending_end:
            self.measure()
            self._pending_start = self._pending_end = start_samples
        self._pending.append(payload)
        self._pending_end += len(payload) // self._sample_bytes

    def cut(self, end_samples: int) -> None:
        """What begins at ``end_samples`` or later was taken back and never heard."""
        self.measure()
        self._pending_start = self._pending_end = end_samples
        first = -(-end_samples // self._step_samples) - self._first_step
        if 0 <= first < len(self._levels):
            self._note_changed(first, len(self._levels))
            self._levels[first:] = bytes(len(self._levels) - first)

    def take_changed(self) -> tuple[int, bytes] | None:
        """``(first step, levels)`` of all that changed since the last time."""
        self.measure()
        changed, self._changed = self._changed, None
        if changed is None:
            return None
        first, end = (max(0, step - self._first_step) for step in changed)
        return self._first_step + first, bytes(self._levels[first:end])

    def snapshot(self) -> bytes:
        """The levels from ``first_step`` on."""
        self.measure()
        return bytes(self._levels)

    def measure(self) -> None:
        """Work out the levels of what was pushed."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        payload = pending[0] if len(pending) == 1 else b"".join(pending)
        first, skew = divmod(self._pending_start, self._step_samples)
        self._pending_start = self._pending_end
        peaks = self._peaks(payload, skew)
        self._keep(first - self._first_step, peaks, merge=skew > 0)

    def _peaks(self, payload: bytes, skew: int) -> bytes:
        """The level of each step that ``payload`` touches; it begins ``skew`` samples into the first."""
        if self._octets is not None:
            sound: npt.NDArray[np.uint8] | npt.NDArray[np.int16]
            sound = np.frombuffer(payload.translate(self._octets), np.uint8)
        else:
            sound = np.frombuffer(payload, "<i2", len(payload) // 2)
        short = -(skew + len(sound)) % self._step_samples
        if skew or short:
            sound = np.concatenate((np.zeros(skew, sound.dtype), sound, np.zeros(short, sound.dtype)))
        steps = sound.reshape(-1, self._step_samples)
        if self._octets is not None:
            return bytes(steps.max(axis=1))
        high, low = steps.max(axis=1).astype(np.int32), steps.min(axis=1).astype(np.int32)
        return bytes(level_of(np.maximum(high, -low)))

    def _keep(self, first: int, peaks: bytes, *, merge: bool) -> None:
        if first < 0:  # older than the hour that is kept
            peaks, first = peaks[-first:], 0
        if not peaks:
            return
        levels = self._levels
        missing = first - len(levels)
        if missing > 0:
            levels += bytes(missing)
        if merge and first < len(levels):
            peaks = bytes((max(levels[first], peaks[0]),)) + peaks[1:]
        levels[first : first + len(peaks)] = peaks
        self._note_changed(first, first + len(peaks))
        if len(levels) >= MAX_STEPS + _FORGET_STEPS:
            surplus = len(levels) - MAX_STEPS
            del levels[:surplus]
            self._first_step += surplus

    def _note_changed(self, first: int, end: int) -> None:
        first, end = first + self._first_step, end + self._first_step
        if self._changed is not None:
            first, end = min(first, self._changed[0]), max(end, self._changed[1])
        self._changed = (first, end)


def level_of(amplitude: npt.NDArray[np.int32]) -> Levels:
    """Amplitudes of 0 to 32,768 as levels: ``100 · (1 + dBFS / 60)``, rounded, from 0 to 100."""
    dbfs = 20 * np.log10(np.maximum(amplitude, 1) / _FULL_SCALE)
    return np.clip(np.rint(100 * (1 + dbfs / _RANGE_DB)), 0, 100).astype(np.uint8)


def _g711_levels(codec: Codec) -> bytes:
    """The level of each octet: the peak of a step is then the largest level in it, without decoding."""
    return level_of(np.abs(decode(codec, bytes(range(256))).astype(np.int32))).tobytes()


_G711_LEVELS = {codec: _g711_levels(codec) for codec in (Codec.PCMU, Codec.PCMA)}
