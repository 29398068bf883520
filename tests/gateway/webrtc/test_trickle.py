"""Candidates that come after the offer."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webrtc.errors import BadOfferError
from gateway.webrtc.ice import MAX_CANDIDATES
from gateway.webrtc.trickle import MAX_BYTES, read_fragment
from tests.gateway.webrtc.offers import wire

CREDENTIALS = "a=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n"
CANDIDATES = """a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1
"""
FRAGMENT = f"a=group:BUNDLE 0 1\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\n{CREDENTIALS}{CANDIDATES}"


def test_a_fragment_has_credentials_and_candidates():
    fragment = read_fragment(wire(FRAGMENT))
    assert (fragment.ufrag, fragment.pwd) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert fragment.candidates == tuple(line.removeprefix("a=candidate:") for line in CANDIDATES.splitlines())
    assert not fragment.end


def test_the_end_is_told_with_or_without_candidates():
    assert read_fragment(wire(FRAGMENT + "a=end-of-candidates\n")).end
    fragment = read_fragment(wire(CREDENTIALS + "a=end-of-candidates"))
    assert (fragment.candidates, fragment.end) == ((), True)


def test_credentials_of_the_session_count_and_the_first_do():
    text = CREDENTIALS + "m=audio 9 RTP/AVP 0\na=mid:0\na=ice-ufrag:other\na=ice-pwd:otherotherotherotherother\n"
    assert read_fragment(wire(text)).ufrag == "EsAw"


def test_a_candidate_that_makes_no_sense_is_left_out():
    fragment = read_fragment(wire(CREDENTIALS + "a=candidate:nonsense\na=candidate\n" + CANDIDATES))
    assert len(fragment.candidates) == 2


def test_candidates_are_bounded():
    fragment = read_fragment(wire(CREDENTIALS + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n" * 90))
    assert len(fragment.candidates) == MAX_CANDIDATES


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no_ice"),
        (wire(CANDIDATES), "no_ice"),
        (wire("a=ice-ufrag:EsAw\n"), "no_ice"),
        (wire(CREDENTIALS.replace("EsAw", "E")), "bad_ice"),
        (b"{}", "bad_line"),
        (wire(CREDENTIALS + "a=x\0y\n"), "bad_line"),
        (wire(CREDENTIALS + "a=mid:ü\n"), "bad_character"),
        (wire(CREDENTIALS + "a=" + "x" * 2_000), "line_too_long"),
        (wire(CREDENTIALS + "a=x\n" * 600), "too_many_lines"),
        (wire(CREDENTIALS).ljust(MAX_BYTES + 1, b"\n"), "too_long"),
    ],
)
def test_a_broken_fragment_is_refused_with_its_reason(body, reason):
    with pytest.raises(BadOfferError) as caught:
        read_fragment(body)
    assert caught.value.reason == reason


def test_the_password_does_not_show():
    assert "P2uYro0UCOQ" not in repr(read_fragment(wire(FRAGMENT)))


@given(st.binary(max_size=400))
def test_no_octets_raise_anything_else(body):
    with suppress(BadOfferError):
        read_fragment(body)


@given(st.data())
def test_no_change_of_a_real_fragment_raises_anything_else(data):
    body = bytearray(wire(FRAGMENT))
    start = data.draw(st.integers(0, len(body)))
    end = min(len(body), start + data.draw(st.integers(0, 40)))
    body[start:end] = data.draw(st.binary(max_size=12))
    with suppress(BadOfferError):
        read_fragment(bytes(body))
