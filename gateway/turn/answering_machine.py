"""Who picked up a call that we placed: a person, or a machine that plays its greeting.

A person says "hello?" and waits for an answer; a machine speaks on, and beeps. Only the first seconds tell, and only
as a hint: a talkative person and a machine of few words are taken for one another.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

FRAME_MS = 20
WINDOW_S = 5.0  # greetings of machines that do not show by then begin with a pause nobody waits for

_SPEECH_RMS = 260.0  # of 32,768, -42 dBFS: above the noise of a line, below a voice that is far from its telephone
_LONG_S = 2.2  # speech without a pause: people answer the telephone in a second, with name and company in two
_PAUSE_S = 0.5  # a shorter one is within an utterance: people and machines breathe
_WAIT_S = 1.0  # of silence after a short greeting: the other side is waited for
_ONSET_FRAMES = 3  # a click is shorter
_BEEP_HZ = (350.0, 1_000.0)
_BEEP_FRAMES = 15  # 0.3 s: no vowel holds one pure tone for so long
_BEEP_OFF_HZ = 20.0  # what the pitch of a beep may differ by from frame to frame
_BEEP_SHARE = 0.9  # of the energy within 100 Hz of it
_MIN_BEEP_RMS = 600.0

Pcm = npt.NDArray[np.int16]


class AnsweredBy(StrEnum):
    """What is known so far; the value stands in the call's record."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


class AnsweringMachineDetector:
    """Listens to the first five seconds of one call, fed in pieces of any length."""

    def __init__(self, codec: Codec) -> None:
        self.verdict = AnsweredBy.UNKNOWN
        """The best guess by now; final once ``done``. A person may turn out to be a machine, not the reverse."""
        self.done = False
        self._codec = codec
        self._frame_samples = codec.sample_rate_hz * FRAME_MS // 1_000
        self._frame_bytes = self._frame_samples * codec.bytes_per_sample
        self._hann = np.hanning(self._frame_samples)
        self._hz = np.fft.rfftfreq(self._frame_samples, 1 / codec.sample_rate_hz)
        self._pending = b""
        self._frames = 0
        self._run = 0  # speech frames without a gap
        self._began: int | None = None  # frame in which the utterance under way began
        self._last_speech = 0
        self._spoken = False  # an utterance has ended
        self._beep_frames = 0
        self._beep_hz = 0.0

    def push(self, audio: bytes) -> AnsweredBy:
        """Take bytes of the leg's codec; what is known with them."""
        self._pending += audio
        while not self.done and len(self._pending) >= self._frame_bytes:
            frame, self._pending = self._pending[: self._frame_bytes], self._pending[self._frame_bytes :]
            self._take(decode(self._codec, frame))
        return self.verdict

    def _take(self, pcm: Pcm) -> None:
        samples = pcm.astype(np.float64)
        rms = float(np.sqrt(np.mean(samples**2)))
        self._listen_for_words(rms >= _SPEECH_RMS)
        self._listen_for_beep(samples, rms)
        self._frames += 1
        if self._frames * FRAME_MS >= WINDOW_S * 1_000:
            self._close()

    def _listen_for_words(self, speech: bool) -> None:
        frame = self._frames
        if speech:
            self._run += 1
            if self._began is None and self._run >= _ONSET_FRAMES:
                self._began = frame - self._run + 1
            if self._began is not None:
                self._last_speech = frame
                if _seconds(frame + 1 - self._began) > _LONG_S:
                    self._decide(AnsweredBy.MACHINE)
            return
        self._run = 0
        silence_s = _seconds(frame - self._last_speech)
        if self._began is not None and silence_s >= _PAUSE_S:
            self._began = None
            self._spoken = True
        if self._spoken and self._began is None and silence_s >= _WAIT_S:
            self._decide(AnsweredBy.HUMAN)

    def _listen_for_beep(self, samples: npt.NDArray[np.float64], rms: float) -> None:
        hz = self._pitch(samples) if rms >= _MIN_BEEP_RMS else 0.0
        steady = hz > 0 and (not self._beep_frames or abs(hz - self._beep_hz) <= _BEEP_OFF_HZ)
        self._beep_frames = self._beep_frames + 1 if steady else int(hz > 0)
        self._beep_hz = hz
        if self._beep_frames >= _BEEP_FRAMES:
            self._decide(AnsweredBy.MACHINE)

    def _pitch(self, samples: npt.NDArray[np.float64]) -> float:
        """The frequency of a frame that is one pure tone where beeps are; else 0."""
        power = np.abs(np.fft.rfft(samples * self._hann)) ** 2
        peak = int(power.argmax())
        if not 2 <= peak < len(power) - 2 or power[peak - 2 : peak + 3].sum() < _BEEP_SHARE * power.sum():
            return 0.0
        # Where the parabola through the three highest points has its top, in decibels as the window's lobe is round.
        left, top, right = np.log(power[peak - 1 : peak + 2] + 1e-9)
        bend = left - 2 * top + right
        hz = float(self._hz[peak] + (self._hz[1] * (left - right) / (2 * bend) if bend else 0.0))
        return hz if _BEEP_HZ[0] <= hz <= _BEEP_HZ[1] else 0.0

    def _decide(self, verdict: AnsweredBy) -> None:
        self.verdict = verdict
        if verdict is AnsweredBy.MACHINE:
            self._close()

    def _close(self) -> None:
        self.done = True
        self._pending = b""


def _seconds(frames: int) -> float:
    return frames * FRAME_MS / 1_000
