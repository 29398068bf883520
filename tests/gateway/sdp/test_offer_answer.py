from dataclasses import replace

import pytest

from gateway.sdp.description import Direction
from gateway.sdp.errors import NegotiationError, NoCommonCodecError, SecurityMismatchError
from gateway.sdp.formats import MediaCodec
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.plan import MediaPlan, Reach
from tests.gateway.sdp.exchange import THEM, US, answer, lines, local, no_key, sdp

TWILIO = """m=audio 14000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:20
a=sendrecv"""


def test_an_offer_of_a_carrier_is_answered_with_one_codec_and_its_keys():
    agreed = answer(TWILIO)
    assert agreed.plan == MediaPlan(
        codec=MediaCodec.PCMU,
        payload_type_out=0,
        payload_type_in=0,
        remote=(THEM, 14_000),
        remote_rtcp=(THEM, 14_001),
        direction=Direction.SENDRECV,
        ptime_ms=20,
        dtmf_out=101,
        dtmf_in=101,
    )
    assert lines(agreed.answer) == [
        "v=0",
        f"o=- 7000 7000 IN IP4 {US}",
        "s=-",
        f"c=IN IP4 {US}",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=sendrecv",
    ]


def test_our_order_of_codecs_decides():
    offer = "m=audio 4000 RTP/AVP 0 8 9"
    assert [answer(offer, local(order)).plan.codec for order in ("G722 PCMA PCMU", "PCMA PCMU", "PCMU")] == [
        MediaCodec.G722,
        MediaCodec.PCMA,
        MediaCodec.PCMU,
    ]


def test_payload_types_of_the_offer_are_kept():
    agreed = answer(
        "m=audio 4000 RTP/AVP 97 13 120\na=rtpmap:97 PCMA/8000\na=rtpmap:120 telephone-event/8000",
        local(comfort_noise=True),
    )
    plan = agreed.plan
    assert (plan.payload_type_out, plan.payload_type_in) == (97, 97)
    assert (plan.dtmf_out, plan.dtmf_in, plan.cn_out, plan.cn_in) == (120, 120, 13, 13)
    assert agreed.answer.media[0].formats == ("97", "13", "120")


def test_keys_and_comfort_noise_are_answered_only_when_offered_and_wanted():
    plain = answer("m=audio 4000 RTP/AVP 0", local(comfort_noise=True))
    assert (plain.plan.dtmf_in, plain.plan.cn_in, plain.answer.media[0].formats) == (None, None, ("0",))
    offer = "m=audio 4000 RTP/AVP 0 13 101\na=rtpmap:101 telephone-event/8000"
    unwanted = answer(offer, local(dtmf=False))
    assert (unwanted.plan.dtmf_in, unwanted.plan.cn_in, unwanted.answer.media[0].formats) == (None, None, ("0",))


def test_a_peer_that_takes_no_telephone_keys_is_sent_none_but_may_send():
    offer = "m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 66,70"
    assert (answer(offer).plan.dtmf_out, answer(offer).plan.dtmf_in) == (None, 101)


@pytest.mark.parametrize("offered_ms", [10, 20, 30, 40, 60])
def test_the_packet_time_offered_is_used_and_answered(offered_ms):
    agreed = answer(f"m=audio 4000 RTP/AVP 0\na=ptime:{offered_ms}")
    assert agreed.plan.ptime_ms == offered_ms
    assert agreed.answer.media[0].get("ptime") == str(offered_ms)


