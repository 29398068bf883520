"""Put packets back in order: hold those behind a gap, for as long as reordering is known to last.

The listener is a model that decides on chunks, not an ear: a packet in order never comes here.
Only when one is missing do its successors wait, and no longer than packets overtake each other
on this path.
"""

from bisect import insort

MIN_WAIT_S = 0.020  # one packet: two that swap places are seen on every path
MAX_WAIT_S = 0.160
_JITTER_FACTOR = 2.0  # twice the mean deviation covers most of what has not been seen yet
_MARGIN = 1.25
_FORGET = 0.9  # per window of 2.6 s: the worst is half forgotten after 17 s
_REMEMBERED = 100  # given-up packets; RFC 3550's MAX_MISORDER: an older one counts as a restart anyway

_WRAP = 1 << 32

Held = tuple[int, int, int, bytes]
"""(extended sequence number, kind, timestamp, payload)."""


class JitterBuffer:
    """The packets that wait for an earlier one, in order."""

    __slots__ = ("_given_up", "_held", "_noticed_at", "_worst_s", "duplicates", "late", "reordered")

    def __init__(self) -> None:
        self._held: list[Held] = []
        self._noticed_at: dict[int, float] = {}  # when each held packet came, and so showed the gap before it
        self._given_up: dict[int, float] = {}  # when the gap was noticed, of each packet no longer waited for
        self._worst_s = 0.0
        self.late = 0
        self.duplicates = 0
        self.reordered = 0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, packet: Held, now: float) -> None:
        """Keep a packet until it is in order or the gap before it is given up."""
        if packet[0] in self._noticed_at:
            self.duplicates += 1
            return
        insort(self._held, packet)
        self._noticed_at[packet[0]] = now

    def close_gap(self, now: float) -> None:
        """The packet all the others waited for is there: learn how long it took."""
        self.reordered += 1
        self._learn(now - self._gap_noticed_at())

    def give_up(self, start: int, end: int, now: float) -> None:
        """Wait no longer for the packets from ``start`` to before ``end``: should one come after all, it is late."""
        noticed_at = self._gap_noticed_at() if self._held else now
        for extended in range(max(start, end - _REMEMBERED), end):
            self._given_up[extended] = noticed_at
        while len(self._given_up) > _REMEMBERED:
            del self._given_up[next(iter(self._given_up))]

    def take(self) -> Held:
        """The first held packet; there must be one."""
        packet = self._held.pop(0)
        del self._noticed_at[packet[0]]
        return packet

    @property
    def first(self) -> int:
        """The extended sequence number of the first held packet."""
        return self._held[0][0]

    @property
    def span_ticks(self) -> int:
        """From the first held packet to the last, on the RTP clock."""
        return (self._held[-1][2] - self._held[0][2]) % _WRAP

    def clear(self) -> None:
        """The held packets will not be asked for."""
        self._held.clear()
        self._noticed_at.clear()

    def receive_behind(self, extended: int, now: float) -> None:
        """Count a packet that comes after its turn: late the first time, then a duplicate."""
        noticed_at = self._given_up.pop(extended, None)
        if noticed_at is None:
            self.duplicates += 1
        else:
            self.late += 1
            self._learn(now - noticed_at)

    def wait_s(self, jitter_s: float) -> float:
        """How long a gap is waited for now."""
        return min(max(MIN_WAIT_S, self._worst_s * _MARGIN, jitter_s * _JITTER_FACTOR), MAX_WAIT_S)

    def deadline(self, jitter_s: float) -> float:
        """When the first gap is given up."""
        return self._gap_noticed_at() + self.wait_s(jitter_s)

    def forget_slowly(self) -> None:
        """Another window of packets has passed."""
        self._worst_s *= _FORGET

    def forget_given_up(self) -> None:
        """The sender's numbers have begun anew."""
        self._given_up.clear()

    def _gap_noticed_at(self) -> float:
        return min(self._noticed_at.values())  # every held packet lies behind the first gap

    def _learn(self, lateness_s: float) -> None:
        if lateness_s > self._worst_s:
            self._worst_s = min(lateness_s, MAX_WAIT_S)
