"""Find where the caller starts and stops speaking, from p(speech) of each 32 ms frame."""

from dataclasses import dataclass
from enum import Enum

FRAME_SAMPLES = 512
"""One frame of the detector: 32 ms at 16 kHz (``model_worker.seams.Vad``)."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """When speech counts. Durations are frames of 32 ms.

    Two thresholds, as Silero's own iterator has them: one frame in doubt does not end a word. 19
    quiet frames are 0.6 s; measured on one human speaker, 0.8-1.2 s (two or three chunks) of
    silence still interrupts one hesitation in three, and each 0.1 s more is waited in every turn.
    An utterance of fewer than 4 speech frames (128 ms) is a click; "no" takes about 200 ms.
    """

    speech_above: float = 0.5
    quiet_below: float = 0.35
    onset_frames: int = 2
    quiet_frames: int = 19
    least_speech_frames: int = 4
    most_frames: int = 375  # 12 s: longer than any expected phrase; noise without end must not hold the line


class EdgeKind(Enum):
    ONSET = "onset"
    END = "end"
    CLICK = "click"
    """The end of something too short to be a word."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech begins or is over at ``frame``, counted from 0 since the call began."""

    kind: EdgeKind
    frame: int


class Endpointer:
    """Turns frame probabilities into edges; ONSET and END or CLICK alternate."""

    def __init__(self, policy: EndpointPolicy | None = None) -> None:
        self.speaking = False
        """Between ONSET and its end."""
        self.in_speech = False
        """The last frame was speech."""
        self._policy = policy or EndpointPolicy()
        self._frame = 0
        self._run = 0  # frames in a row that speak against the present state
        self._speech_frames = 0
        self._utterance_frames = 0

    @property
    def quiet_frames(self) -> int:
        """While ``speaking``: how many frames in a row were quiet by now."""
        return self._run if self.speaking else 0

    def end(self) -> Edge:
        """End the utterance with the last frame, sooner than the policy would. Only while ``speaking``."""
        assert self.speaking, "an utterance that is open is ended"
        return self._end(self._frame - 1)

    def push(self, probability: float) -> Edge | None:
        """Feed the next frame."""
        frame = self._frame
        self._frame += 1
        self.in_speech = probability >= self._policy.speech_above
        return self._push_speaking(probability, frame) if self.speaking else self._push_quiet(frame)

    def _push_quiet(self, frame: int) -> Edge | None:
        self._run = self._run + 1 if self.in_speech else 0
        if self._run < self._policy.onset_frames:
            return None
        self.speaking = True
        self._speech_frames = self._utterance_frames = self._run
        self._run = 0
        return Edge(EdgeKind.ONSET, frame)

    def _push_speaking(self, probability: float, frame: int) -> Edge | None:
        policy = self._policy
        self._utterance_frames += 1
        if self.in_speech:
            self._speech_frames += 1
        self._run = self._run + 1 if probability < policy.quiet_below else 0
        if self._run < policy.quiet_frames and self._utterance_frames < policy.most_frames:
            return None
        return self._end(frame)

    def _end(self, frame: int) -> Edge:
        self.speaking = False
        self._run = 0
        is_speech = self._speech_frames >= self._policy.least_speech_frames
        return Edge(EdgeKind.END if is_speech else EdgeKind.CLICK, frame)
