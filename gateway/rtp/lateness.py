"""Tell packets that are late for a while from a path, or a sender's clock, that has changed for good."""

from gateway.rtp.sequence import ticks_between

STANDING_S = 0.2  # late for so long without a break is no longer jitter
FAR_BEHIND_S = 1.0  # nothing is as late as this: the timestamps have been set back, or stood still,
FAR_BEHIND_STANDING_S = 0.015  # which two packets show


class Lateness:
    """One run of packets that all came too late."""

    __slots__ = ("_since", "_timestamp")

    def __init__(self) -> None:
        self._since: float | None = None
        self._timestamp = 0

    def __bool__(self) -> bool:
        """The last packet was late."""
        return self._since is not None

    def end(self) -> None:
        """A packet came in time."""
        self._since = None

    def is_standing(self, timestamp: int, late_s: float, tick_s: float, now: float) -> bool:
        """Count a late packet: whether they are so for so long, and at so even a pace, that they will stay so."""
        if self._since is not None:
            since_s = now - self._since
            sent_s = ticks_between(self._timestamp, timestamp) * tick_s
            if sent_s <= since_s + min(since_s, STANDING_S / 2) + 0.01:  # else the backlog of a halt, catching up
                return since_s >= (FAR_BEHIND_STANDING_S if late_s > FAR_BEHIND_S else STANDING_S)
        self._since = now
        self._timestamp = timestamp
        return False
