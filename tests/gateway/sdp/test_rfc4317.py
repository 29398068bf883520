"""The audio of the exchanges in RFC 4317. Where the RFC speaks iLBC, PCMA has its payload type: we have no iLBC."""

import pytest

from gateway.sdp.description import Direction
from gateway.sdp.errors import NoCommonCodecError
from gateway.sdp.formats import MediaCodec
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.plan import Change, Reach, changes
from tests.gateway.sdp.exchange import THEM, local, no_key, sdp

ALICE = "IN IP4 host.atlanta.example.com"
THREE = "a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:97 iLBC/8000"
VIDEO = "m=video 51372 RTP/AVP 31 32\na=rtpmap:31 H261/90000\na=rtpmap:32 MPV/90000"


def test_2_1_one_codec_is_chosen_and_video_refused():
    agreed = answer_offer(sdp(f"m=audio 49170 RTP/AVP 0 8 97\n{THREE}\n{VIDEO}", ALICE), local(), no_key)
    audio, video = agreed.answer.media
    assert (audio.port, audio.formats) == (20_000, ("0",))
    assert (video.kind, video.port, video.formats) == ("video", 0, ("31", "32"))
    assert agreed.plan.remote == ("host.atlanta.example.com", 49_170)
    assert agreed.plan.reach is Reach.NAME


def test_2_2_an_answer_of_two_codecs_is_narrowed_by_a_second_offer():
    alice = local("PCMU PCMA")
    first = make_offer(alice, no_key)
    plan = read_answer(first, sdp("m=audio 49172 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000"), alice)
    assert (plan.codec, plan.other_codecs) == (MediaCodec.PCMU, (MediaCodec.PCMA,))
    second = make_offer(local("PCMU"), no_key, first, plan)
    assert second.media[0].formats[0] == "0"
    assert "8" not in second.media[0].formats
    assert int(second.origin.version) == int(first.origin.version) + 1
    settled = read_answer(second, sdp("m=audio 49172 RTP/AVP 0\na=rtpmap:0 PCMU/8000", version=2), alice)
    assert settled.other_codecs == ()
    assert changes(plan, settled) == Change.NOTHING


def test_2_3_the_answer_may_have_a_payload_type_of_its_own():
    alice = local("PCMA")
    theirs = sdp("m=audio 49172 RTP/AVP 99\na=rtpmap:99 PCMA/8000")
    plan = read_answer(make_offer(alice, no_key), theirs, alice)
    assert (plan.payload_type_out, plan.payload_type_in) == (99, 8)


TWO_STREAMS = """m=audio 49170 RTP/AVP 0 97
a=rtpmap:0 PCMU/8000
a=rtpmap:97 iLBC/8000
m=audio 49172 RTP/AVP 98
a=rtpmap:98 telephone-event/8000
a=sendonly"""


def test_2_4_a_stream_of_nothing_but_keys_is_refused_beside_its_audio():
    agreed = answer_offer(sdp(TWO_STREAMS), local(), no_key)
    assert [media.port for media in agreed.answer.media] == [20_000, 0]
    assert agreed.plan.direction is Direction.SENDRECV


def test_2_5_a_new_address_of_the_peer_leaves_our_description_as_it_was():
    ours = local("PCMA")
    first = answer_offer(sdp("m=audio 49174 RTP/AVP 97\na=rtpmap:97 PCMA/8000"), ours, no_key)
    moved = sdp("m=audio 49178 RTP/AVP 97\na=rtpmap:97 PCMA/8000", "IN IP4 192.0.2.99", version=2)
    second = answer_offer(moved, ours, no_key, first.answer, first.plan)
    assert second.answer == first.answer
    assert changes(first.plan, second.plan) == Change.ADDRESS
    assert second.plan.remote == ("192.0.2.99", 49_178)


def test_2_6_of_two_alternatives_the_one_we_can_speak_is_taken():
    offer = sdp(
        """m=audio 49170 RTP/AVP 97
        a=rtpmap:97 iLBC/8000
        m=audio 51372 RTP/AVP 0 101
        a=rtpmap:101 telephone-event/8000"""
    )
    agreed = answer_offer(offer, local(), no_key)
    assert [media.port for media in agreed.answer.media] == [0, 20_000]
    assert agreed.answer.media[1].formats == ("0", "101")


