"""The RTP header (RFC 3550 §5.1): read it, write it, and no object per packet."""

from struct import Struct

HEADER_BYTES = 12
MAX_PACKET_BYTES = 2_048  # 200 ms of G.711 are 1,600 octets; what is longer than this is no telephone audio

_FIXED = Struct("!HHII")
_VERSION_BITS = 0xC000
_VERSION_2 = 0x8000
_PADDING = 0x2000
_EXTENSION = 0x1000

read_fixed = _FIXED.unpack_from
"""``read_fixed(datagram)`` -> (first 16 bits, sequence number, timestamp, SSRC); struct.error below 12 octets."""

Packet = tuple[int, int, int, int, int, int]
"""(payload type, sequence number, timestamp, SSRC, start of the payload, its end)."""


class RtpParseError(Exception):
    """These octets are no RTP packet.

    ``reason`` takes few values: short, long, version, rtcp, csrc, extension, padding.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_packet(datagram: bytes) -> Packet:
    """Read and check the whole header; the payload is ``datagram[start:end]`` and may be empty.

    The marker bit is left out: nothing of ours believes it. RTCP that came to this port is told
    by its payload type (RFC 5761 §4). Raises RtpParseError.
    """
    size = len(datagram)
    if size < HEADER_BYTES:
        raise RtpParseError("short", f"{size} octets, expected at least {HEADER_BYTES}")
    if size > MAX_PACKET_BYTES:
        raise RtpParseError("long", f"{size} octets, expected at most {MAX_PACKET_BYTES}")
    bits, sequence, timestamp, ssrc = read_fixed(datagram)
    if bits & _VERSION_BITS != _VERSION_2:
        raise RtpParseError("version", f"expected RTP version 2, got {bits >> 14}")
    if 192 <= bits & 0xFF <= 223:
        raise RtpParseError("rtcp", f"packet type {bits & 0xFF} belongs to RTCP")
    start, end = HEADER_BYTES, size
    if bits & 0x3F00:  # most packets have neither padding nor extension nor contributing sources
        start += (bits >> 8 & 0x0F) * 4
        if start > size:
            raise RtpParseError("csrc", f"contributing sources end at {start}, the packet at {size}")
        if bits & _EXTENSION:
            words_at = start + 2
            if words_at + 2 > size:
                raise RtpParseError("extension", f"header extension at {start}, the packet ends at {size}")
            start += 4 + int.from_bytes(datagram[words_at : words_at + 2], "big") * 4
            if start > size:
                raise RtpParseError("extension", f"header extension ends at {start}, the packet at {size}")
        if bits & _PADDING:
            padding = datagram[-1]
            end -= padding
            if padding == 0 or end < start:
                raise RtpParseError("padding", f"{padding} octets of padding in a payload of {size - start}")
    return bits & 0x7F, sequence, timestamp, ssrc, start, end


def build_header(payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool = False) -> bytes:
    """The 12 octets of a header without padding, extension or contributing sources.

    Numbers are taken modulo their width, so that extended counters may be passed as they are.
    """
    bits = _VERSION_2 | (0x80 if marker else 0) | payload_type & 0x7F
    return _FIXED.pack(bits, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc & 0xFFFF_FFFF)
