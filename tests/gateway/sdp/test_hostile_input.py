"""Whatever the bytes: a description, an answer or an error with a reason, and all of it soon."""

from contextlib import suppress
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.description import SessionDescription
from gateway.sdp.errors import NegotiationError, SdpError
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.parser import MAX_BYTES, parse_sdp
from tests.gateway.sdp.exchange import DTLS, OPTIONAL, SDES, THEIR_PRINT, keys, local

HEAD = b"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\n"
KEY = "A" * 40
KNOWN_LINES = f"""s=-
t=0 0
c=IN IP4 192.0.2.9
c=IN IP4 0.0.0.0
c=IN IP6 ::1
c=IN IP4 host.example
c=IN IP4 224.2.1.1/127
b=AS:64
m=audio 4000 RTP/AVP 0 8 101
m=audio 4000 RTP/SAVP 8
m=audio 0 RTP/AVP
m=video 5000 RTP/AVP 31
m=audio 9 UDP/TLS/RTP/SAVPF 0 97
m=audio 5000 udptl t38
a=rtpmap:101 telephone-event/8000
a=rtpmap:0 PCMU/8000/1
a=rtpmap:97 G722/16000
a=rtpmap:8 PCMA
a=rtpmap:97 opus/48000/2
a=rtpmap:0 telephone-event/48000
a=fmtp:97 maxaveragebitrate=;useinbandfec=1;=;
a=fmtp:101 0-15
a=fmtp:101 0-9999999999,-
a=ptime:30
a=maxptime:1e9
a=inactive
a=sendonly
a=rtcp:4001 IN IP6 ::1
a=rtcp:
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31
a=crypto:2 AEAD_AES_256_GCM inline:x
a=crypto:99999999999 AES_CM_128_HMAC_SHA1_32 inline:{KEY}
a=setup:actpass
a=setup:holdconn
a=fingerprint:{THEIR_PRINT}
a=fingerprint:sha-256 AB:C""".encode().split(b"\n")

LINES = st.one_of(
    st.sampled_from(KNOWN_LINES),
    st.sampled_from([line for line in KNOWN_LINES if line.startswith((b"m=audio", b"a="))]),
    st.builds(lambda name, rest: b"a=" + name + b":" + rest, st.sampled_from([b"crypto", b"rtpmap", b"fmtp", b"rtcp"]),
              st.binary(max_size=30)),
    st.builds(lambda letter, rest: letter + b"=" + rest, st.sampled_from([b"m", b"c", b"b", b"t", b"i", b"z", b"a"]),
              st.binary(max_size=20)),
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\n", b" \r\n"])
AUDIO_LINES = st.sampled_from([line for line in KNOWN_LINES if line.startswith(b"m=audio")])
DESCRIPTIONS = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda end, lines: HEAD + end.join(lines), ENDS, st.lists(LINES, max_size=25)),
    st.builds(
        lambda end, audio, lines: HEAD + end.join([b"c=IN IP4 192.0.2.9", audio, *lines]),
        ENDS,
        AUDIO_LINES,
        st.lists(st.sampled_from([line for line in KNOWN_LINES if line.startswith((b"a=", b"c="))]), max_size=12),
    ),
)


def read(data: bytes) -> SessionDescription | None:
    try:
        return parse_sdp(data)
    except SdpError:
        return None


@given(DESCRIPTIONS)
def test_any_bytes_are_an_error_or_a_description_that_reads_the_same_when_written(data):
    found = read(data)
    assert found is None or parse_sdp(found.to_bytes()) == found


@given(DESCRIPTIONS)
def test_any_description_is_refused_or_answered_stream_by_stream(data):
    offer = read(data)
    for ours in (
        local("opus PCMU"),
        local(security=OPTIONAL, comfort_noise=True),
        local(security=SDES),
        local(security=DTLS),
    ):
        with suppress(NegotiationError):
            if offer is None:
                continue
            agreed = answer_offer(offer, ours, keys())
            assert [media.kind for media in agreed.answer.media] == [media.kind for media in offer.media]
            assert sum(media.port != 0 for media in agreed.answer.media) == 1
            assert (agreed.plan.security is not None) or ours.security not in (SDES, DTLS)
            assert parse_sdp(agreed.answer.to_bytes()) == agreed.answer


@given(DESCRIPTIONS)
def test_any_answer_is_refused_or_keeps_what_we_asked_for(data):
    theirs = read(data)
    for ours in (local("opus PCMU"), local(security=SDES), local(security=DTLS)):
        if theirs is not None:
            with suppress(NegotiationError):
                plan = read_answer(make_offer(ours, keys()), theirs, ours)
                assert (plan.security is None) == (ours.security not in (SDES, DTLS))


FULL = HEAD + b"m=audio 4000 RTP/AVP 0\n"
WORST = {
    "attributes": FULL + b"a=\n" * 5_400,
    "rtpmaps": HEAD + b"m=audio 4000 RTP/AVP" + b" 0" * 64 + b"\n" + b"a=rtpmap:0 x\n" * 1_240,
    "events": HEAD + b"m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 " + b"0-255," * 600,
    "media": HEAD + (b"m=audio 4000 RTP/SAVP" + b" 96" * 64 + b"\n" + b"a=crypto:1 x inline:x\n" * 12) * 32,
    "keys": HEAD + b"m=audio 4000 RTP/SAVP 0\n" + (b"a=crypto:1 AEAD_AES_256_GCM inline:" + b"A" * 4_000 + b"\n") * 3,
    "prints": HEAD + b"m=audio 4000 RTP/SAVP 0\n" + (b"a=fingerprint:sha-256 " + b"AB:" * 1_300 + b"\n") * 4,
    "shared": HEAD + b"a=fingerprint:sha-256 " + b"AB:" * 1_300 + b"\n" + b"m=audio 4000 RTP/SAVP 0\n" * 32,
    "empty_lines": HEAD + b"\n" * 16_000,
    "blanks": HEAD + (b" " * 4_000 + b"x\n") * 3,
    "one_line": b"v" * MAX_BYTES,
    "slashes": HEAD + b"m=audio 4000 RTP/AVP 96\na=rtpmap:96 " + b"/" * 4_000 + b"\n",
    "not_utf8": FULL + b"a=\xff\xfe\n" * 3_000,
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_description_costs_milliseconds(name):
    data = WORST[name][:MAX_BYTES]
    best_s = float("inf")
    for _ in range(3):
        began = process_time()
        with suppress(SdpError, NegotiationError):
            answer_offer(parse_sdp(data), local(security=OPTIONAL), keys())
        best_s = min(best_s, process_time() - began)
    assert best_s < 0.05, f"{name}: {best_s * 1e3:.1f} ms"