def test_other_streams_are_refused_in_their_places():
    agreed = answer(
        """m=video 5000 RTP/AVP 31
        m=audio 0 RTP/AVP 0
        m=audio 4000 RTP/AVP 8
        m=image 6000 udptl t38
        m=audio 4002 RTP/AVP 8"""
    )
    streams = [(media.kind, media.port, media.protocol, media.formats) for media in agreed.answer.media]
    assert streams == [
        ("video", 0, "RTP/AVP", ("31",)),
        ("audio", 0, "RTP/AVP", ("0",)),
        ("audio", 20_000, "RTP/AVP", ("8",)),
        ("image", 0, "udptl", ("t38",)),
        ("audio", 0, "RTP/AVP", ("8",)),
    ]
    assert agreed.plan.remote == (THEM, 4_000)


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        ("", "no_audio"),
        ("m=video 4000 RTP/AVP 31", "no_audio"),
        ("m=audio 0 RTP/AVP 0", "no_audio"),
        ("m=audio 4000 RTP/AVP 18\na=rtpmap:18 G729/8000", "no_common_codec"),
        ("m=audio 4000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000", "no_common_codec"),
        ("m=audio 4000 RTP/AVP", "no_common_codec"),
    ],
)
def test_no_audio_in_common_is_refused(media, reason):
    with pytest.raises(NoCommonCodecError) as caught:
        answer(media)
    assert caught.value.reason == reason


def test_a_protocol_nobody_knows_is_refused():
    with pytest.raises(NegotiationError) as caught:
        answer("m=audio 4000 TCP/RTP/AVP 0")
    assert caught.value.reason == "unknown_transport"


def test_feedback_profiles_are_answered_as_they_were_offered():
    agreed = answer("m=audio 4000 RTP/AVPF 0\na=rtcp-fb:* nack")
    assert agreed.answer.media[0].protocol == "RTP/AVPF"


@pytest.mark.parametrize(
    ("offered", "wanted", "ours"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "sendonly", "sendonly"),
        ("sendrecv", "recvonly", "recvonly"),
        ("recvonly", "recvonly", "inactive"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_directions_meet(offered, wanted, ours):
    agreed = answer(f"m=audio 4000 RTP/AVP 0\na={offered}", local(direction=Direction(wanted)))
    assert agreed.plan.direction is Direction(ours)
    assert agreed.answer.direction_of(agreed.answer.media[0]) is Direction(ours)


def test_a_direction_of_the_session_holds_for_its_stream_unless_that_has_its_own():
    assert answer("m=audio 4000 RTP/AVP 0", session="a=sendonly").plan.direction is Direction.RECVONLY
    assert answer("m=audio 4000 RTP/AVP 0\na=sendrecv", session="a=inactive").plan.direction is Direction.SENDRECV


@pytest.mark.parametrize("connection", ["IN IP4 0.0.0.0", "IN IP6 ::"])
def test_the_old_hold_stops_our_sending_and_leaves_our_listening(connection):
    agreed = answer("m=audio 4000 RTP/AVP 0", connection=connection)
    assert agreed.plan.reach is Reach.HELD
    assert agreed.plan.direction is Direction.RECVONLY
    assert not agreed.plan.may_send
    assert "a=recvonly" in lines(agreed.answer)


def test_the_times_of_the_offer_come_back():
    offer = sdp("m=audio 4000 RTP/AVP 0")
    timed = replace(offer, timings=("3724394400 3724398000",))
    assert answer_offer(timed, local(), no_key).answer.timings == timed.timings


def test_rtcp_is_multiplexed_when_both_say_so():
    offer = "m=audio 4000 RTP/AVP 0\na=rtcp:4009\na=rtcp-mux"
    mux = answer(offer)
    assert mux.plan.rtcp_mux
    assert mux.plan.remote_rtcp == mux.plan.remote
    assert "a=rtcp-mux" in lines(mux.answer)
    apart = answer(offer, local(rtcp_mux=False, rtcp_port=20_011))
    assert not apart.plan.rtcp_mux
    assert apart.plan.remote_rtcp == (THEM, 4_009)
    assert "a=rtcp-mux" not in lines(apart.answer)
    assert "a=rtcp:20011" in lines(apart.answer)


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("5001", 5_001),
        (f"5001 IN IP4 {THEM}", 5_001),
        ("5001 IN IP4 192.0.2.77", 0),
        ("53", 0),
        ("70000", 0),
        ("x", 0),
        ("", 0),
    ],
)
def test_rtcp_goes_to_the_peer_or_nowhere(value, port):
    assert answer(f"m=audio 4000 RTP/AVP 0\na=rtcp:{value}").plan.remote_rtcp == (THEM, port)


