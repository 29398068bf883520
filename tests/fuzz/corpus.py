"""What the fuzzers start from: real messages, and the words a parser looks for."""

import struct
from collections.abc import Iterator
from pathlib import Path

from gateway.rtp.packet import build_header
from gateway.rtp.rtcp import Report, ReportBlock, SenderInfo, build_goodbye, build_report, build_source_description

TORTURE = Path(__file__).parents[1] / "data" / "rfc4475"

_CALL = b"""\
INVITE sip:+14155550100@[2001:db8::1]:5060;transport=udp SIP/2.0\r
Via: SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK74bf9;rport, SIP/2.0/TCP a.example;received=2001:db8::9\r
v: SIP/2.0/TLS (a (nested) comment) b.example:5061 ;branch=x\r
Max-Forwards: 69\r
From: "Alice, \\"A\\"" <sip:%41lice:secret@trunk.example.com;p=%20>;tag=9fx\r
To: tel:+1-415-555-0100;phone-context=+1\r
Call-ID: 38482@trunk.example.com\r
CSeq: 2 INVITE\r
Contact: <sip:alice@198.51.100.7;transport=tcp?Replaces=id%40h%3Bto-tag%3D1&Subject=x>;q=0.5;+sip.i="<urn:1>"\r
Contact: "B" <sips:b@b.example>, <mailto:a@b>\r
Record-Route: <sip:198.51.100.9;lr;ftag=9fx>,\r
 <sip:198.51.100.8;lr>\r
Route: <sip:%61@h;lr>, <sip:h2;maddr=239.1.1.1;ttl=5>\r
P-Asserted-Identity: "A" <sip:+1@h>, <tel:+1>\r
X-Note: \xff\xfe caf\xc3\xa9\r
Supported: timer, 100rel (both), replaces\r
Expires: 120\r
Content-Type: application/sdp\r
Content-Length: 4\r
\r
v=0\r"""
_ANSWER = b"""\
SIP/2.0 200 OK\r
Via: SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport=9;received=192.0.2.1\r
From: <sip:a@b>;tag=1\r
To: "C" <sip:c@d>;tag=2\r
Call-ID: x\r
CSeq: 1 INVITE\r
Contact: *\r
Content-Length: 0\r
\r
"""


def sip_messages() -> tuple[bytes, ...]:
    """The 49 of RFC 4475, and a call with all that is left out there."""
    torture = [path.read_bytes() for path in sorted(TORTURE.glob("*.dat"))]
    return (*torture, _CALL, _ANSWER, b"\r\n\r\n" + _CALL + b"\r\n\r\n" + _ANSWER)


_SDP_HEAD = b"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
_KEY = b"A" * 40
SDP_SAMPLES = (
    _SDP_HEAD + b"m=audio 4000 RTP/AVP 0 8 9 101 13\r\na=rtpmap:0 PCMU/8000/1\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15,66\r\na=ptime:20\r\na=maxptime:60\r\na=sendrecv\r\n"
    b"a=rtcp:4001 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n",
    _SDP_HEAD + b"m=audio 4000 RTP/SAVP 8 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + _KEY + b"|2^31|1:4\r\n"
    b"a=crypto:2 AEAD_AES_256_GCM inline:" + b"B" * 59 + b"= UNENCRYPTED_SRTP\r\na=sendonly\r\n",
    _SDP_HEAD + b"a=setup:actpass\r\na=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\n"
    b"m=video 0 RTP/AVP 31\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96 0\r\na=rtpmap:96 G722/8000\r\na=mid:0\r\n",
    b"v=0\r\no=- 9 9 IN IP6 ::1\r\ns= \r\ni=x\r\nb=AS:64\r\nt=2873397496 2873404696\r\nr=7d 1h 0 25h\r\nz=0 -1h\r\n"
    b"m=audio 5004/2 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\nb=TIAS:64000\r\na=inactive\r\n",
    b"v=0\no=jdoe 1 1 IN IP4 host.example\ns=-\nt=0 0\n"
    b"m=audio 49170 RTP/AVP 18 0\nc=IN IP4 224.2.1.1/127/3\na=recvonly\n",
)


def datagrams(data: bytes) -> Iterator[tuple[float, bytes]]:
    """A stream in one string: for each datagram the gap before it in 5 ms, its length in 16 bits, its octets."""
    at = 0
    while at + 3 <= len(data):
        gap, size = data[at], int.from_bytes(data[at + 1 : at + 3], "big") & 0x0FFF
        yield gap * 0.005, data[at + 3 : at + 3 + size]
        at += 3 + size


def _stream(*packets: tuple[int, bytes]) -> bytes:
    return b"".join(bytes((gap,)) + len(packet).to_bytes(2, "big") + packet for gap, packet in packets)


def _rtp(sequence: int, timestamp: int, payload: bytes = b"\xff" * 160, payload_type: int = 0) -> bytes:
    return build_header(payload_type, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, 0x1234) + payload


