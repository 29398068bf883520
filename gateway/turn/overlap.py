"""Notice that the caller speaks while the agent is audible: the trigger of barge-in.

Runs only then, on the 20 ms frames of phone audio. WebRTC's VAD sees speech within one or two
frames (facts measured on µ-law: onset 16 ms median in quiet, 46 ms at 5 dB), but also in
clicks; an onset therefore counts when most frames of a short window are speech.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import webrtcvad

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class OverlapPolicy:
    """When speech over the agent's voice takes the floor.

    ``speech_frames`` of the last ``window_frames`` frames (20 ms each) must be speech. 8 of 10
    is 160 ms at the earliest: longer than a click or a cough's burst, and half of what peers
    wait. ``aggressiveness`` is WebRTC's mode; 3 errs on the side of not hearing line noise.
    """

    window_frames: int = 10
    speech_frames: int = 8
    aggressiveness: int = 3


class SpeechOnset:
    """Finds the start of the caller's speech in audio of one codec."""

    def __init__(self, codec: Codec, policy: OverlapPolicy) -> None:
        self._frame_bytes = codec.sample_rate_hz * codec.bytes_per_sample * FRAME_MS // 1_000
        self._policy = policy
        self._is_speech = SpeechFrames(codec, policy.aggressiveness).is_speech
        self._window: deque[bool] = deque(maxlen=policy.window_frames)
        self._voiced = 0
        self._pending = b""

    def push(self, audio: bytes | bytearray) -> bool:
        """Feed audio of any length; True when the caller has taken the floor in it. What follows is not looked at."""
        heard = self._pending + audio
        size = self._frame_bytes
        whole = len(heard) // size * size
        self._pending = heard[whole:]
        for at in range(0, whole, size):
            if len(self._window) == self._policy.window_frames:
                self._voiced -= self._window[0]
            speech = self._is_speech(heard[at : at + size])
            self._window.append(speech)
            self._voiced += speech
            if self._voiced >= self._policy.speech_frames:
                return True
        return False

    @property
    def voiced_frames(self) -> int:
        """How many frames ago the speech in the window began, the newest included."""
        voiced = list(self._window)
        return len(voiced) - voiced.index(True) if self._voiced else 0

    @property
    def wanted_bytes(self) -> int:
        """What is worth a wake-up: a frame while speech may be beginning, else two (on average 10 ms later)."""
        return self._frame_bytes * (1 if self._voiced else 2) - len(self._pending)

    def reset(self) -> None:
        """Forget what was heard: the agent has just become audible."""
        self._window.clear()
        self._voiced = 0
        self._pending = b""


class SpeechFrames:
    """Tells speech from other sound, frame by frame of 20 ms. One after the other: the detector adapts to the line."""

    def __init__(self, codec: Codec, aggressiveness: int) -> None:
        self._codec = codec
        self._quiet = _quiet_bytes(codec)
        self._vad = webrtcvad.Vad(aggressiveness)

    def is_speech(self, frame: bytes) -> bool:
        """Judge the next frame."""
        if self._quiet and len(frame.translate(None, self._quiet)) * 10 < len(frame):
            return False  # nine samples in ten below -42 dBFS: one pass in C spares the decoder and the VAD
        return bool(self._vad.is_speech(decode(self._codec, frame).tobytes(), self._codec.sample_rate_hz))


def _quiet_bytes(codec: Codec) -> bytes:
    """The G.711 codes of samples below 256 of 32,768; empty for linear codecs."""
    if codec.bytes_per_sample != 1:
        return b""
    codes = np.arange(256, dtype=np.uint8).tobytes()
    levels = np.abs(decode(codec, codes).astype(np.int32))
    return bytes(np.flatnonzero(levels < 256).tolist())
