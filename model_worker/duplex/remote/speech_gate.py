"""Turns out of a stream that never ends: models that speak and are silent in one continuous sound.

Such a model says nothing about where it begins and ends; its sound does. A turn is over when the silence is longer than
any pause. Of a pause only the beginning is let through: the stream comes at the pace of speech, so what follows the
pause is played that much later by itself, and the end of a turn does not wait for silence to be played.
"""

from collections import deque
from enum import Enum, auto

import numpy as np

from model_worker.duplex.remote.effects import Sound, TurnOver
from model_worker.seams import Pcm

FRAME_S = 0.02
# What a neural codec makes of silence lies below, the softest consonant above; LiveKit's plugin for OpenAI Live
# (1.8.9) gates at the same level and holds as long. One step of G.711 is 0.00024.
LOUD_RMS = 0.0006
HOLD_S = 0.8
# A pause between two sentences is seldom as long; one who yields to the caller is silent for longer than this.
FENCE_S = 0.4
_TAIL_FRAMES = 5  # the fading end of a word
_ONSET_FRAMES = 2  # one alone is a click
_LEAD_FRAMES = 3  # soft beginnings of words


class _State(Enum):
    QUIET = auto()
    SPEAKING = auto()
    MUTED = auto()


class SpeechGate:
    """``push`` gives ``Sound`` of turns and ``TurnOver`` between them; at most 20 ms wait for the next push."""

    def __init__(
        self, rate_hz: int, loud_rms: float = LOUD_RMS, hold_s: float = HOLD_S, fence_s: float = FENCE_S
    ) -> None:
        """``loud_rms``: of full scale, what counts as sound. ``fence_s``: the silence that ends a ``mute``."""
        self.passed_samples = 0
        """Of the stream so far, whether it was let through or not: the stream's own clock."""
        self._frame = round(FRAME_S * rate_hz)
        self._loud = loud_rms * 32_768
        self._hold_frames = round(hold_s / FRAME_S)
        self._fence_frames = round(fence_s / FRAME_S)
        self._state = _State.QUIET
        self._run = 0
        """Frames in a row that are unlike the state: loud ones while QUIET, quiet ones else."""
        self._lead: deque[Pcm] = deque(maxlen=_LEAD_FRAMES)
        self._rest: Pcm = np.empty(0, np.int16)

    @property
    def speaking(self) -> bool:
        """A turn is open."""
        return self._state is _State.SPEAKING

    @property
    def muted(self) -> bool:
        """What comes is still of a turn that was cut off."""
        return self._state is _State.MUTED

    def mute(self) -> None:
        """Let nothing more of the open turn through: not before there was silence, however long that takes.

        Nothing happens where no turn is open. A model that speaks on within ``fence_s`` is not heard until it pauses.
        """
        if self._state is _State.SPEAKING:
            self._become(_State.MUTED)

    def push(self, pcm: Pcm) -> list[Sound | TurnOver]:
        """More of the stream, int16 ``(samples,)`` of any length."""
        stream = np.concatenate((self._rest, pcm)) if len(self._rest) else pcm
        whole = len(stream) // self._frame * self._frame
        self._rest = stream[whole:]
        frames = stream[:whole].reshape(-1, self._frame)
        loud = np.sqrt(np.mean(np.square(frames, dtype=np.float32), axis=1)) >= self._loud
        events: list[Sound | TurnOver] = []
        through: list[Pcm] = []
        for frame, is_loud in zip(frames, loud.tolist(), strict=True):
            self.passed_samples += self._frame
            through += self._let_through(frame, is_loud)
            if self._state is _State.SPEAKING and self._run >= self._hold_frames:
                if through:
                    events.append(Sound(np.concatenate(through)))
                events.append(TurnOver())
                through = []
                self._become(_State.QUIET)
        if through:
            events.append(Sound(np.concatenate(through)))
        return events

    def _let_through(self, frame: Pcm, is_loud: bool) -> list[Pcm]:
        unlike = is_loud == (self._state is _State.QUIET)
        self._run = self._run + 1 if unlike else 0
        if self._state is _State.SPEAKING:
            self._lead.append(frame)
            if self._run > _TAIL_FRAMES:
                return []
            through = list(self._lead)
            self._lead.clear()
            return through
        if self._state is _State.MUTED:
            if self._run >= self._fence_frames:
                self._become(_State.QUIET)
            return []
        self._lead.append(frame)
        if self._run < _ONSET_FRAMES:
            return []
        begun = list(self._lead)
        self._become(_State.SPEAKING)
        return begun

    def _become(self, state: _State) -> None:
        self._state = state
        self._run = 0
        self._lead.clear()
