"""Many deadlines, one next: timers of calls as data."""

import heapq
from collections.abc import Callable

Action = Callable[[float], None]


class Timer:
    """One deadline; ``cancel`` it when what it waits for has happened."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Action) -> None:
        self.at = at
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None

    @property
    def pending(self) -> bool:
        return self.action is not None


class Deadlines:
    """A heap of timers. Cancelled ones are dropped when they come to the top, or when they are the most."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def __len__(self) -> int:
        return sum(1 for _, _, timer in self._heap if timer.pending)

    def at(self, when: float, action: Action) -> Timer:
        """Run ``action(now)`` at ``when``, not before."""
        timer = Timer(when, action)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, timer))
        # A long session timer cancelled at hang-up would else stay for half an hour.
        if self._count % 4_096 == 0:
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
        return timer

    def next(self) -> float | None:
        while self._heap and not self._heap[0][2].pending:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Run what is due, in order. What an action sets for ``now`` or earlier runs too."""
        while (when := self.next()) is not None and when <= now:
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            assert action is not None, "next() leaves a pending timer on top"
            action(now)
