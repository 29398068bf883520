"""The load test's own SIP."""

import pytest

from load_tests.sip_text import (
    Dialog,
    SipText,
    SipTextError,
    compose,
    digest_response,
    media_address,
    pcmu_offer,
    read,
)


def dialog() -> Dialog:
    return Dialog(("127.0.0.1", 5_070), ("127.0.0.1", 5_060), "id-1")


def ok_to(request: bytes) -> SipText:
    text = read(request).answer("200 OK").decode()
    text = text.replace("To: ", "to: ", 1) if "To: " in text else text
    extra = (
        "Contact: <sip:agent@127.0.0.1:5060;transport=udp>\r\nRecord-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>\r\n"
    )
    answer = read(text.replace("\r\n\r\n", "\r\n" + extra + "\r\n", 1).encode())
    answer.headers = [(name, value + ";tag=far" if name == "to" else value) for name, value in answer.headers]
    return answer


def test_an_invite_can_be_read_back() -> None:
    offer = pcmu_offer("127.0.0.1", 40_000, 40_101)
    invite = read(dialog().invite(offer))
    assert invite.start == "INVITE sip:load@127.0.0.1:5060 SIP/2.0"
    assert invite.method == "INVITE"
    assert invite.body == offer
    assert int(invite.get("content-length")) == len(offer)
    assert ";branch=z9hG4bK" in invite.get("via")
    assert ";tag=" in invite.get("from")
    assert ";tag=" not in invite.get("to")


def test_the_same_invite_again_is_a_retransmission() -> None:
    one = dialog()
    assert one.invite("x") == one.invite("x")


def test_the_ack_to_an_answer_goes_to_its_contact_over_its_route() -> None:
    one = dialog()
    invite = one.invite("x")
    ack = read(one.confirm(ok_to(invite)))
    assert ack.start == "ACK sip:agent@127.0.0.1:5060;transport=udp SIP/2.0"
    assert ack.all("route") == ["<sip:b;lr>", "<sip:a;lr>"]
    assert ack.get("cseq") == "1 ACK"
    assert ack.get("to").endswith(";tag=far")
    assert ack.get("via") != read(invite).get("via")  # a transaction of its own
    bye = read(one.bye())
    assert bye.get("cseq") == "2 BYE"
    assert bye.start.startswith("BYE sip:agent@")


def test_the_ack_to_a_refusal_and_the_cancel_keep_the_branch_of_the_invite() -> None:
    one = dialog()
    invite = one.invite("x")
    refused = read(read(invite).answer("486 Busy Here"))
    assert refused.status == 486
    assert refused.method == "INVITE"
    for request in (one.reject(refused), one.cancel()):
        assert read(request).get("via") == read(invite).get("via")
        assert read(request).get("cseq").split()[0] == "1"


def test_compact_headers_are_read_by_their_long_names() -> None:
    message = read(b"BYE sip:a@b SIP/2.0\r\ni: 77\r\nv: SIP/2.0/UDP b\r\n\r\n")
    assert message.get("call-id") == "77"
    assert message.all("via") == ["SIP/2.0/UDP b"]


@pytest.mark.parametrize("junk", [b"", b"\r\n\r\n", b"\x80\x00\xff", b"hello there", b"SIP/2.0 abc"])
def test_what_is_not_sip_is_refused(junk: bytes) -> None:
    with pytest.raises(SipTextError, match="start line"):
        read(junk)


def test_a_missing_header_is_named() -> None:
    with pytest.raises(SipTextError, match="call-id"):
        read(compose("SIP/2.0 200 OK", [])).get("call-id")


def test_an_answer_tells_where_media_goes() -> None:
    assert media_address("v=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4000 RTP/AVP 0 101\r\n") == ("127.0.0.9", 4_000)


@pytest.mark.parametrize("media", ["m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/AVP 8", "m=audio 4000 RTP/SAVP 0", ""])
def test_an_answer_without_plain_pcmu_cannot_be_used(media: str) -> None:
    with pytest.raises(SipTextError, match="PCMU"):
        media_address(f"v=0\r\nc=IN IP4 127.0.0.9\r\n{media}\r\n")


def test_digest_agrees_with_the_examples_of_the_rfcs() -> None:
    # RFC 2069 erratum 749, the form without qop
    old = digest_response(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'],
        ("Mufasa", "CircleOfLife"),
        "GET",
        "/dir/index.html",
        1,
    )
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in old


def test_a_known_algorithm_is_chosen_and_qop_is_answered() -> None:
    challenges = [
        'Digest realm="r", nonce="n", algorithm=SHA-512-256',
        'Digest realm="r", qop="auth,auth-int", nonce="n", opaque="o", algorithm=SHA-256',
    ]
    value = digest_response(challenges, ("u", "p"), "INVITE", "sip:a@b", 3)
    assert "algorithm=SHA-256" in value
    assert "qop=auth, nc=00000003" in value
    assert 'opaque="o"' in value
    with pytest.raises(SipTextError, match="challenge"):
        digest_response(challenges[:1], ("u", "p"), "INVITE", "sip:a@b", 1)
