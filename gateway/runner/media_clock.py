"""Where the caller's media time stands on the call's own clock.

The caller's samples are counted by his clock, what the agent says is timed by ours: after an hour of a clock that is
100 ppm off they are 0.36 s apart. Every decision tells when the chunk it answers was complete; the network only ever
makes a chunk late, so that the least lateness of the last while is the distance of the two.
"""

from collections import deque
from math import inf

WINDOW_CHUNKS = 64  # a sender that runs 100 ppm slow is followed within two windows: 51 s, or 5 ms
STEP_S = 0.1
STEP_CHUNKS = 8  # chunks that are all later than before by STEP_S or more: the media stood still for a while
MAX_UNDECIDED = 256  # of the core: more are not waited for


class MediaClock:
    """One call's. Times are seconds since the call began; before the first decision both clocks count as one."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._ends: deque[tuple[int, int]] = deque(maxlen=MAX_UNDECIDED)
        self._low = self._low_before = inf
        self._seen = 0
        self._late = 0
        self._late_low = inf
        self.lead_s: float | None = None
        """When the first sample came, as far as the first decided chunk tells."""

    def chunk_sent(self, index: int, end_samples: int) -> None:
        """Chunk ``index``, whose last sample is before ``end_samples`` of media time, is on its way to the model."""
        self._ends.append((index, end_samples))

    def chunk_complete(self, index: int, at_s: float) -> None:
        """The last sample of chunk ``index`` came at ``at_s``."""
        if not self._ends or not self._ends[0][0] <= index <= self._ends[-1][0]:
            return
        sent, end_samples = self._ends.popleft()
        while sent < index:  # their decisions will not come
            sent, end_samples = self._ends.popleft()
        offset_s = at_s - end_samples / self._rate_hz
        if self.lead_s is None:
            self.lead_s = max(0.0, offset_s)
        self._note_step(offset_s)
        self._low = min(self._low, offset_s)
        self._seen += 1
        if self._seen % WINDOW_CHUNKS == 0:
            self._low_before, self._low = self._low, inf

    def _note_step(self, offset_s: float) -> None:
        if offset_s < self.offset_s + STEP_S or self._seen == 0:
            self._late, self._late_low = 0, inf
            return
        self._late += 1
        self._late_low = min(self._late_low, offset_s)
        if self._late == STEP_CHUNKS:
            self._low = self._low_before = self._late_low
            self._late, self._late_low = 0, inf

    @property
    def offset_s(self) -> float:
        """The call's clock less media time."""
        lowest = min(self._low, self._low_before)
        return 0.0 if lowest == inf else lowest

    def media_s(self, at_s: float) -> float:
        """The caller's media time at a moment of the call."""
        return at_s - self.offset_s
