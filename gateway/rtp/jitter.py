"""How regularly packets arrive: interarrival jitter (RFC 3550 §6.4.1, A.8) and the spread of their transit."""

from math import inf

WINDOW_PACKETS = 128  # 2.6 s at 20 ms: a spread is forgotten after one to two windows


class Transit:
    """Statistics over the relative transit time of one stream's packets, in seconds.

    The transit of a packet is its arrival on our clock less its timestamp on the sender's; only
    differences mean anything. ``lowest`` follows a sender whose clock runs slow within two windows.
    """

    __slots__ = ("_high", "_high_before", "_last", "_low", "_low_before", "jitter_s")

    def __init__(self, transit_s: float) -> None:
        self.jitter_s = 0.0
        self.restart(transit_s)

    def restart(self, transit_s: float) -> None:
        """Begin anew at ``transit_s``, after a change of source or of its clock; the jitter stays."""
        self._last = self._low = self._low_before = self._high = self._high_before = transit_s

    def update(self, transit_s: float) -> None:
        """Count a packet; 16 is the gain of A.8."""
        moved_s = transit_s - self._last
        self._last = transit_s
        self.jitter_s += ((moved_s if moved_s > 0.0 else -moved_s) - self.jitter_s) * 0.0625
        if transit_s > self._high:
            self._high = transit_s
        if transit_s < self._low:
            self._low = transit_s

    def rotate(self) -> None:
        """Forget the window before the present one; to be called every ``WINDOW_PACKETS`` packets."""
        if self._low == inf:
            return  # nothing came since the last call
        self._low_before, self._high_before = self._low, self._high
        self._low, self._high = inf, -inf

    @property
    def lowest(self) -> float:
        """The least transit of late: when the fastest packets arrive."""
        return self._low if self._low < self._low_before else self._low_before

    @property
    def spread_s(self) -> float:
        """From the fastest packet of late to the slowest."""
        high = self._high if self._high > self._high_before else self._high_before
        return high - self.lowest