def _event(sequence: int, timestamp: int, duration: int, *, end: bool = False) -> bytes:
    return _rtp(sequence, timestamp, struct.pack("!BBH", 5, 10 | end << 7, duration), 101)


RTP_STREAMS = (
    _stream(*((4, _rtp(n, 160 * n)) for n in range(12))),
    _stream(*((4, _rtp(65_530 + n, 2**32 - 800 + 160 * n)) for n in range(12))),
    _stream(*((4, _rtp(n, 160 * n)) for n in (0, 1, 2, 5, 4, 3, 3, 9, 6, 30, 31))),
    _stream(*((4, _rtp(n, 160 * n)) for n in range(3)), *((4, _event(3 + n, 480, 160 * n)) for n in range(4)),
            *((0, _event(7 + n, 480, 800, end=True)) for n in range(3)), (4, _rtp(10, 1_280))),
    _stream(*((4, _rtp(n, 160 * n)) for n in range(4)), (4, _rtp(4, 640, b"\x40", 13)), (200, _rtp(5, 8_640))),
    _stream((4, b"\x91\x00" + _rtp(1, 160)[2:12] + b"\0\0\0\1" + b"\xbe\xde\0\1" + b"\x10\xff\0\0" + b"\x7f" * 160)),
    _stream((4, b"\xa0\x00" + _rtp(1, 160)[2:] + b"\0\0\0\4"), (4, b"\x80\xc8\0\1\0\0\0\0"), (4, b"")),
)  # fmt: skip

_REPORT = build_report(
    Report(7, (ReportBlock(9, 12, -3, 70_000, 88, 0x1234_5678, 65_536),), SenderInfo(2**63 + 5, 160, 3, 480))
)
RTCP_PACKETS = (
    _REPORT + build_source_description(7, "7@192.0.2.1"),
    build_report(Report(7, tuple(ReportBlock(n, n, n, n, n) for n in range(31)))) + build_source_description(7, ""),
    _REPORT + build_goodbye(7, "that is all"),
    build_report(Report(1)) + b"\x81\xcc\0\2\0\0\0\1name" + b"\x81\xcd\0\2\0\0\0\1\0\0\0\2",
    b"\xa0\xc9\0\2\0\0\0\1\0\0\0\4",
)

TOKENS = {
    "sip": tuple(
        b'\r\n|\n|\r|\r\n |\r\n\t|\r\n\r\n|\n\n| |\t|,|;|;;|:|::|=|"|\\|\\"|<|>|<>|(|)|((|@|?|&|/|*|%|%00|%0d%0a|%41'
        b"|%4|[|]|[::1]|sip:|sips:|tel:|SIP/2.0|SIP/2.0/UDP h|sip:a@b|<sip:a@b>|;tag=1|;branch=z9hG4bK|;rport|;lr"
        b"|Content-Length: 0\r\n|l: 5\r\n|Content-Length: 4294967296\r\n|Contact: *\r\n|Via: |v: |Route: |m:"
        b"|CSeq: 1 INVITE\r\n|INVITE|ACK|CANCEL|0|-1|65536|2147483648|99999999999999999999"
        b"|\xff|\xc3\xa9|\xef\xbb\xbf|\xe2\x80\xa8|\x00|\x85|\x0b".split(b"|")
    ),
    "sdp": tuple(
        b"\r\n|\n|\r| |/|:|;|=|,|-|v=0|m=audio 4000 RTP/AVP 0|m=|c=IN IP4 0.0.0.0|c=IN IP6 ::1|a=|a=rtpmap:0 PCMU/8000"
        b"|a=rtpmap:|a=fmtp:|a=crypto:1 |AES_CM_128_HMAC_SHA1_80|AEAD_AES_128_GCM|inline:|a=setup:active|a=setup:x"
        b"|a=fingerprint:sha-256 |a=sendonly|a=inactive|a=ptime:0|a=rtcp:0|a=rtcp-mux|RTP/SAVP|UDP/TLS/RTP/SAVPF"
        b"|telephone-event|0|-1|65536|99999999999999999999|1e9|\xff|\xc3\xa9|\x00|\xd9\xa3".split(b"|")
    ),
    "rtp": (
        *(b"\x80\x00|\x80\x80|\x80\x65|\x80\x0d|\x80\xc8|\x90|\xa0|\x8f|\xff\xff\xff\xff|\x7f\xff\xff\xff".split(b"|")),
        *(b"\x00\x0c|\x00\xac|\x0f\xff|\x00\x00\x00\x00".split(b"|")),
    ),
    "rtcp": tuple(
        b"\x80\xc8\0\1|\x81\xc9\0\7|\x81\xca\0\2|\x81\xcb\0\1|\x9f\xc8|\xa0|\xff\xff|\0\0|\x01\xff|\x80\xcc\0\0".split(
            b"|"
        )
    ),
}