def test_the_last_port_has_no_rtcp_above_it():
    assert answer("m=audio 65535 RTP/AVP 0").plan.remote_rtcp == (THEM, 0)


def test_a_stream_has_its_own_address():
    agreed = answer("m=video 1 RTP/AVP 31\nc=IN IP4 192.0.2.50\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.60")
    assert agreed.plan.remote == ("192.0.2.60", 4_000)


def test_ipv6_is_spoken():
    ours = replace(local(), address="2001:db8::1")
    agreed = answer("m=audio 4000 RTP/AVP 0", ours, connection="IN IP6 2001:DB8::9")
    assert agreed.plan.remote == ("2001:db8::9", 4_000)
    assert agreed.plan.reach is Reach.UNICAST
    assert "c=IN IP6 2001:db8::1" in lines(agreed.answer)


def test_an_offer_names_all_we_speak():
    assert lines(make_offer(local(), no_key))[5:] == [
        "m=audio 20000 RTP/AVP 0 8 9 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=sendrecv",
        "a=rtcp-mux",
    ]


def test_an_answer_is_read_with_the_numbers_of_both_sides():
    offer = make_offer(local(comfort_noise=True), no_key)
    theirs = sdp(
        """m=audio 4000 RTP/AVP 98 13 96
        a=rtpmap:98 PCMA/8000
        a=rtpmap:96 telephone-event/8000
        a=ptime:30
        a=rtcp-mux"""
    )
    plan = read_answer(offer, theirs, local(comfort_noise=True))
    assert plan.codec is MediaCodec.PCMA
    assert (plan.payload_type_out, plan.payload_type_in) == (98, 8)
    assert (plan.dtmf_out, plan.dtmf_in, plan.cn_out, plan.cn_in) == (96, 101, 13, 13)
    assert (plan.ptime_ms, plan.rtcp_mux, plan.remote_rtcp) == (30, True, (THEM, 4_000))


def test_the_first_codec_of_an_answer_is_taken_and_the_others_are_named():
    plan = read_answer(make_offer(local(), no_key), sdp("m=audio 4000 RTP/AVP 8 0"), local())
    assert (plan.codec, plan.other_codecs) == (MediaCodec.PCMA, (MediaCodec.PCMU,))


def test_what_was_not_offered_is_not_taken():
    theirs = sdp("m=audio 4000 RTP/AVP 0 13 101\na=rtpmap:101 telephone-event/8000\na=rtcp-mux")
    plan = read_answer(make_offer(local(dtmf=False, rtcp_mux=False), no_key), theirs, local())
    assert (plan.dtmf_in, plan.dtmf_out, plan.cn_in, plan.rtcp_mux) == (None, None, None, False)
    assert plan.remote_rtcp == (THEM, 4_001)


@pytest.mark.parametrize(
    ("media", "kind", "reason"),
    [
        ("", NegotiationError, "bad_answer"),
        ("m=video 4000 RTP/AVP 31", NegotiationError, "bad_answer"),
        ("m=audio 0 RTP/AVP 0", NoCommonCodecError, "refused"),
        ("m=audio 4000 RTP/AVP 18", NoCommonCodecError, "no_common_codec"),
        ("m=audio 4000 RTP/SAVP 0", SecurityMismatchError, "other_transport"),
        ("m=audio 4000 udptl 0", NegotiationError, "unknown_transport"),
    ],
)
def test_answers_that_do_not_fit_are_refused(media, kind, reason):
    with pytest.raises(kind) as caught:
        read_answer(make_offer(local(), no_key), sdp(media), local())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("offered", "answered", "ours"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendrecv", "recvonly", "sendonly"),
        ("sendrecv", "sendonly", "recvonly"),
        ("sendonly", "recvonly", "sendonly"),
        ("sendonly", "inactive", "inactive"),
        ("sendonly", "sendrecv", "sendonly"),  # not allowed, and understood
        ("inactive", "sendrecv", "inactive"),
    ],
)
def test_the_direction_of_an_answer_is_seen_from_our_side(offered, answered, ours):
    offer = make_offer(local(direction=Direction(offered)), no_key)
    assert read_answer(offer, sdp(f"m=audio 4000 RTP/AVP 0\na={answered}"), local()).direction is Direction(ours)


