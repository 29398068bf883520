"""Numbers of RTP that wrap, taken so that they do not, and what RTCP reports of them (RFC 3550 appendices A.1, A.3)."""

MAX_DROPOUT = 3_000  # a minute of 20 ms packets (A.1)
MAX_MISORDER = 100  # further behind is a sender that started anew (A.1)
_WRAP = 1 << 16
_TIMESTAMP_HALF = 1 << 31
_TIMESTAMP_WRAP = 1 << 32


def ticks_between(earlier: int, later: int) -> int:
    """From one timestamp to another, the short way round: negative when ``later`` is not."""
    return (later - earlier + _TIMESTAMP_HALF) % _TIMESTAMP_WRAP - _TIMESTAMP_HALF


class SequenceNumbers:
    """One source's sequence numbers, from the ``first`` that is believed.

    Duplicates and late packets count as received, as A.3 wants it, so that ``lost`` may be
    negative. A jump (``extend`` gives None) belongs to a new start of the sender, which is for
    ``Probation`` to believe.
    """

    __slots__ = ("_expected_before", "_received_before", "first", "highest", "received")

    def __init__(self, first: int) -> None:
        self.first = first
        self.highest = first - 1
        self.received = 0
        self._expected_before = self._received_before = 0

    def extend(self, sequence: int) -> int | None:
        """The extended number nearest to the highest one, or None for a jump. Changes nothing.

        Up to 3,000 ahead count as loss, less than 100 behind as reordering.
        """
        ahead = (sequence - self.highest) % _WRAP
        if ahead < MAX_DROPOUT:
            return self.highest + ahead
        if ahead > _WRAP - MAX_MISORDER:
            return self.highest + ahead - _WRAP
        return None

    def receive(self, extended: int) -> None:
        """Count one packet of the stream, whether in order, doubled or late."""
        self.received += 1
        if extended > self.highest:
            self.highest = extended

    def advance(self, packets: int) -> None:
        """Count ``packets`` that came in order, all at once."""
        self.highest += packets
        self.received += packets

    @property
    def expected(self) -> int:
        return self.highest - self.first + 1

    @property
    def lost(self) -> int:
        """Cumulative number lost; negative when packets were doubled."""
        return self.expected - self.received

    def take_fraction_lost(self) -> int:
        """The share lost since the last call in 1/256, 0 to 255 (A.3)."""
        expected = self.expected - self._expected_before
        lost = expected - (self.received - self._received_before)
        self._expected_before, self._received_before = self.expected, self.received
        return min(255, lost * 256 // expected) if lost > 0 and expected > 0 else 0


FirstPacket = tuple[int, int, bytes]
"""(sequence number, timestamp, payload)."""


class Probation:
    """Believes a new source, or a new start of the old one, with its second packet in sequence (A.1).

    The first is kept until then, so that nothing of it is lost. A source does not pass while the
    one that is believed goes on: two that talk at once must not take turns.
    """

    __slots__ = ("_expected", "_first", "_progress")

    def __init__(self) -> None:
        self._expected: tuple[int, int] | None = None
        self._first: FirstPacket = (0, 0, b"")
        self._progress = -1

    def receive(self, ssrc: int, packet: FirstPacket, progress: int) -> FirstPacket | None:
        """The packet kept before this one when the two prove the source, else None.

        ``progress`` is any number that changes with every packet of the source believed so far.
        """
        if self._expected == (ssrc, packet[0]) and progress == self._progress:
            self._expected = None
            return self._first
        self._expected = ssrc, (packet[0] + 1) % _WRAP
        self._first, self._progress = packet, progress
        return None
