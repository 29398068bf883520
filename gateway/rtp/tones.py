"""DTMF in the audio itself (ITU-T Q.23, Q.24), for peers that send no telephone-events.

Short overlapping windows are projected on the eight frequencies (a bank of Goertzel filters as
one matrix product). A window shows a key when one low and one high tone hold nearly all its
energy, are about equally strong, and turn at their nominal frequencies from window to window.
Voices meet one of these at times, but not all of them for five windows on end.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode as decode_pcm

Pcm = npt.NDArray[np.int16]

RATE_HZ = 8_000
LISTEN_BYTES = 480  # 60 ms at once: most of what tones cost is the call
WINDOW = 102  # 12.75 ms: 1.5 % off (Q.24) still passes, and the eight frequencies stay apart
HOP = 40
PRESS_WINDOWS = 5  # a tone of 23 ms fills at most 4, one of 40 ms at least 5
RELEASE_WINDOWS = 5  # an interruption of 10 ms spoils at most 4
_LOW_HZ = (697.0, 770.0, 852.0, 941.0)
_HIGH_HZ = (1_209.0, 1_336.0, 1_477.0, 1_633.0)
_KEYS = "123A456B789C*0#D"  # row by row
_SHARE = 0.75  # of a window's energy in the two tones
_MIN_AMPLITUDE = 32_767 * 10 ** (-36 / 20)  # each tone, -36 dBov peak: weaker ones are crosstalk
_HIGH_OVER_LOW = 10 ** (4 / 10)  # normal twist 4 dB, as Bellcore and Q.24 have it
_LOW_OVER_HIGH = 10 ** (8 / 10)  # reverse twist 8 dB
_MAX_OFF = 0.025  # of the frequency: 1.5 % must pass, 3.5 % must not

_HZ = np.array(_LOW_HZ + _HIGH_HZ)
_BANK = np.exp(-2j * np.pi * np.outer(np.arange(WINDOW), _HZ) / RATE_HZ)
_TURN = np.exp(-2j * np.pi * _HZ * HOP / RATE_HZ)
_HZ_PER_RADIAN = RATE_HZ / (2 * np.pi * HOP)


class ToneDetector:
    """Finds keys in one stream of 8 kHz PCM, fed in pieces of any length."""

    def __init__(self) -> None:
        self._kept = np.empty(0, np.int16)
        self._before = np.zeros(8, np.complex128)  # the last window's projections
        self._key = -1  # the key that is down, or that the last windows show
        self._shown = 0
        self._missed = 0
        self._down = False

    def push(self, pcm: Pcm) -> str:
        """The keys that ``pcm``, int16 ``(samples,)``, shows to be pressed: usually none. 35 ms after their start."""
        kept = np.concatenate((self._kept, pcm))
        if len(kept) < WINDOW:
            self._kept = kept
            return ""
        windows = np.lib.stride_tricks.sliding_window_view(kept, WINDOW)[::HOP]
        self._kept = kept[len(windows) * HOP :]
        if not self._shown and np.abs(kept.astype(np.int32)).max() < _MIN_AMPLITUDE:
            self._before = np.zeros(8, np.complex128)
            return ""
        return "".join(_KEYS[key] for key in self._candidates(windows) if self._is_pressed(key))

    def _candidates(self, windows: Pcm) -> list[int]:
        """The key each window shows, or -1."""
        samples = windows.astype(np.float64)
        tones = samples @ _BANK
        power = tones.real**2 + tones.imag**2
        rows = np.arange(len(windows))
        low = power[:, :4].argmax(axis=1)
        high = power[:, 4:].argmax(axis=1)
        low_power, high_power = power[rows, low], power[rows, high + 4]
        # A sine of amplitude a has the power (a * WINDOW / 2)**2 here and the energy a**2 * WINDOW / 2.
        share = (low_power + high_power) * 2 / WINDOW
        good = share >= _SHARE * np.einsum("ij,ij->i", samples, samples)
        good &= np.minimum(low_power, high_power) >= (_MIN_AMPLITUDE * WINDOW / 2) ** 2
        good &= (high_power <= low_power * _HIGH_OVER_LOW) & (low_power <= high_power * _LOW_OVER_HIGH)
        if good.any():
            turned = np.angle(tones * np.conj(np.vstack((self._before, tones[:-1]))) * _TURN)
            off = np.abs(turned) * _HZ_PER_RADIAN / _HZ
            # The first window of a tone has nothing to turn from.
            steady = np.maximum(off[rows, low], off[rows, high + 4]) <= _MAX_OFF
            first = np.concatenate(([not self._shown], ~good[:-1]))
            good &= steady | first
        self._before = tones[-1]
        return [int(key) for key in np.where(good, low * 4 + high, -1)]

    def _is_pressed(self, key: int) -> bool:
        """Count one window; True with the one that makes a press."""
        if key >= 0 and key == self._key:
            self._shown += 1
            self._missed = 0
            if self._shown >= PRESS_WINDOWS and not self._down:
                self._down = True
                return True
            return False
        self._missed += 1
        if not self._down or self._missed >= RELEASE_WINDOWS:
            self._key, self._shown, self._down = key, int(key >= 0), False
            self._missed = 0
        return False


class ToneListener:
    """A decoder that looks for keys in what it decodes, and gives them to ``press``."""

    def __init__(self, codec: Codec, decode: Callable[[bytes], bytes] | None, press: Callable[[str], None]) -> None:
        self._codec = codec
        self._decode = decode
        self._press = press
        self._detector = ToneDetector()
        self._unheard = bytearray()

    def __call__(self, payload: bytes) -> bytes:
        audio = payload if self._decode is None else self._decode(payload)
        self._unheard += audio
        if len(self._unheard) >= LISTEN_BYTES:
            for key in self._detector.push(decode_pcm(self._codec, bytes(self._unheard))):
                self._press(key)
            self._unheard.clear()
        return audio