def test_3_1_a_call_may_begin_on_hold():
    alice = local("PCMU PCMA")
    offer = make_offer(alice, no_key)
    held = sdp("m=audio 49172 RTP/AVP 8\na=sendonly", "IN IP4 placeholder.biloxi.example.com")
    plan = read_answer(offer, held, alice)
    assert (plan.direction, plan.reach) == (Direction.RECVONLY, Reach.NAME)
    agreed = answer_offer(sdp("m=audio 49170 RTP/AVP 8", version=2), alice, no_key, offer, plan)
    assert agreed.plan.direction is Direction.SENDRECV
    assert agreed.plan.remote == (THEM, 49_170)
    assert int(agreed.answer.origin.version) == int(offer.origin.version) + 1


def test_3_2_one_of_two_streams_goes_on_hold():
    first = answer_offer(sdp(TWO_STREAMS), local(), no_key)
    on_hold = sdp(TWO_STREAMS.replace("a=rtpmap:97 iLBC/8000", "a=sendonly"), version=2)
    second = answer_offer(on_hold, local(), no_key, first.answer, first.plan)
    assert changes(first.plan, second.plan) == Change.DIRECTION
    assert second.plan.direction is Direction.RECVONLY


def test_4_1_a_second_audio_stream_is_refused_and_the_first_goes_on():
    one = "m=audio 49170 RTP/AVP 97\na=rtpmap:97 PCMA/8000"
    first = answer_offer(sdp(one), local(), no_key)
    two = f"{one}\nm=audio 48282 RTP/AVP 98\nc=IN IP4 192.0.2.77\na=rtpmap:98 telephone-event/8000\na=recvonly"
    second = answer_offer(sdp(two, version=2), local(), no_key, first.answer, first.plan)
    assert [media.port for media in second.answer.media] == [20_000, 0]
    assert second.plan == first.plan


def test_4_2_video_that_is_added_is_refused_and_the_audio_goes_on():
    first = answer_offer(sdp("m=audio 49170 RTP/AVP 0"), local(), no_key)
    second = answer_offer(
        sdp(f"m=audio 49170 RTP/AVP 0\n{VIDEO}", version=2), local(), no_key, first.answer, first.plan
    )
    assert [media.port for media in second.answer.media] == [20_000, 0]
    assert second.answer.origin.version == "7001"


def test_4_3_video_that_is_taken_away_keeps_its_place():
    offer = f"m=audio 49170 RTP/AVP 97\na=rtpmap:97 PCMA/8000\n{VIDEO}"
    first = answer_offer(sdp(offer), local(), no_key)
    second = answer_offer(sdp(offer.replace("51372", "0"), version=2), local(), no_key, first.answer, first.plan)
    assert second.answer == first.answer


def test_5_1_an_offer_without_media_is_refused():
    with pytest.raises(NoCommonCodecError):
        answer_offer(sdp(""), local(), no_key)


def test_5_2_a_black_hole_in_the_offer_is_sent_nothing_until_it_has_an_address():
    offer = "m=audio 23442 RTP/AVP 97\na=rtpmap:97 PCMA/8000"
    first = answer_offer(sdp(offer, "IN IP4 0.0.0.0"), local(), no_key)
    assert not first.plan.may_send
    second = answer_offer(sdp(offer, version=2), local(), no_key, first.answer, first.plan)
    assert second.plan.may_send
    assert second.plan.direction is Direction.SENDRECV


def test_5_3_a_black_hole_in_the_answer_is_sent_nothing():
    alice = local("PCMA")
    offer = make_offer(alice, no_key)
    plan = read_answer(offer, sdp("m=audio 9322 RTP/AVP 8", "IN IP4 0.0.0.0"), alice)
    assert (plan.reach, plan.may_send, plan.direction) == (Reach.HELD, False, Direction.RECVONLY)
