"""What is read out of the offers of real browsers."""

import re

import pytest

from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.srtp import Suite
from gateway.rtp.stream import MediaStream
from gateway.sdp.description import Direction
from gateway.sdp.dtls import DtlsRole
from gateway.sdp.formats import MediaCodec
from gateway.sdp.plan import Reach
from gateway.sdp.security import DtlsSetup
from gateway.webrtc.ice import MAX_CANDIDATES
from gateway.webrtc.offer import CODECS, ICE_SOURCE, plan_of, read_offer
from tests.gateway.webrtc.offers import AUDIO_ONLY, CHROMIUM, FINGERPRINT, FIREFOX, VIDEO, wire
from wire.audio.codecs import Codec


def test_chromium_offers_opus_keys_and_a_data_channel():
    offer = read_offer(wire(CHROMIUM))
    assert offer.audio.codec is MediaCodec.OPUS
    assert (offer.audio.mid, offer.audio.payload_type, offer.audio.dtmf_type) == ("0", 111, 110)
    assert offer.audio.fmtp == "minptime=10;useinbandfec=1"
    assert (offer.audio.ptime_ms, offer.audio.direction) == (20, Direction.SENDRECV)
    assert offer.data is not None
    assert (offer.data.mid, offer.data.sctp_port, offer.data.max_message_bytes) == ("1", 5_000, 262_144)
    assert (offer.ice.ufrag, offer.ice.pwd) == ("Yx3+", "zVqHJv1oG1zqWz/8bQ0QfWzC")
    assert offer.dtls.fingerprints == (("sha-256", FINGERPRINT),)
    assert offer.dtls.setup == "actpass"
    assert offer.bundle == ("0", "1")


def test_firefox_keeps_fingerprint_and_direction_at_the_session():
    offer = read_offer(wire(FIREFOX))
    assert (offer.audio.codec, offer.audio.payload_type) == (MediaCodec.OPUS, 109)
    assert offer.dtls.fingerprints == (("sha-256", FINGERPRINT),)
    assert offer.ice.end_of_candidates
    assert offer.data is not None
    assert offer.data.max_message_bytes == 1_073_741_823


def test_keys_are_taken_with_the_clock_of_the_codec():
    assert read_offer(wire(CHROMIUM), (MediaCodec.PCMA,)).audio.dtmf_type == 126
    assert read_offer(wire(FIREFOX)).audio.dtmf_type is None  # Firefox has them at 8 kHz only
    assert read_offer(wire(FIREFOX), (MediaCodec.PCMU,)).audio.dtmf_type == 101


def test_the_order_of_codecs_is_ours():
    assert read_offer(wire(CHROMIUM), (MediaCodec.PCMU, MediaCodec.OPUS)).audio.payload_type == 0
    assert read_offer(wire(CHROMIUM.replace("opus/", "lyra/"))).audio.codec is MediaCodec.PCMU


def test_opus_is_the_first_choice():
    assert CODECS[0] is MediaCodec.OPUS


def test_names_in_place_of_addresses_are_passed_on():
    candidates = read_offer(wire(CHROMIUM)).ice.candidates
    assert len(candidates) == 3
    assert candidates[0].split()[4].endswith(".local")


def test_candidates_of_the_other_component_are_left_out():
    assert [value.split()[1] for value in read_offer(wire(FIREFOX)).ice.candidates] == ["1", "1", "1"]


@pytest.mark.parametrize(
    "candidate",
    [
        "",
        "1 1 udp 1 192.0.2.9 5000 host",
        "1 1 udp 1 192.0.2.9 0 typ host",
        "1 1 udp 1 192.0.2.9 65536 typ host",
        "1 1 udp 4294967296 192.0.2.9 5000 typ host",
        "1 1 udp 1 192.0.2.9 5000 typ host raddr",
        "1 1 udp 1 192.0.2.9 5000 typ srflx raddr 192.0.2.8 rport x",
        "1 1 udp 1 bücher.local 5000 typ host",
        "1 1 udp 1 192.0.2.9 5000 typ elsewhere",
        "1 one udp 1 192.0.2.9 5000 typ host",
    ],
)
def test_a_candidate_that_makes_no_sense_is_left_out(candidate):
    good = "1 1 udp 1 192.0.2.9 5000 typ host"
    text = AUDIO_ONLY + f"a=candidate:{candidate}\na=candidate:{good}\n"
    assert read_offer(wire(text), (MediaCodec.PCMU,)).ice.candidates == (good,)


def test_no_more_candidates_are_tried_than_a_browser_can_have():
    lines = "".join(f"a=candidate:{n} 1 udp 1 192.0.2.9 {5_000 + n} typ host\n" for n in range(MAX_CANDIDATES + 9))
    assert len(read_offer(wire(AUDIO_ONLY + lines)).ice.candidates) == MAX_CANDIDATES


def test_the_least_offer_will_do():
    offer = read_offer(wire(AUDIO_ONLY))
    assert (offer.audio.codec, offer.audio.payload_type, offer.audio.mid) == (MediaCodec.PCMU, 0, None)
    assert (offer.data, offer.bundle) == (None, ())
    assert offer.dtls.setup == "active"


