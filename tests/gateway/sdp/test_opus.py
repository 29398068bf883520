"""Opus in offers and answers: its clock, its keys, and what a peer asks of it (RFC 7587)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.formats import MediaCodec
from gateway.sdp.offer_answer import make_offer, read_answer
from gateway.sdp.opus import NO_LIMIT_BPS, OUR_WISHES, OpusWishes, read_wishes
from gateway.sdp.plan import Change, changes
from tests.gateway.sdp.exchange import answer, lines, local, no_key, sdp

BOTH = """m=audio 4000 RTP/AVP 109 0 101 110
a=rtpmap:109 opus/48000/2
a=fmtp:109 minptime=10;useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=rtpmap:110 telephone-event/48000"""


def test_opus_is_answered_by_the_payload_type_it_was_offered_with():
    agreed = answer(BOTH, local("opus PCMU"))
    plan = agreed.plan
    assert (plan.codec, plan.payload_type_out, plan.payload_type_in) == (MediaCodec.OPUS, 109, 109)
    assert (plan.dtmf_out, plan.dtmf_in) == (110, 110), "keys on the codec's own clock"
    assert lines(agreed.answer)[5:11] == [
        "m=audio 20000 RTP/AVP 109 110",
        "a=rtpmap:109 opus/48000/2",
        "a=rtpmap:110 telephone-event/48000",
        f"a=fmtp:109 {OUR_WISHES}",
        "a=fmtp:110 0-15",
        "a=ptime:20",
    ]


def test_who_does_not_ask_for_opus_gets_what_it_always_got():
    agreed = answer(BOTH)
    assert (agreed.plan.codec, agreed.plan.dtmf_in) == (MediaCodec.PCMU, 101)
    assert agreed.answer.media[0].formats == ("0", "101")
    assert b"opus" not in make_offer(local(), no_key).to_bytes()


def test_keys_of_another_clock_are_no_keys():
    offer = "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000"
    agreed = answer(offer, local("opus"))
    assert (agreed.plan.dtmf_in, agreed.plan.dtmf_out) == (None, None)
    assert agreed.answer.media[0].formats == ("96",)


def test_comfort_noise_belongs_to_codecs_of_8_khz():
    offer = "m=audio 4000 RTP/AVP 96 0 13\na=rtpmap:96 opus/48000/2"
    assert answer(offer, local("opus", comfort_noise=True)).plan.cn_in is None
    assert answer(offer, local("PCMU", comfort_noise=True)).plan.cn_in == 13


@pytest.mark.parametrize("rate", ["48000", "48000/1"])
def test_a_peer_that_forgets_the_two_channels_is_understood(rate):
    agreed = answer(f"m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/{rate}", local("opus"))
    assert "a=rtpmap:96 opus/48000/2" in lines(agreed.answer)


@pytest.mark.parametrize("name", ["opus/16000/2", "opus/48000/3", "opus", "telephone-event/48000/2"])
def test_other_clocks_and_channels_are_not_ours(name):
    offer = f"m=audio 4000 RTP/AVP 96 0\na=rtpmap:96 {name}"
    assert answer(offer, local("opus PCMU")).plan.codec is MediaCodec.PCMU


def test_an_offer_has_keys_on_every_clock():
    assert lines(make_offer(local("opus PCMU"), no_key))[5:13] == [
        "m=audio 20000 RTP/AVP 111 0 110 101",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:101 telephone-event/8000",
        f"a=fmtp:111 {OUR_WISHES}",
        "a=fmtp:110 0-15",
        "a=fmtp:101 0-15",
    ]


def test_an_answer_is_read_on_the_clock_of_its_codec():
    ours = local("PCMU opus")
    offer = make_offer(ours, no_key)
    assert offer.media[0].formats == ("0", "111", "101", "110")
    taken = sdp("m=audio 4000 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/48000")
    plan = read_answer(offer, taken, ours)
    assert (plan.codec, plan.payload_type_out, plan.payload_type_in) == (MediaCodec.OPUS, 96, 111)
    assert (plan.dtmf_out, plan.dtmf_in) == (97, 110)
    plain = read_answer(offer, sdp("m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000"), ours)
    assert (plain.codec, plain.dtmf_out, plain.dtmf_in) == (MediaCodec.PCMU, 101, 101)


def test_a_later_offer_keeps_every_payload_type_and_gives_none_twice():
    theirs = "m=audio 4000 RTP/AVP 101 111\na=rtpmap:101 opus/48000/2\na=rtpmap:111 telephone-event/48000"
    ours = local("opus PCMU")
    first = answer(theirs, ours)
    again = make_offer(ours, no_key, first.answer, first.plan)
    assert again.media[0].formats == ("101", "0", "111", "96"), "96 for keys of 8 kHz: 101 is taken"
    pcmu = answer("m=audio 4000 RTP/AVP 0 111\na=rtpmap:111 telephone-event/8000", ours)
    assert make_offer(ours, no_key, pcmu.answer, pcmu.plan).media[0].formats == ("0", "96", "111", "110")


@pytest.mark.parametrize(
    ("fmtp", "wishes"),
    [
        ("", OpusWishes(NO_LIMIT_BPS, fec=False)),
        ("minptime=10;useinbandfec=1", OpusWishes(NO_LIMIT_BPS, fec=True)),
        (" UseInbandFEC = 1 ; maxaveragebitrate=20000; usedtx=1; stereo=0", OpusWishes(20_000, fec=True)),
        ("maxaveragebitrate=1", OpusWishes(6_000)),
        ("maxaveragebitrate=999999", OpusWishes(NO_LIMIT_BPS)),
        ("maxaveragebitrate=1e9;useinbandfec=yes", OpusWishes(NO_LIMIT_BPS)),
        ("useinbandfec=0;useinbandfec=1", OpusWishes(NO_LIMIT_BPS)),
        (OUR_WISHES, OpusWishes(NO_LIMIT_BPS, fec=True)),
    ],
)
def test_a_peers_wishes_are_read(fmtp, wishes):
    assert read_wishes(fmtp) == wishes


@given(st.text())
def test_no_wish_raises_or_leaves_the_bounds(fmtp):
    assert 6_000 <= read_wishes(fmtp).bitrate_bps <= NO_LIMIT_BPS


def test_wishes_reach_the_plan_and_a_new_wish_is_a_change_of_codec():
    offer = "m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 maxaveragebitrate=16000;useinbandfec=1"
    before = answer(offer, local("opus")).plan
    assert (before.bitrate_bps, before.fec) == (16_000, True)
    after = answer(offer.replace("16000", "24000"), local("opus")).plan
    assert changes(before, after) is Change.CODEC
