"""How many calls a worker takes on: as many as it decides for in time and has memory for, found by trying.

Latency says little until the cliff: a step carries all calls, and one call more than fit makes every decision late. So
the number is let grow by one while decisions are early, and cut by a fifth when they are not (AIMD, as TCP does; the
streaming-inference literature finds the same law for it). Calls that are here are never cut: the worker offers less.
What fills up with the length of the calls rather than with their number, the model's memory of them, does not show in
any latency before it is full, and is looked at itself.
"""

from collections.abc import Sequence
from math import ceil

# Of a chunk's length, from its arrival to its decision, at the 95th percentile. Beyond a half there is no room for a
# burst; below a quarter there is room for another call even where cost grows faster than the number of calls.
LATE_SHARE = 0.5
EARLY_SHARE = 0.25
DECREASE = 0.8
# Judgements in a row. At a judgement a second a kernel that is compiled, or a call that is heard again after another
# worker died, is over before the third; cut at the first, a worker with few calls would offer next to nothing.
LATE_REVIEWS = 3
HOLD_S = 10.0  # after a cut: calls end before it shows what it did
GROW_EVERY_S = 5.0  # a new call needs some seconds before it costs what it costs
MIN_DECISIONS = 20  # of which a 95th percentile says something
# Of the memory for contexts. Calls that are here go on filling it: a tenth is what is left to them. One that keeps a
# moving window is full between three quarters and all of it, so that a worker full of those stays below.
MEMORY_FULL_SHARE = 0.9
MEMORY_EASED_SHARE = 0.8  # from which new calls come again; with one bound each call that ends would let one in and out


class Admission:
    """``observe`` every decision, ``review`` about once a second; ``offered`` is how many calls there may be. Pure."""

    def __init__(self, slots: int, chunk_s: float) -> None:
        self.slots = slots
        self.admitted = slots
        """As many as are decided for in time."""
        self.offered = slots
        """``admitted``, or, where the memory is full, no more than are here."""
        self._late_s = LATE_SHARE * chunk_s
        self._early_s = EARLY_SHARE * chunk_s
        self._waits_s: list[float] = []
        self._late_reviews = 0
        self._memory_full = False
        self._hold_until = float("-inf")
        self._grow_at = float("-inf")

    def observe(self, waited_s: float) -> None:
        """A chunk was decided on ``waited_s`` after it came; how old it was by then is not this worker's doing."""
        self._waits_s.append(waited_s)

    def review(self, open_calls: int, memory_share: float | None, now: float) -> None:
        """Judge what was observed since the last judgement, and how full the memory is; None where it has no bound."""
        if len(self._waits_s) >= MIN_DECISIONS:
            self._judge(_percentile_95(self._waits_s), open_calls, now)
            self._waits_s.clear()
        bound = MEMORY_EASED_SHARE if self._memory_full else MEMORY_FULL_SHARE
        self._memory_full = memory_share is not None and memory_share > bound
        # One at least: with no call here nothing would ever show that there is room again.
        self.offered = max(1, min(self.admitted, open_calls)) if self._memory_full else self.admitted

    def _judge(self, waited_s: float, open_calls: int, now: float) -> None:
        self._late_reviews = self._late_reviews + 1 if waited_s > self._late_s else 0
        if self._late_reviews:
            self._grow_at = now + GROW_EVERY_S
        # While more are here than admitted, the last cut has not shown yet: another would only add up.
        if self._late_reviews >= LATE_REVIEWS and open_calls <= self.admitted and now >= self._hold_until:
            self.admitted = max(1, int(open_calls * DECREASE))
            self._hold_until = self._grow_at = now + HOLD_S
        elif waited_s < self._early_s and self._is_asked_for_more(open_calls) and now >= self._grow_at:
            self.admitted += 1
            self._grow_at = now + GROW_EVERY_S

    def _is_asked_for_more(self, open_calls: int) -> bool:
        return self.admitted < self.slots and open_calls >= self.admitted


def _percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[ceil(0.95 * len(values)) - 1]