def test_video_and_a_second_voice_are_not_taken():
    second = CHROMIUM[CHROMIUM.index("m=audio") : CHROMIUM.index("m=application")].replace("a=mid:0", "a=mid:3")
    offer = read_offer(wire(CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 2 0 3 1") + VIDEO + second))
    assert [(line.kind, line.mid, line.taken) for line in offer.lines] == [
        ("audio", "0", True),
        ("application", "1", True),
        ("video", "2", False),
        ("audio", "3", False),
    ]
    assert offer.bundle == ("0", "1")


def test_an_inactive_voice_leaves_the_place_to_the_next():
    first = "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:8\na=inactive\na=rtcp-mux\n"
    offer = read_offer(wire(CHROMIUM.replace("m=audio", first + "m=audio", 1)))
    assert offer.audio.mid == "0"
    assert [line.taken for line in offer.lines] == [False, True, True]


def test_the_transport_is_that_of_the_first_stream_of_the_bundle():
    audio, data = CHROMIUM.split("m=application")
    bundled_only = audio.replace("m=audio 9", "m=audio 0").replace("a=mid:0", "a=mid:0\na=bundle-only")
    data = data.replace("Yx3+", "data").replace("a=sctp", "a=candidate:7 1 udp 7 192.0.2.7 7000 typ host\na=sctp")
    offer = read_offer(wire(bundled_only.replace("BUNDLE 0 1", "BUNDLE 1 0") + "m=application" + data))
    assert offer.bundle == ("1", "0")
    assert offer.ice.ufrag == "data"
    assert offer.ice.candidates == ("7 1 udp 7 192.0.2.7 7000 typ host",)


def test_a_stream_that_only_wants_to_be_bundled_has_no_transport():
    audio, data = CHROMIUM.split("m=application")
    audio = re.sub("a=(ice-|fingerprint|candidate).*\n", "", audio).replace("m=audio 9", "m=audio 0")
    text = audio.replace("a=mid:0", "a=mid:0\na=bundle-only") + "m=application" + data
    offer = read_offer(wire(text))
    assert (offer.bundle, offer.ice.ufrag) == (("0", "1"), "Yx3+")


def test_data_channels_of_another_kind_are_not_taken():
    for text in (
        CHROMIUM.replace("a=sctp-port:5000\n", ""),
        CHROMIUM.replace("a=sctp-port:5000", "a=sctp-port:65536"),
        CHROMIUM.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"),
        CHROMIUM.replace("m=application 9", "m=application 0"),
    ):
        offer = read_offer(wire(text))
        assert offer.data is None
        assert offer.bundle == ("0",)


def test_a_peer_without_a_bound_takes_messages_of_any_size():
    assert _max_message("a=max-message-size:0") == 2**32
    assert _max_message("a=max-message-size:x") == 65_536
    assert _max_message("a=other:1") == 65_536


def _max_message(line: str) -> int:
    data = read_offer(wire(CHROMIUM.replace("a=max-message-size:262144", line))).data
    assert data is not None
    return data.max_message_bytes


def test_secrets_do_not_show():
    offer = read_offer(wire(CHROMIUM))
    assert offer.ice.pwd not in repr(offer)
    assert FINGERPRINT not in repr(offer)


def test_the_plan_mirrors_the_offer_and_waits_for_keys():
    plan = plan_of(read_offer(wire(CHROMIUM.replace("a=sendrecv", "a=sendonly"))))
    assert plan.direction is Direction.RECVONLY
    assert not plan.may_send
    plan = plan_of(read_offer(wire(CHROMIUM)))
    assert (plan.remote, plan.remote_rtcp, plan.reach) == (ICE_SOURCE, ICE_SOURCE, Reach.UNICAST)
    assert (plan.payload_type_out, plan.payload_type_in, plan.dtmf_out, plan.dtmf_in) == (111, 111, 110, 110)
    assert plan.rtcp_mux
    assert plan.may_send
    assert isinstance(plan.security, DtlsSetup)
    assert plan.security.role is DtlsRole.CLIENT
    assert plan.security.remote[0].digest == bytes(range(7, 39))


def test_we_begin_the_handshake_unless_the_browser_does():
    for setup, role in (("active", DtlsRole.SERVER), ("passive", DtlsRole.CLIENT), ("actpass", DtlsRole.CLIENT)):
        security = plan_of(read_offer(wire(CHROMIUM.replace("actpass", setup)))).security
        assert isinstance(security, DtlsSetup)
        assert security.role is role


def test_a_stream_takes_the_plan_and_opens_with_the_keys():
    plan = plan_of(read_offer(wire(CHROMIUM), (MediaCodec.PCMU,)))
    stream = MediaStream(plan, Codec.PCMU, StreamIdentity(1, 1, 1, "c"), 0.0, 0.0, lambda: 0.5)
    stream.queue_audio(bytes(160))
    assert stream.tick(0.0) is None
    key = bytes(30)
    stream.use_keys(Suite.AES_CM_128_HMAC_SHA1_80, key, key)
    assert stream.tick(0.02) is not None
    assert stream.remote == ICE_SOURCE
