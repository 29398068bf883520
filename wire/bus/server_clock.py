"""The Redis server's clock, read from here: how old is an entry, without synchronized hosts.

The id of a stream entry holds the server's wall clock in milliseconds. ``TIME`` asked now and then
says how far that clock is from our monotonic one; the answer with the shortest round trip is the
most exact (Cristian, "Probabilistic clock synchronization", 1989).
"""

from collections import deque
from typing import NamedTuple

_WINDOW = 6  # samples; one every 5 s makes 30 s, in which two crystals part by 3 ms at 100 ppm
_DRIFT_S = 0.01  # what may lie between two samples of the window without a step of the clock
_HALF_ID_S = 0.0005  # an id is cut to whole milliseconds, so that on average it is half of one early


class _Sample(NamedTuple):
    round_trip_s: float
    offset_s: float


class ServerClock:
    """Lags of stream entries. Needs one sample before it can be asked."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW)

    def offer(self, asked_at: float, answered_at: float, server_unix_s: float) -> None:
        """Take one answer of ``TIME``; the first two are seconds of the local monotonic clock.

        An answer that no round trip can explain means that the server's clock was set, or that
        another server answers: everything before it is forgotten.
        """
        sample = _Sample(answered_at - asked_at, server_unix_s - (asked_at + answered_at) / 2)
        if self._samples:
            best = min(self._samples)
            explained_s = (sample.round_trip_s + best.round_trip_s) / 2 + _DRIFT_S
            if abs(sample.offset_s - best.offset_s) > explained_s:
                self._samples.clear()
        self._samples.append(sample)

    def lag_s(self, entry_unix_ms: int, now: float) -> float:
        """Seconds from the server writing an entry to ``now``; never negative."""
        server_now_s = now + min(self._samples).offset_s
        return max(0.0, server_now_s - entry_unix_ms / 1000 - _HALF_ID_S)
