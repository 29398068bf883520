"""When to send RTCP in a call of two, and what the peer's tells (RFC 3550 §6.2, §6.3)."""

from collections import Counter, deque
from collections.abc import Callable

from gateway.rtp.ntp import middle, ntp_stamp, round_trip_s, short_duration
from gateway.rtp.reception import Reception
from gateway.rtp.rtcp import (
    Goodbye,
    Report,
    ReportBlock,
    RtcpParseError,
    SenderInfo,
    SourceDescription,
    build_goodbye,
    build_report,
    build_source_description,
    parse_compound,
)

MIN_INTERVAL_S = 5.0
BANDWIDTH = 500.0  # octets a second: 5 % of G.711 with its headers, 80 kbit/s (§6.2)
COMPENSATION = 1.21828  # e - 3/2: reconsideration converges below the interval that is meant (§6.3.1)
MAX_ROUND_TRIP_S = 30.0  # beyond it is no path but a peer that quotes an old report

_MEMBERS = 2
_HEADERS_BYTES = 28  # IPv4 and UDP count (§6.2)
_REPORTS_KEPT = 8


class RtcpSession:
    """The control channel of one stream each way, over the life of a call.

    ``chance`` gives numbers from 0 to 1. The wall clock is read once, as ``wall_s`` at ``now``: from there on
    reports follow the monotonic clock, and setting the wall clock does not bend the round trip. No datagram raises.
    """

    __slots__ = (
        "_average_bytes",
        "_before_last",
        "_chance",
        "_cname",
        "_description",
        "_due",
        "_first",
        "_last_packets",
        "_last_sender_report",
        "_own_reports",
        "_previous",
        "_ssrc",
        "_wall_offset_s",
        "bad",
        "goodbyes",
        "heard_at",
        "left",
        "peer_cname",
        "received",
        "remote",
        "round_trip_s",
        "sent",
    )

    def __init__(self, ssrc: int, cname: str, now: float, wall_s: float, chance: Callable[[], float]) -> None:
        self._ssrc = ssrc
        self._description = build_source_description(ssrc, cname)
        self._wall_offset_s = wall_s - now
        self._chance = chance
        self._average_bytes = 100.0 + _HEADERS_BYTES  # about what the first one will have
        self._first = True
        self._previous = now
        self._due = now + self._interval_s()
        self._before_last = self._last_packets = 0
        self._last_sender_report: tuple[int, int, float] | None = None  # whose, its stamp's middle, when it came
        self._own_reports: deque[int] = deque(maxlen=_REPORTS_KEPT)
        self.bad: Counter[str] = Counter()
        self.sent = 0
        self.received = 0
        self.goodbyes = 0
        self.heard_at: float | None = None
        self.remote: ReportBlock | None = None
        """What the peer last reported of our stream."""
        self.round_trip_s: float | None = None
        self.peer_cname = ""
        self.left: int | None = None
        """The source that said goodbye last."""

    def _interval_s(self) -> float:
        minimum_s = MIN_INTERVAL_S / 2 if self._first else MIN_INTERVAL_S
        interval_s = max(minimum_s, _MEMBERS * self._average_bytes / BANDWIDTH)
        return interval_s * (0.5 + self._chance()) / COMPENSATION

    def next_deadline(self) -> float:
        return self._due

    def handle_deadline(
        self, now: float, packets: int, octets: int, rtp_timestamp: int, reception: Callable[[], Reception | None]
    ) -> bytes | None:
        """The report that is due, or None: too early, or reconsidered (§6.3.6).

        ``packets`` and ``octets`` are what we sent in all, ``rtp_timestamp`` our media time now. ``reception`` is
        asked only for a report that goes out, because asking begins a new interval of loss.
        """
        if now < self._due:
            return None
        due = self._previous + self._interval_s()
        if due > now:
            self._due = due
            return None
        datagram = self._build_report(now, packets, octets, rtp_timestamp, reception()) + self._description
        self._first = False
        self._previous = now
        self._due = now + self._interval_s()
        self._count_size(datagram)
        self.sent += 1
        return datagram

    def end(
        self, now: float, packets: int, octets: int, rtp_timestamp: int, reception: Reception | None, reason: str = ""
    ) -> bytes | None:
        """The last report with a goodbye, at once, as two may (§6.3.7); None when nothing was ever sent."""
        if not packets and not self.sent:
            return None
        self.sent += 1
        report = self._build_report(now, packets, octets, rtp_timestamp, reception)
        return report + self._description + build_goodbye(self._ssrc, reason)

    def _build_report(
        self, now: float, packets: int, octets: int, rtp_timestamp: int, reception: Reception | None
    ) -> bytes:
        sender = None
        if packets != self._before_last:  # we sent within the last two intervals (§6.4)
            stamp = self._stamp(now)
            self._own_reports.append(middle(stamp))
            sender = SenderInfo(stamp, rtp_timestamp, packets, octets)
        self._before_last, self._last_packets = self._last_packets, packets
        blocks = () if reception is None else (self._block(reception, now),)
        return build_report(Report(self._ssrc, blocks, sender))

    def _block(self, reception: Reception, now: float) -> ReportBlock:
        last_report = delay = 0
        if self._last_sender_report is not None and self._last_sender_report[0] == reception.ssrc:
            _, last_report, came_at = self._last_sender_report
            delay = short_duration(now - came_at)
        return ReportBlock(
            reception.ssrc,
            reception.fraction_lost,
            reception.cumulative_lost,
            reception.highest_sequence,
            reception.jitter,
            last_report,
            delay,
        )

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a compound packet of the peer's, authentic where the session is encrypted; a bad one is counted."""
        try:
            packets = parse_compound(datagram)
        except RtcpParseError as error:
            self.bad[error.reason] += 1
            return
        self.received += 1
        self.heard_at = now
        self._count_size(datagram)
        for packet in packets:
            match packet:
                case Report():
                    self._receive_report(packet, now)
                case SourceDescription() if packet.cname:
                    self.peer_cname = packet.cname
                case Goodbye() if packet.sources:
                    self.goodbyes += 1
                    self.left = packet.sources[0]

    def _receive_report(self, report: Report, now: float) -> None:
        if report.sender is not None:
            self._last_sender_report = report.ssrc, middle(report.sender.ntp), now
        for block in report.blocks:
            if block.ssrc != self._ssrc:
                continue
            self.remote = block
            if not block.last_report:
                continue
            if block.last_report not in self._own_reports:
                self.bad["unknown_report"] += 1  # a stranger, or a peer more than eight reports behind
                continue
            trip_s = round_trip_s(middle(self._stamp(now)), block.last_report, block.delay)
            if trip_s is None or trip_s > MAX_ROUND_TRIP_S:
                self.bad["round_trip"] += 1
            else:
                self.round_trip_s = trip_s

    def _stamp(self, now: float) -> int:
        return ntp_stamp(now + self._wall_offset_s)

    def _count_size(self, datagram: bytes) -> None:
        self._average_bytes += (len(datagram) + _HEADERS_BYTES - self._average_bytes) / 16

    def stats(self) -> dict[str, float]:
        """Totals, and the peer's view of our stream where it told."""
        figures: dict[str, float] = {"sent": self.sent, "received": self.received, "goodbyes": self.goodbyes}
        figures["bad"] = self.bad.total()
        if self.round_trip_s is not None:
            figures["round_trip_s"] = self.round_trip_s
        if self.remote is not None:
            figures["remote_fraction_lost"] = self.remote.fraction_lost / 256
            figures["remote_lost"] = self.remote.cumulative_lost
            figures["remote_jitter_ticks"] = self.remote.jitter
        return figures