def test_hold_and_unhold_change_the_direction_and_raise_the_version():
    ours = local()
    first = make_offer(ours, no_key)
    plan = read_answer(first, sdp("m=audio 4000 RTP/AVP 8"), ours)
    held = make_offer(ours.hold(), no_key, first, plan)
    back = make_offer(ours.unhold(), no_key, held, plan)
    assert [one.direction_of(one.media[0]).value for one in (first, held, back)] == ["sendrecv", "sendonly", "sendrecv"]
    assert [one.origin.version for one in (first, held, back)] == ["7000", "7001", "7002"]
    assert {one.origin.session_id for one in (first, held, back)} == {"7000"}
    on_hold = read_answer(held, sdp("m=audio 4000 RTP/AVP 8\na=inactive"), ours)
    assert on_hold.direction is Direction.INACTIVE


def test_an_unchanged_offer_keeps_its_version():
    ours = local()
    first = make_offer(ours, no_key)
    assert make_offer(ours, no_key, first) == first
    agreed = answer(TWILIO)
    again = answer(TWILIO, last=agreed.answer, plan=agreed.plan)
    assert again == agreed


def test_a_later_offer_names_the_codec_in_use_first():
    agreed = answer("m=audio 4000 RTP/AVP 8 120\na=rtpmap:120 telephone-event/8000")
    offer = make_offer(local(), no_key, agreed.answer, agreed.plan)
    assert offer.media[0].formats == ("8", "0", "9", "120")


def test_a_later_offer_keeps_the_numbers_of_the_codecs_and_the_places_of_the_streams():
    agreed = answer("m=video 5000 RTP/AVP 31\nm=audio 4000 RTP/AVP 101\na=rtpmap:101 PCMA/8000")
    offer = make_offer(local(), no_key, agreed.answer, agreed.plan)
    assert [(media.kind, media.port) for media in offer.media] == [("video", 0), ("audio", 20_000)]
    assert offer.media[1].formats == ("101", "0", "9", "96")  # 101 has a meaning already


def test_a_codec_in_use_stays_while_it_is_offered():
    agreed = answer("m=audio 4000 RTP/AVP 8")
    again = answer("m=audio 4000 RTP/AVP 0 8", last=agreed.answer, plan=agreed.plan)
    assert again.plan.codec is MediaCodec.PCMA
    other = answer("m=audio 4000 RTP/AVP 0", last=agreed.answer, plan=agreed.plan)
    assert other.plan.codec is MediaCodec.PCMU
    assert other.answer.origin.version == "7001"


def test_the_stream_in_use_stays_when_another_comes_before_it():
    agreed = answer("m=video 0 RTP/AVP 31\nm=audio 4000 RTP/AVP 0")
    again = answer("m=audio 4100 RTP/AVP 0\nm=audio 4000 RTP/AVP 0", last=agreed.answer, plan=agreed.plan)
    assert again.plan.remote == (THEM, 4_000)


def test_local_media_says_what_it_cannot_be():
    for wrong in (
        {"port": 0},
        {"address": "host.example"},
        {"codecs": ()},
        {"session_id": 2**62},
        {"ptime_ms": 5},
    ):
        with pytest.raises(ValueError):
            replace(local(), **wrong)
