"""When to leave a server alone."""

from collections.abc import Callable
from typing import Generic, TypeVar

FaultT = TypeVar("FaultT")


class Breaker(Generic[FaultT]):
    """Leaves a server alone that failed ``max_failures`` times in a row.

    One attempt is let through after ``pause_s``; if that fails too, the pause begins anew.
    """

    def __init__(self, max_failures: int, pause_s: float, clock: Callable[[], float]) -> None:
        self._max_failures = max_failures
        self._pause_s = pause_s
        self._clock = clock
        self._failures = 0
        self._last: FaultT | None = None
        self._paused_until = float("-inf")

    def refuses(self) -> FaultT | None:
        """The fault that the next attempt would meet; None to try it."""
        if self._failures < self._max_failures:
            return None
        now = self._clock()
        if now < self._paused_until:
            return self._last
        self._paused_until = now + self._pause_s  # for all but this one; it may be dropped and never tell
        return None

    def succeeded(self) -> bool:
        """Whether a pause ends with this."""
        was_paused = self._failures >= self._max_failures
        self._failures = 0
        self._paused_until = float("-inf")
        return was_paused

    def failed(self, fault: FaultT) -> bool:
        """Whether a pause begins with this."""
        self._failures += 1
        self._last = fault
        if self._failures >= self._max_failures:
            self._paused_until = self._clock() + self._pause_s
        return self._failures == self._max_failures
