"""Reports to and from the peer: the octets, the clock arithmetic, and when they are due."""

import random
import struct
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.ntp import middle, ntp_stamp, round_trip_s, short_duration
from gateway.rtp.reception import Reception
from gateway.rtp.rtcp import (
    Goodbye,
    OtherPacket,
    Report,
    ReportBlock,
    RtcpParseError,
    SenderInfo,
    SourceDescription,
    build_goodbye,
    build_report,
    build_source_description,
    is_rtcp,
    parse_compound,
)
from gateway.rtp.rtcp_session import RtcpSession

BLOCK = ReportBlock(7, 64, -3, 0x1_0005, 80, 0x1234_5678, 65_536)
INFO = SenderInfo(ntp_stamp(1_700_000_000.25), 160, 50, 8_000)
WALL_S = 1_700_000_000.0

u8, u32, u64 = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
blocks = st.builds(ReportBlock, u32, u8, st.integers(-0x80_0000, 0x7F_FFFF), u32, u32, u32, u32)
reports = st.builds(
    Report,
    u32,
    st.lists(blocks, max_size=31).map(tuple),
    st.none() | st.builds(SenderInfo, u64, u32, u32, u32),
)


@given(reports)
def test_a_report_is_read_as_it_was_built(report):
    assert parse_compound(build_report(report)) == [report]


@given(u32, st.text(max_size=60), st.text(max_size=60))
def test_names_and_goodbyes_are_read_as_they_were_built(ssrc, cname, reason):
    datagram = build_source_description(ssrc, cname) + build_goodbye(ssrc, reason)
    assert len(datagram) % 4 == 0
    assert parse_compound(datagram) == [SourceDescription(ssrc, cname), Goodbye((ssrc,), reason)]


def test_a_sender_report_has_the_octets_of_rfc_3550_6_4_1():
    datagram = build_report(Report(0x0102_0304, (BLOCK,), SenderInfo(0xAABB_CCDD_0000_0001, 2, 3, 4)))
    assert datagram.hex(" ", 4) == (
        "81c8000c 01020304 aabbccdd 00000001 00000002 00000003 00000004 "
        "00000007 40fffffd 00010005 00000050 12345678 00010000"
    )


def test_counters_beyond_their_width_wrap_and_losses_stay_at_the_end():
    block = ReportBlock(7, 300, 0x90_0000, 2**32 + 5, 2**33)
    report = Report(1, (block,), SenderInfo(0, 2**32 + 1, 2**32 + 2, 2**32 + 3))
    (read,) = parse_compound(build_report(report))
    assert read == Report(1, (ReportBlock(7, 255, 0x7F_FFFF, 5, 2**32 - 1),), SenderInfo(0, 1, 2, 3))


def test_a_cname_too_long_for_its_item_is_refused():
    with pytest.raises(ValueError, match="at most 255 octets, got 256"):
        build_source_description(1, "x" * 256)


def test_a_compound_of_all_kinds_is_read_in_order():
    app = struct.pack("!BBHI4s", 0x80, 204, 2, 9, b"test")
    datagram = build_report(Report(9, (BLOCK,), INFO)) + build_source_description(9, "x@y") + app + build_goodbye(9)
    kinds = [type(packet) for packet in parse_compound(datagram)]
    assert kinds == [Report, SourceDescription, OtherPacket, Goodbye]


def test_a_packet_of_reduced_size_needs_no_report():
    feedback = struct.pack("!BBHII", 0x81, 206, 2, 9, 7)
    assert parse_compound(feedback) == [OtherPacket(206)]


def test_padding_at_the_end_is_taken_off():
    padded = bytearray(build_goodbye(9)) + b"\0\0\0\4"
    padded[0] |= 0x20
    padded[3] += 1
    assert parse_compound(bytes(padded)) == [Goodbye((9,))]


def test_items_besides_the_name_are_passed_over():
    items = bytes((2, 3)) + b"Bob" + bytes((1, 2)) + b"me" + bytes((8, 0))
    chunk = struct.pack("!I", 5) + items
    chunk += bytes(4 - len(chunk) % 4)
    datagram = struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk
    assert parse_compound(datagram) == [SourceDescription(5, "me")]


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "size"),
        (bytes(1_504), "size"),
        (b"\x00\xc9\x00\x01" + bytes(4), "version"),
        (b"\x80\xc9\x00\x02" + bytes(4), "length"),
        (b"\x80\xc9\x00\x01" + bytes(6), "length"),
        (b"\x81\xc9\x00\x01" + bytes(4), "report"),
        (b"\x80\xc8\x00\x01" + bytes(4), "report"),
        (b"\xa0\xc9\x00\x01" + bytes(4) + b"\x80\xc9\x00\x01" + bytes(4), "padding"),
        (b"\xa0\xc9\x00\x01" + bytes(4), "padding"),
        (b"\xa0\xc9\x00\x01" + b"\0\0\0\x08", "padding"),
        (b"\x81\xca\x00\x00", "items"),
        (b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x09ab", "items"),
        (b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x02ab", "items"),
        (b"\x81\xcb\x00\x00", "report"),
        (b"\x81\xcb\x00\x02" + bytes(4) + b"\x09abc", "items"),
    ],
)
def test_what_is_no_rtcp_says_why(datagram, reason):
    with pytest.raises(RtcpParseError) as caught:
        parse_compound(datagram)
    assert caught.value.reason == reason


