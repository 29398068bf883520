"""What the server is given to hear of the caller while the agent's voice is audible.

The server interrupts itself at any sound of speech, a "mhm" as well, and only then; there is no message by which it
could be told to stop. Who gets the floor is decided at the gateway. So over the agent's voice the server hears quiet
noise, and the caller's sound is held back: given to it where the caller gets the floor, which makes the server stop and
listen by itself, and left out where the agent keeps it.
"""

from collections import deque

import numpy as np

from model_worker.seams import Pcm
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import quiet_frames

INTERRUPTION_S = (
    3.0  # the gateway decides within 1.6 s of an overlap, and a word may have begun before that was noticed
)
TAIL_S = 0.6  # who answers the last word begins before it is over


class Playback:
    """How much of what the server said is still to be heard."""

    def __init__(self) -> None:
        self._turns: deque[float] = deque()
        """Seconds of sound in each turn that plays or waits, oldest first."""
        self._heard_s = 0.0
        self._told = False

    @property
    def over(self) -> bool:
        """Everything that came was heard, as far as was told."""
        return not self._turns or (len(self._turns) == 1 and self._heard_s >= self._turns[0] - 0.002)

    def add(self, seconds: float, *, new_turn: bool) -> None:
        if new_turn or not self._turns:
            self._turns.append(0.0)
        self._turns[-1] += seconds

    def played(self, heard_s: float) -> None:
        """So much of the turn at hand was heard; less than before: it is the next one."""
        if len(self._turns) > 1 and heard_s < self._heard_s:
            self._turns.popleft()
        self._heard_s = heard_s
        self._told = True

    def drop(self) -> None:
        self._turns.clear()
        self._heard_s = 0.0
        self._told = False

    def audible(self) -> bool:
        """Whether the caller heard some of it during the chunk that came now; asked once a chunk."""
        told, self._told = self._told, False
        if self._heard_s > 0.0 and not told:  # it came to its end
            self._heard_s = 0.0
            if self._turns:
                self._turns.popleft()
        return told and not self.over


class Ear:
    """``hear`` each chunk; ``release`` where the caller got the floor. Both give what the server is to hear."""

    def __init__(self, codec: Codec) -> None:
        self._rate_hz = codec.sample_rate_hz
        self._codec = codec
        self._held: deque[Pcm] = deque()
        self._chunks = 0

    def hear(self, pcm: Pcm, *, hold: bool) -> Pcm:
        if not hold:
            return np.concatenate((self._newest(TAIL_S), pcm))
        self._held.append(pcm)
        while sum(map(len, self._held)) - len(self._held[0]) >= INTERRUPTION_S * self._rate_hz:
            self._held.popleft()
        frames = quiet_frames(self._codec, len(pcm))
        self._chunks += 1
        return np.frombuffer(frames[self._chunks % len(frames)], np.int16)

    def release(self) -> Pcm:
        """What was held back; empty where nothing was."""
        return self._newest(INTERRUPTION_S)

    def _newest(self, seconds: float) -> Pcm:
        held = np.concatenate((np.empty(0, np.int16), *self._held))
        self._held.clear()
        return held[max(0, len(held) - round(seconds * self._rate_hz)) :]
