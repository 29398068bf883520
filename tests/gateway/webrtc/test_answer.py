"""Our answers: read back as a browser would, and checked by one that is not ours."""

import asyncio

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from gateway.sdp.formats import MediaCodec
from gateway.sdp.parser import parse_sdp
from gateway.webrtc.answer import LocalPeer, write_answer
from gateway.webrtc.offer import read_offer
from tests.gateway.webrtc.offers import AUDIO_ONLY, CHROMIUM, FINGERPRINT, FIREFOX, VIDEO, wire

CANDIDATE = "1 1 udp 2130706431 192.0.2.50 40000 typ host"
LOCAL = LocalPeer(
    ice_ufrag="ourU",
    ice_pwd="o" * 22,
    candidates=(CANDIDATE,),
    fingerprint=("sha-256", FINGERPRINT),
    setup="active",
    ssrc=77,
    cname="us@twowire.invalid",
    sctp_port=5_000,
    session_id=4_711,
)


def answer(text: str, *codecs: MediaCodec):
    offer = read_offer(wire(text), codecs) if codecs else read_offer(wire(text))
    return parse_sdp(write_answer(offer, LOCAL))


def test_an_answer_is_this_and_nothing_else():
    offer = read_offer(wire(CHROMIUM + VIDEO))
    assert write_answer(offer, LOCAL).decode() == (
        "v=0\r\no=- 4711 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        "a=group:BUNDLE 0 1\r\na=ice-options:trickle\r\na=msid-semantic:WMS twowire\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 110\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
        f"a=ice-ufrag:ourU\r\na=ice-pwd:{'o' * 22}\r\na=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:active\r\n"
        f"a=candidate:{CANDIDATE}\r\na=end-of-candidates\r\n"
        "a=rtpmap:111 opus/48000/2\r\n"
        "a=fmtp:111 minptime=10;maxplaybackrate=16000;stereo=0;sprop-stereo=0;useinbandfec=1;usedtx=1\r\n"
        "a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\n"
        "a=ptime:20\r\na=maxptime:60\r\na=rtcp-mux\r\na=sendrecv\r\na=msid:twowire agent\r\n"
        "a=ssrc:77 cname:us@twowire.invalid\r\n"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
        f"a=ice-ufrag:ourU\r\na=ice-pwd:{'o' * 22}\r\na=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:active\r\n"
        "a=sctp-port:5000\r\na=max-message-size:65536\r\n"
        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n"
    )


def test_streams_stand_in_the_order_of_the_offer():
    media = answer(FIREFOX + VIDEO).media
    assert [(one.kind, one.port) for one in media] == [("audio", 9), ("application", 9), ("video", 0)]


def test_payload_types_are_those_of_the_browser():
    audio = answer(FIREFOX).media[0]
    assert audio.formats == ("109",)
    assert answer(FIREFOX, MediaCodec.PCMU).media[0].formats == ("0", "101")


def test_g711_asks_for_nothing():
    audio = answer(CHROMIUM, MediaCodec.PCMA).media[0]
    assert audio.get("rtpmap") == "8 PCMA/8000"
    assert audio.get_all("fmtp") == ["126 0-15"]


def test_a_browser_that_only_listens_or_only_speaks_is_mirrored():
    listening = answer(CHROMIUM.replace("a=sendrecv", "a=recvonly")).media[0]
    assert listening.get("sendonly") == ""
    assert listening.get("msid") == "twowire agent"
    speaking = answer(CHROMIUM.replace("a=sendrecv", "a=sendonly")).media[0]
    assert speaking.get("recvonly") == ""
    assert speaking.get("msid") is None


def test_the_stream_that_leads_the_bundle_has_the_candidates():
    data_first = answer(CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 1 0"))
    assert data_first.get("group") == "BUNDLE 1 0"
    assert [one.get_all("candidate") for one in data_first.media] == [[], [CANDIDATE]]


def test_no_bundle_is_answered_with_none():
    plain = answer(AUDIO_ONLY)
    assert plain.get("group") is None
    assert plain.media[0].get("mid") is None
    assert plain.media[0].get_all("candidate") == [CANDIDATE]
    assert plain.media[0].get("end-of-candidates") == ""


def test_a_refused_stream_without_formats_is_still_a_line_that_parses():
    media = answer(CHROMIUM + "m=video 9 UDP/TLS/RTP/SAVPF\n").media
    assert (media[2].port, media[2].formats) == (0, ("0",))


def test_our_password_does_not_show():
    assert LOCAL.ice_pwd not in repr(LOCAL)


@pytest.mark.interop
@pytest.mark.parametrize("codecs", [(), (MediaCodec.PCMU,)])
async def test_another_implementation_takes_our_answer(codecs):
    peer = RTCPeerConnection()
    peer.createDataChannel("events")
    peer.addTransceiver("audio")
    async with asyncio.timeout(20):
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp.encode()
        body = write_answer(read_offer(offer, codecs) if codecs else read_offer(offer), LOCAL)
        await peer.setRemoteDescription(RTCSessionDescription(body.decode(), "answer"))
        assert peer.signalingState == "stable"
        await peer.close()