@given(st.data())
def test_no_datagram_raises_anything_else(data):
    good = build_report(Report(9, (BLOCK,), INFO)) + build_source_description(9, "me@there") + build_goodbye(9, "bye")
    datagram = bytearray(data.draw(st.just(good) | st.binary(max_size=200)))
    for at, octet in data.draw(st.lists(st.tuples(st.integers(0, 199), u8), max_size=6)):
        if at < len(datagram):
            datagram[at] = octet
    datagram = datagram[: data.draw(st.integers(0, 200))]
    peer = session()
    peer.receive(bytes(datagram), 1.0)
    assert (peer.received, peer.bad.total()) in ((1, 0), (0, 1), (1, 1))  # the last: a report of what we never sent


def test_the_second_octet_tells_rtcp_from_rtp():
    assert all(is_rtcp(bytes((0x80, packet_type)) + bytes(10)) for packet_type in range(192, 224))
    for payload_type in (0, 8, 9, 13, 96, 101, 127):
        for marker in (0, 0x80):
            assert not is_rtcp(bytes((0x80, payload_type | marker)) + bytes(10))
    assert not is_rtcp(bytes((0x16, 200)) + bytes(10))  # DTLS
    assert not is_rtcp(b"\x80")
    assert not is_rtcp(b"")


def test_a_stamp_counts_from_1900():
    assert ntp_stamp(0.0) >> 32 == 2_208_988_800
    assert ntp_stamp(0.5) & 0xFFFF_FFFF == 1 << 31
    assert ntp_stamp(2**32 - 2_208_988_800.0) == 0  # 7 February 2036
    assert middle(0x1111_2222_3333_4444) == 0x2222_3333


def test_the_round_trip_of_rfc_3550_figure_2():
    assert round_trip_s(0xB710_8000, 0xB705_2000, 0x0005_4000) == 6.125


def test_the_round_trip_survives_the_wrap_of_the_middle():
    assert round_trip_s(0x0000_8000, 0xFFFF_8000, 0x0000_4000) == 0.75


def test_a_delay_rounded_up_is_no_round_trip_and_a_longer_one_is_nonsense():
    assert round_trip_s(1_000, 900, 200) == 0.0
    assert round_trip_s(10_000, 9_000, 3_000) is None


@pytest.mark.parametrize(("seconds", "units"), [(0.0, 0), (1.0, 65_536), (-1.0, 0), (1e9, 2**32 - 1)])
def test_a_delay_stays_within_its_32_bits(seconds, units):
    assert short_duration(seconds) == units


def session(chance=lambda: 0.5, ssrc: int = 1, now: float = 0.0) -> RtcpSession:
    return RtcpSession(ssrc, f"{ssrc}@here", now, WALL_S, chance)


def reception(ssrc: int = 2) -> Reception:
    return Reception(ssrc, fraction_lost=3, cumulative_lost=4, highest_sequence=500, jitter=16)


def due_report(peer: RtcpSession, now: float | None = None, packets: int = 50, heard: Reception | None = None) -> bytes:
    at = peer.next_deadline() if now is None else now
    datagram = peer.handle_deadline(at, packets, packets * 160, round(at * 8_000), lambda: heard)
    assert datagram is not None
    return datagram


def test_the_first_report_is_due_in_half_the_time():
    peer = session()
    first = peer.next_deadline()
    assert first == pytest.approx(2.5 / 1.21828)
    due_report(peer)
    assert peer.next_deadline() - first == pytest.approx(5.0 / 1.21828)


@given(st.floats(0, 1))
def test_intervals_are_spread_over_half_to_one_and_a_half(chance):
    peer = session(lambda: chance)
    due_report(peer)
    assert 2.5 / 1.21829 <= peer.next_deadline() - 2.5 * (0.5 + chance) / 1.21828 <= 7.5 / 1.21827


def test_a_report_that_is_not_due_is_not_sent():
    peer = session()
    asked = []
    assert peer.handle_deadline(1.0, 50, 8_000, 0, lambda: asked.append(1)) is None
    assert not asked  # asking would begin a new interval of loss


