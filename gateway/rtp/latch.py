"""Learn where the media of a leg comes from, and let nobody else in (RFC 4961 symmetric RTP).

SDP often names an address that the peer's NAT has rewritten, so the source is learnt from the
first packets. An open port is also sprayed by strangers who hope to be taken for the peer
("RTP bleed"), so the address of the SDP is believed at once and any other only after packets in
sequence; after the handshake the source is fixed. A NAT that gives the peer a new port in mid-call
is followed only when the old source is silent and the same SSRC goes on where it was. A peer that
began so late that a stranger was taken for it gets its call back: the SDP's host comes before any other.
"""

from gateway.rtp.packet import HEADER_BYTES, read_fixed

Address = tuple[str, int]

HANDSHAKE_S = 1.0  # from the first packet that is let in: until then the SDP's address may still take over
REBIND_SILENCE_S = 0.2
SAME_HOST_PACKETS = 2  # in sequence, from another port of the SDP's host
OTHER_HOST_PACKETS = 5  # in sequence, from any other host: 100 ms that a spray at random never gets through
_MAX_PACKETS_PER_S = 200  # 5 ms packets: how far a sender's numbers may run while nothing is heard
_SLACK_PACKETS = 50


class Latch:
    """Decides which datagrams of one port are the peer's media.

    ``expected`` is the address of the peer's SDP, with its port 0 when there is none.
    """

    __slots__ = (
        "_candidate",
        "_candidate_next",
        "_candidate_packets",
        "_expected",
        "_fixed_at",
        "_heard_at",
        "_last",
        "rebound",
        "refused",
        "source",
    )

    def __init__(self, expected: Address) -> None:
        self._expected = expected
        self.source: Address | None = None
        self._last = b""
        self._heard_at = 0.0
        self._fixed_at: float | None = None
        self._candidate: Address | None = None
        self._candidate_next = (0, 0)
        self._candidate_packets = 0
        self.refused = 0
        self.rebound = 0

    def expect(self, address: Address) -> None:
        """The peer's SDP now names ``address``: begin a new handshake, and go on hearing the old source in it."""
        if address != self._expected:
            self._expected = address
            self._fixed_at = None

    def admits(self, source: Address, datagram: bytes, now: float) -> bool:
        """Whether a datagram from ``source`` may pass. ``self.source`` is then where to send to."""
        if source == self.source:
            self._last = datagram
            self._heard_at = now
            return True
        if self._is_the_peer(source, datagram, now):
            self._take(source, datagram, now)
            return True
        self.refused += 1
        return False

    def _is_the_peer(self, source: Address, datagram: bytes, now: float) -> bool:
        if len(datagram) < HEADER_BYTES:
            return False
        bits, sequence, _, ssrc = read_fixed(datagram)
        if bits >> 14 != 2 or 192 <= bits & 0xFF <= 223:  # no RTP, or RTCP, which may come from anywhere
            return False
        host = self._expected[0]
        nearer = self.source is not None and self.source[0] != host == source[0]
        fixed = self._fixed_at is not None and now >= self._fixed_at
        if fixed and self._continues(ssrc, sequence, now):
            return True
        if source == self._expected:
            return nearer or not fixed
        return (nearer or self._fixed_at is None) and self._proves_itself(source, ssrc, sequence)

    def _proves_itself(self, source: Address, ssrc: int, sequence: int) -> bool:
        if source != self._candidate or (ssrc, sequence) != self._candidate_next:
            self._candidate, self._candidate_packets = source, 0
        self._candidate_packets += 1
        self._candidate_next = ssrc, (sequence + 1) & 0xFFFF
        same_host = source[0] == self._expected[0]
        return self._candidate_packets >= (SAME_HOST_PACKETS if same_host else OTHER_HOST_PACKETS)

    def _continues(self, ssrc: int, sequence: int, now: float) -> bool:
        silent_s = now - self._heard_at
        if silent_s < REBIND_SILENCE_S or len(self._last) < HEADER_BYTES:
            return False
        _, last_sequence, _, last_ssrc = read_fixed(self._last)
        ahead = int(sequence - last_sequence) & 0xFFFF
        return ssrc == last_ssrc and 0 < ahead <= min(_SLACK_PACKETS + int(silent_s * _MAX_PACKETS_PER_S), 0x7FFF)

    def _take(self, source: Address, datagram: bytes, now: float) -> None:
        if self._fixed_at is None:
            self._fixed_at = now + HANDSHAKE_S
        elif now >= self._fixed_at:
            self.rebound += 1
        self.source = source
        self._last = datagram
        self._heard_at = now
        self._candidate = None
