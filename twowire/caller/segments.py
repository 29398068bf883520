"""When somebody speaks: stretches of voiced 20 ms frames, by energy."""

from dataclasses import dataclass

import numpy as np

from twowire.caller.messages import FRAME_MS, FRAME_SAMPLES
from wire.audio.g711 import decode_ulaw

VOICED_ABOVE = 120.0  # loudness, -49 dBFS: twice the noise of a quiet line, a tenth of quiet speech
PAUSE_S = 0.8
"""Shorter silences are pauses within one utterance; a human listener waits about as long."""


@dataclass(frozen=True, slots=True)
class Segment:
    """An utterance on the media clock, from its first voiced frame to the end of its last."""

    start_s: float
    end_s: float


def loudness(frame: bytes) -> float:
    """Mean |sample| of µ-law, of 32,768; 0 where there is none."""
    return float(np.abs(decode_ulaw(frame).astype(np.int32)).mean()) if frame else 0.0


def speech_above(ulaw: bytes) -> float:
    """The loudness that counts as speech within one recording: 26 dB below its loudest 20 ms.

    A recording brings its own noise: one whose breath and line noise pass for speech would begin
    0.3 s early, and a latency measured from there would be that much too long.
    """
    frames = (ulaw[at : at + FRAME_SAMPLES] for at in range(0, len(ulaw), FRAME_SAMPLES))
    return max(VOICED_ABOVE, max(map(loudness, frames), default=0.0) / 20)


def silent_tail_bytes(ulaw: bytes, above: float) -> int:
    """How many bytes are left after the last frame louder than ``above``; all of them where none is."""
    for end in range(len(ulaw), 0, -FRAME_SAMPLES):
        if loudness(ulaw[max(0, end - FRAME_SAMPLES) : end]) > above:
            return len(ulaw) - end
    return len(ulaw)


class SpeechSegments:
    """Cuts one direction of a call into utterances."""

    def __init__(self) -> None:
        self.finished: list[Segment] = []
        self._first: int | None = None
        self._last = 0

    def push(self, frame: int, voiced: bool) -> None:
        """Take frame number ``frame``, in order."""
        if voiced:
            if self._first is None:
                self._first = frame
            self._last = frame
        elif self._first is not None and (frame - self._last) * FRAME_MS >= PAUSE_S * 1_000:
            self.cut()

    def cut(self) -> None:
        """End the open utterance here: what follows is another one."""
        if self._first is not None:
            self.finished.append(Segment(_seconds(self._first), _seconds(self._last + 1)))
            self._first = None

    @property
    def open_since_s(self) -> float | None:
        """Start of the utterance that has not ended yet."""
        return None if self._first is None else _seconds(self._first)

    def all(self) -> list[Segment]:
        """Every utterance so far, the open one too."""
        open_one = [] if self._first is None else [Segment(_seconds(self._first), _seconds(self._last + 1))]
        return self.finished + open_one


def _seconds(frame: int) -> float:
    return round(frame * FRAME_MS / 1_000, 3)