def test_a_report_that_is_due_is_reconsidered_once_more():
    numbers = iter([0.0, 1.0, 1.0, 0.0])  # due early; then the dice say later
    peer = session(lambda: next(numbers))
    early = peer.next_deadline()
    assert peer.handle_deadline(early, 50, 8_000, 0, lambda: None) is None
    assert peer.next_deadline() == pytest.approx(2.5 * 1.5 / 1.21828)


def test_an_hour_of_reports_has_the_mean_interval_that_is_meant():
    peer = session(random.Random(5).random)
    now, sent_at = 0.0, []
    while now < 3_600:
        now = peer.next_deadline()
        if peer.handle_deadline(now, round(now * 50), 0, 0, lambda: None) is not None:
            sent_at.append(now)
    gaps = [b - a for a, b in pairwise(sent_at)]
    assert 4.5 < sum(gaps) / len(gaps) < 5.5
    assert min(gaps) > 2.0
    assert max(gaps) < 6.2


def test_a_sender_reports_what_it_sent_and_what_it_heard():
    report, name = parse_compound(due_report(session(), 3.0, heard=reception()))
    assert name == SourceDescription(1, "1@here")
    assert report == Report(
        1, (ReportBlock(2, 3, 4, 500, 16),), SenderInfo(ntp_stamp(WALL_S + 3.0), 24_000, 50, 50 * 160)
    )


def test_who_has_not_sent_for_two_intervals_is_no_sender():
    peer = session()
    kinds = []
    for _ in range(4):
        (report, _) = parse_compound(due_report(peer))
        assert isinstance(report, Report)
        kinds.append(report.sender is not None)
    assert kinds == [True, True, False, False]


def test_who_never_sent_is_no_sender():
    (report, _) = parse_compound(due_report(session(), packets=0))
    assert report == Report(1)


def test_both_sides_measure_the_round_trip():
    ours, theirs = session(), session(ssrc=2)
    path_s = 0.040
    theirs.receive(due_report(ours, 3.0), 3.0 + path_s)
    ours.receive(due_report(theirs, 5.0, heard=reception(ssrc=1)), 5.0 + path_s)
    assert ours.round_trip_s == pytest.approx(2 * path_s, abs=2 / 65_536)
    assert ours.remote is not None
    assert replace(ours.remote, last_report=0, delay=0) == ReportBlock(1, 3, 4, 500, 16)
    assert ours.peer_cname == "2@here"
    assert ours.heard_at == 5.0 + path_s
    assert ours.stats()["remote_fraction_lost"] == 3 / 256


def test_wall_clocks_that_disagree_do_not_matter():
    ours = RtcpSession(1, "a", 0.0, WALL_S, lambda: 0.5)
    theirs = RtcpSession(2, "b", 100.0, WALL_S - 5_000.0, lambda: 0.5)
    theirs.receive(due_report(ours, 3.0), 103.010)
    ours.receive(due_report(theirs, 105.0, heard=reception(ssrc=1)), 5.010)
    assert ours.round_trip_s == pytest.approx(0.020, abs=2 / 65_536)


def test_a_report_that_was_never_sent_gives_no_round_trip():
    ours = session()
    due_report(ours, 3.0)
    forged = Report(2, (ReportBlock(1, 0, 0, 1, 0, last_report=middle(ntp_stamp(WALL_S + 2.9)), delay=0),))
    ours.receive(build_report(forged), 3.1)
    assert ours.round_trip_s is None
    assert ours.bad == {"unknown_report": 1}


def test_a_report_about_another_source_says_nothing_of_ours():
    ours = session()
    ours.receive(build_report(Report(2, (BLOCK,))), 3.1)
    assert ours.remote is None
    assert ours.received == 1


def test_the_delay_quoted_belongs_to_the_source_that_reported():
    ours = session()
    ours.receive(build_report(Report(77, (), INFO)), 1.0)
    (report, _) = parse_compound(due_report(ours, 3.0, heard=reception(ssrc=2)))
    assert isinstance(report, Report)
    assert (report.blocks[0].last_report, report.blocks[0].delay) == (0, 0)


def test_the_goodbye_comes_with_a_last_report():
    ours = session()
    datagram = ours.end(9.0, 450, 72_000, 72_000, reception(), "hung up")
    assert datagram is not None
    report, name, goodbye = parse_compound(datagram)
    assert isinstance(report, Report)
    assert report.sender is not None
    assert name == SourceDescription(1, "1@here")
    assert goodbye == Goodbye((1,), "hung up")
    theirs = session(ssrc=2)
    theirs.receive(datagram, 9.1)
    assert (theirs.goodbyes, theirs.left) == (1, 1)


def test_who_never_sent_says_no_goodbye():
    assert session().end(9.0, 0, 0, 0, None) is None
