import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.rtp.packet import HEADER_BYTES, MAX_PACKET_BYTES, RtpParseError, build_header, parse_packet

PLAIN = build_header(0, 7, 160, 0xABCD)


def payload(datagram: bytes) -> bytes:
    *_, start, end = parse_packet(datagram)
    return datagram[start:end]


def with_bits(bits: int, rest: bytes) -> bytes:
    return bytes([0x80 | bits]) + PLAIN[1:] + rest


@given(
    st.integers(0, 127), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF), st.booleans()
)
def test_a_built_header_reads_as_it_was_written(payload_type, sequence, timestamp, ssrc, marker):
    datagram = build_header(payload_type, sequence, timestamp, ssrc, marker) + b"audio"
    if 64 <= payload_type <= 95 and marker:  # RTCP's packet types, which RFC 5761 keeps RTP from using
        with pytest.raises(RtpParseError):
            parse_packet(datagram)
    else:
        assert parse_packet(datagram) == (payload_type, sequence, timestamp, ssrc, HEADER_BYTES, HEADER_BYTES + 5)


def test_the_octets_are_those_of_the_rfc():
    assert build_header(101, 0x0102, 0x0304_0506, 0x0708_090A, marker=True).hex() == "80e50102030405060708090a"


def test_extended_counters_are_written_modulo_their_width():
    assert build_header(0, 65_536 + 7, 2**32 + 160, 0xABCD) == PLAIN


def test_contributing_sources_extension_and_padding_are_no_payload():
    sources = b"\1\2\3\4" * 3
    extension = b"\xbe\xde\x00\x02" + b"e" * 8
    assert payload(with_bits(0x33, sources + extension + b"audio" + b"\0\0\3")) == b"audio"


def test_a_payload_may_be_empty():
    assert payload(PLAIN) == b""
    assert payload(with_bits(0x20, b"\1")) == b""


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("short", b""),
        ("short", PLAIN[:11]),
        ("long", PLAIN + bytes(MAX_PACKET_BYTES)),
        ("version", b"\x40" + PLAIN[1:]),
        ("version", b"\x00\x01" + PLAIN[2:]),
        ("rtcp", b"\x80\xc8" + PLAIN[2:]),
        ("csrc", with_bits(0x02, b"\0" * 7)),
        ("extension", with_bits(0x10, b"\0\0\0")),
        ("extension", with_bits(0x10, b"\0\0\0\2" + b"\0" * 7)),
        ("padding", with_bits(0x20, b"audio\0")),
        ("padding", with_bits(0x20, b"audio\7")),
        ("padding", with_bits(0x20, b"")[:12]),
    ],
)
def test_what_breaks_the_header_is_refused_by_its_reason(reason, datagram):
    with pytest.raises(RtpParseError) as error:
        parse_packet(datagram)
    assert error.value.reason == reason


@given(st.binary(max_size=64))
@example(b"\xbf" + bytes(63))
def test_any_octets_parse_to_a_piece_of_themselves_or_are_refused(datagram):
    try:
        *_, start, end = parse_packet(datagram)
    except RtpParseError:
        return
    assert HEADER_BYTES <= start <= end <= len(datagram)
