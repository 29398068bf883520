"""Offers that nobody could take: each has its reason, and no octets raise anything but BadOfferError."""

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sdp.parser import MAX_BYTES
from gateway.webrtc.answer import LocalPeer, write_answer
from gateway.webrtc.errors import BadOfferError
from gateway.webrtc.offer import MAX_LINES, plan_of, read_offer
from tests.gateway.webrtc.offers import AUDIO_ONLY, CHROMIUM, FINGERPRINT, FIREFOX, VIDEO, wire

HEAD = CHROMIUM[: CHROMIUM.index("m=audio")]
AUDIO = CHROMIUM[CHROMIUM.index("m=audio") : CHROMIUM.index("m=application")]
DATA = CHROMIUM[CHROMIUM.index("m=application") :]

BROKEN = {
    "nothing": (b"", "empty"),
    "blank lines": (b"\r\n" * 9, "empty"),
    "json": (b'{"type": "offer", "sdp": "v=0"}', "bad_line"),
    "html": (b"<!doctype html>", "bad_line"),
    "no version": (wire(CHROMIUM.removeprefix("v=0\n")), "bad_version"),
    "a later version": (wire(CHROMIUM.replace("v=0", "v=1")), "bad_version"),
    "no origin": (wire(re.sub("o=.*\n", "", CHROMIUM)), "no_origin"),
    "a short origin": (wire(re.sub("o=.*", "o=- 1", CHROMIUM)), "bad_origin"),
    "two names": (wire(CHROMIUM.replace("s=-", "s=-\ns=-")), "doubled_line"),
    "a NUL": (wire(CHROMIUM.replace("a=mid:0", "a=mid:\0")), "bad_character"),
    "one octet too many": (wire(CHROMIUM).ljust(MAX_BYTES + 1, b"\n"), "too_long"),
    "a megabyte": (wire(CHROMIUM) + b"a=x\r\n" * 200_000, "too_long"),
    "a long line": (wire(CHROMIUM + "a=" + "x" * 5_000), "line_too_long"),
    "many lines": (wire(AUDIO_ONLY) + b"a=\n" * MAX_LINES, "too_many_lines"),
    "many streams": (wire(HEAD + "m=audio 9 x 0\n" * 40), "too_many_media"),
    "many formats": (wire(CHROMIUM.replace("SAVPF 111", "SAVPF" + " 1" * 70)), "too_many_formats"),
    "a port beyond": (wire(CHROMIUM.replace("m=audio 9", "m=audio 65536")), "bad_port"),
    "a stream without formats or protocol": (wire(HEAD + "m=audio 9\n"), "bad_media"),
    "a connection of two words": (wire(CHROMIUM.replace("c=IN IP4 0.0.0.0", "c=IN IP4")), "bad_connection"),
    "no streams": (wire(HEAD), "no_audio"),
    "video only": (wire(HEAD + VIDEO), "no_audio"),
    "data only": (wire(HEAD + DATA), "no_audio"),
    "audio refused by the browser itself": (wire(CHROMIUM.replace("m=audio 9", "m=audio 0")), "no_audio"),
    "audio for a bundle that has none of it": (
        wire(CHROMIUM.replace("m=audio 9", "m=audio 0").replace("a=mid:0", "a=mid:9\na=bundle-only")),
        "no_audio",
    ),
    "inactive audio": (wire(CHROMIUM.replace("a=sendrecv", "a=inactive")), "no_audio"),
    "plain RTP": (wire(CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")), "no_dtls"),
    "codecs of others": (wire(re.sub("SAVPF .*", "SAVPF 9 13 110", CHROMIUM)), "no_codec"),
    "G.711 at another clock": (wire(AUDIO_ONLY + "a=rtpmap:0 PCMU/16000\n"), "no_codec"),
    "no rtcp-mux": (wire(CHROMIUM.replace("a=rtcp-mux\n", "")), "no_rtcp_mux"),
    "no fingerprint": (wire(re.sub("a=fingerprint.*\n", "", CHROMIUM)), "no_fingerprint"),
    "a weak fingerprint": (wire(CHROMIUM.replace("sha-256", "sha-1")), "no_fingerprint"),
    "half a fingerprint": (wire(CHROMIUM.replace(FINGERPRINT, FINGERPRINT[:47])), "no_fingerprint"),
    "no ufrag": (wire(re.sub("a=ice-ufrag.*\n", "", CHROMIUM)), "no_ice"),
    "no password": (wire(re.sub("a=ice-pwd.*\n", "", CHROMIUM)), "no_ice"),
    "a short ufrag": (wire(re.sub("ice-ufrag:.*", "ice-ufrag:abc", CHROMIUM)), "bad_ice"),
    "a short password": (wire(re.sub("ice-pwd:.*", "ice-pwd:abcdefghijklmnopqrstu", CHROMIUM)), "bad_ice"),
    "a ufrag of strange letters": (wire(re.sub("ice-ufrag:.*", "ice-ufrag:ab cd:", CHROMIUM)), "bad_ice"),
    "setup for later": (wire(CHROMIUM.replace("actpass", "holdconn")), "bad_setup"),
    "two streams of one mid": (wire(CHROMIUM.replace("a=mid:1", "a=mid:0")), "bad_mid"),
    "an empty mid": (wire(CHROMIUM.replace("a=mid:1", "a=mid:")), "bad_mid"),
    "a mid that is no token": (wire(CHROMIUM.replace("a=mid:1", "a=mid:1 a=b")), "bad_mid"),
    "no bundle": (wire(re.sub("a=group.*\n", "", CHROMIUM)), "no_bundle"),
    "data outside the bundle": (wire(CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 0")), "no_bundle"),
    "another kind of group": (wire(CHROMIUM.replace("BUNDLE", "LS")), "no_bundle"),
    "data without mid": (wire(CHROMIUM.replace("a=mid:1\n", "")), "no_bundle"),
}
LOCAL = LocalPeer("abcd", "x" * 22, (), ("sha-256", FINGERPRINT), "active", 1, "c", 5_000, 1)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_offer_is_refused_with_its_reason(kind):
    body, reason = BROKEN[kind]
    with pytest.raises(BadOfferError) as caught:
        read_offer(body)
    assert caught.value.reason == reason
    assert str(caught.value).startswith("expected ")


@pytest.mark.parametrize("kind", BROKEN)
def test_a_refusal_shows_no_secret(kind):
    with pytest.raises(BadOfferError) as caught:
        read_offer(BROKEN[kind][0])
    assert "zVqHJv1oG1zqWz" not in str(caught.value)
    assert FINGERPRINT[:20] not in str(caught.value)


def _read(body: bytes) -> None:
    """What the door does with an offer: it must fail as it should, or be answerable."""
    with suppress(BadOfferError):
        offer = read_offer(body)
        plan_of(offer)
        assert write_answer(offer, LOCAL).startswith(b"v=0\r\n")


@given(st.binary(max_size=600))
@example(b"v=0\no=- 1 1 IN IP4 \xff\nm=audio 9 \xff \xff\na=mid:\xff\n")
def test_no_octets_raise_anything_else(body):
    _read(body)


@given(st.sampled_from([CHROMIUM, FIREFOX, AUDIO_ONLY]), st.data())
def test_no_cut_or_change_of_a_real_offer_raises_anything_else(text, data):
    body = bytearray(wire(text))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 40)))
        body[start:end] = data.draw(st.binary(max_size=12))
    _read(bytes(body))


@given(
    st.lists(st.sampled_from(sorted({*CHROMIUM.split("\n"), *FIREFOX.split("\n"), *VIDEO.split("\n")})), max_size=60)
)
def test_no_order_of_lines_raises_anything_else(lines):
    _read(wire("\n".join(["v=0", "o=- 1 1 IN IP4 0.0.0.0", *lines, ""])))


@given(st.permutations(AUDIO.split("\n")[1:-1]))
def test_attributes_may_stand_in_any_order(lines):
    offer = read_offer(wire("\n".join([HEAD.rstrip("\n"), AUDIO.split("\n")[0], *lines, DATA])))
    assert offer.audio == read_offer(wire(CHROMIUM)).audio
