"""RTCP packets: reports, source descriptions and goodbyes, built and read (RFC 3550 §6)."""

import struct
from dataclasses import dataclass

MAX_COMPOUND_BYTES = 1_500
MAX_BLOCKS = 31  # what five bits count
MAX_CNAME_BYTES = 255

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, GOODBYE = 200, 201, 202, 203

_VERSION = 0x80
_PADDING = 0x20
_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!QIII")
_BLOCK = struct.Struct("!IIIIII")
_WORD = struct.Struct("!I")
_CNAME = 1


class RtcpParseError(Exception):
    """These octets are no compound packet.

    ``reason`` takes few values: size, version, length, padding, report, items.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one side received of source ``ssrc`` (RFC 3550 §6.4.1).

    ``fraction_lost`` counts 1/256, ``jitter`` units of the source's RTP clock. ``last_report`` is the middle of the
    NTP stamp of the last sender report, ``delay`` the time since it came in 1/65,536 s; both are 0 before the first.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    last_report: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """``rtp_timestamp`` is the media time at ``ntp``; the counts are totals, octets those of payloads."""

    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report, or without ``sender`` a receiver report."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()
    sender: SenderInfo | None = None


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Source and canonical name; the other items of SDES say nothing to us. Empty when it had none."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """These sources leave."""

    sources: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OtherPacket:
    """A well-formed packet of a type we do not read: APP, extended reports, feedback."""

    packet_type: int


RtcpPacket = Report | SourceDescription | Goodbye | OtherPacket


def is_rtcp(datagram: bytes) -> bool:
    """Whether a datagram on a port shared by both is RTCP (RFC 5761 §4).

    Types 192 to 223 are RTCP's; RTP would need a payload type of 64 to 95 with the marker bit, which SDP must not give.
    """
    return len(datagram) >= 2 and datagram[0] >> 6 == 2 and 192 <= datagram[1] <= 223


def build_report(report: Report) -> bytes:
    """Counters may run beyond their width and wrap; the cumulative loss stays at the end of its 24 bits (§6.4.1)."""
    blocks = report.blocks[:MAX_BLOCKS]
    parts = [_WORD.pack(report.ssrc)]
    info = report.sender
    if info is not None:
        timestamp, packets, octets = (n & 0xFFFF_FFFF for n in (info.rtp_timestamp, info.packets, info.octets))
        parts.append(_SENDER_INFO.pack(info.ntp, timestamp, packets, octets))
    for block in blocks:
        lost = min(max(block.cumulative_lost, -0x80_0000), 0x7F_FFFF) & 0xFF_FFFF
        highest, jitter = block.highest_sequence & 0xFFFF_FFFF, min(block.jitter, 0xFFFF_FFFF)
        loss = min(max(block.fraction_lost, 0), 255) << 24 | lost
        parts.append(_BLOCK.pack(block.ssrc, loss, highest, jitter, block.last_report, block.delay))
    return _build(RECEIVER_REPORT if info is None else SENDER_REPORT, len(blocks), b"".join(parts))


def build_source_description(ssrc: int, cname: str) -> bytes:
    """One chunk with its CNAME, which may be up to 255 octets. Raises ValueError for a longer one."""
    name = cname.encode()
    if len(name) > MAX_CNAME_BYTES:
        raise ValueError(f"expected a CNAME of at most {MAX_CNAME_BYTES} octets, got {len(name)}")
    chunk = _WORD.pack(ssrc) + bytes((_CNAME, len(name))) + name
    return _build(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))  # one null octet at least ends the items


def build_goodbye(ssrc: int, reason: str = "") -> bytes:
    """A BYE of one source; a longer reason is cut at 255 octets."""
    text = reason.encode()[:255]
    body = _WORD.pack(ssrc) + (bytes((len(text),)) + text if text else b"")
    return _build(GOODBYE, 1, body + bytes(-len(body) % 4))


def _build(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(_VERSION | count, packet_type, len(body) // 4) + body


def parse_compound(datagram: bytes) -> list[RtcpPacket]:
    """Read a compound packet, or one of reduced size, which need not begin with a report (RFC 5506).

    Raises RtcpParseError, and gives nothing of a datagram that is bad in part.
    """
    size = len(datagram)
    if not 4 <= size <= MAX_COMPOUND_BYTES:
        raise RtcpParseError("size", f"{size} octets, expected 4 to {MAX_COMPOUND_BYTES}")
    packets: list[RtcpPacket] = []
    start = 0
    while start < size:
        if size - start < 4:
            raise RtcpParseError("length", f"{size - start} octets left, expected a header of 4")
        first, packet_type, words = _HEADER.unpack_from(datagram, start)
        if first >> 6 != 2:
            raise RtcpParseError("version", f"expected RTCP version 2, got {first >> 6}")
        end = start + 4 + 4 * words
        if end > size:
            raise RtcpParseError("length", f"packet ends at {end}, the datagram at {size}")
        body = datagram[start + 4 : end]
        if first & _PADDING:
            body = _unpad(body, last=end == size)
        packets += _read(packet_type, first & 0x1F, body)
        start = end
    return packets


def _unpad(body: bytes, *, last: bool) -> bytes:
    if not last:
        raise RtcpParseError("padding", "padding within a compound packet, expected it at the end only")
    padding = body[-1] if body else 0
    if padding == 0 or padding % 4 or padding > len(body):
        raise RtcpParseError("padding", f"{padding} octets of padding in a body of {len(body)}")
    return body[:-padding]


def _read(packet_type: int, count: int, body: bytes) -> list[RtcpPacket]:
    if packet_type in (SENDER_REPORT, RECEIVER_REPORT):
        return [_read_report(count, body, is_sender=packet_type == SENDER_REPORT)]
    if packet_type == SOURCE_DESCRIPTION:
        return list(_read_chunks(count, body))
    if packet_type == GOODBYE:
        return [_read_goodbye(count, body)]
    return [OtherPacket(packet_type)]


def _read_report(count: int, body: bytes, *, is_sender: bool) -> Report:
    start = _WORD.size + (_SENDER_INFO.size if is_sender else 0)
    if len(body) < start + count * _BLOCK.size:
        raise RtcpParseError("report", f"{len(body)} octets, too few for {count} report blocks")
    sender = SenderInfo(*_SENDER_INFO.unpack_from(body, _WORD.size)) if is_sender else None
    blocks = []
    for n in range(count):
        ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, start + n * _BLOCK.size)
        lost = loss & 0xFF_FFFF
        lost -= (lost & 0x80_0000) << 1
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_report, delay))
    return Report(_WORD.unpack_from(body)[0], tuple(blocks), sender)


def _read_chunks(count: int, body: bytes) -> list[SourceDescription]:
    chunks = []
    at = 0
    for _ in range(count):
        if len(body) - at < _WORD.size:
            raise RtcpParseError("items", f"{len(body) - at} octets left, expected a chunk")
        ssrc = _WORD.unpack_from(body, at)[0]
        at += _WORD.size
        cname = ""
        while True:
            if at >= len(body):
                raise RtcpParseError("items", "a chunk that does not end")
            if body[at] == 0:
                break
            end = at + 2 + body[at + 1] if at + 1 < len(body) else len(body) + 1
            if end > len(body):
                raise RtcpParseError("items", f"an item ends at {end}, its packet at {len(body)}")
            if body[at] == _CNAME:
                cname = body[at + 2 : end].decode(errors="replace")
            at = end
        at += 4 - at % 4
        chunks.append(SourceDescription(ssrc, cname))
    return chunks


def _read_goodbye(count: int, body: bytes) -> Goodbye:
    end = count * _WORD.size
    if len(body) < end:
        raise RtcpParseError("report", f"{len(body)} octets, too few for {count} sources")
    sources = tuple(word for (word,) in _WORD.iter_unpack(body[:end]))
    reason = b""
    if len(body) > end:
        reason = body[end + 1 : end + 1 + body[end]]
        if len(reason) < body[end]:
            raise RtcpParseError("items", f"a reason of {len(reason)} octets, expected {body[end]}")
    return Goodbye(sources, reason.decode(errors="replace"))
