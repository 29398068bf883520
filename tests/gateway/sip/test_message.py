"""Requests and responses: typed accessors over the headers, answers, the wire form."""

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers
from gateway.sip.message import REASONS, CSeq, Request, Response, parse_cseq
from gateway.sip.parser import parse_message
from gateway.sip.uri import SipUri


def invite(*fields: tuple[str, str]) -> Request:
    return Request(
        "INVITE",
        SipUri("example.com", "bob"),
        Headers(
            [
                ("Via", "SIP/2.0/UDP proxy;branch=z9hG4bK2, SIP/2.0/UDP phone;branch=z9hG4bK1"),
                ("Via", "SIP/2.0/UDP first;branch=z9hG4bK0"),
                ("From", "Alice <sip:alice@example.com>;tag=a"),
                ("To", "<sip:bob@example.com>"),
                ("Call-ID", "call-1"),
                ("CSeq", "7 INVITE"),
                *fields,
            ]
        ),
        b"v=0\r\n",
    )


def test_what_every_message_has_is_typed():
    request = invite(("Max-Forwards", "070"), ("Expires", "120"), ("c", "application/sdp"))
    assert (request.via.host, [via.host for via in request.vias]) == ("proxy", ["proxy", "phone", "first"])
    assert (request.from_.tag, request.from_.display_name, request.to.tag) == ("a", "Alice", None)
    assert (request.call_id, request.cseq) == ("call-1", CSeq(7, "INVITE"))
    assert (request.max_forwards, request.expires, request.content_type) == (70, 120, "application/sdp")


def test_what_may_be_missing_is_none():
    request = invite()
    assert (request.max_forwards, request.expires, request.content_type) == (None, None, "")
    assert (request.contacts, request.routes, request.record_routes, request.tokens("Require")) == ([], [], [], [])


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_what_must_not_be_missing_is_an_error(name):
    request = invite()
    request.headers.remove(name)
    accessor = {"Via": "via", "From": "from_", "To": "to", "Call-ID": "call_id", "CSeq": "cseq"}[name]
    with pytest.raises(SipParseError) as error:
        getattr(request, accessor)
    assert error.value.reason == "missing_header"


def test_a_changed_header_is_read_anew():
    request = invite(("Contact", "<sip:1@h>"), ("Route", "<sip:r1;lr>"))
    assert request.contacts[0].uri == SipUri("h", "1")
    request.headers.set("Contact", "<sip:2@h>, <sip:3@h>")
    assert [str(contact.uri) for contact in request.contacts] == ["sip:2@h", "sip:3@h"]
    tags = [request.to.tag]
    request.headers.set("To", "<sip:bob@example.com>;tag=b")
    assert [*tags, request.to.tag] == [None, "b"]
    assert request.via.host == "proxy"
    request.headers.prepend("Via", "SIP/2.0/UDP us")
    assert request.via.host == "us"
    request.headers.remove("Route")
    assert request.routes == []


def test_a_list_that_was_given_out_can_be_changed():
    request = invite(("Route", "<sip:r1;lr>, <sip:r2;lr>"))
    request.routes.clear()
    request.vias.pop()
    assert len(request.routes) == 2
    assert len(request.vias) == 3


def test_contact_may_be_a_star_alone():
    star = invite(("Contact", "*"))
    assert (star.contact_is_wildcard, star.contacts) == (True, [])
    assert not invite(("Contact", "<sip:*@h>")).contact_is_wildcard
    for mixed in (invite(("m", "*"), ("m", "<sip:a@h>")), invite(("Contact", "*, <sip:a@h>"))):
        assert not mixed.contact_is_wildcard
        with pytest.raises(SipParseError):
            _ = mixed.contacts


def test_option_tags_come_as_written_from_all_lines():
    request = invite(("Require", "100rel , Timer"), ("Require", ',"x,y'), ("k", "path"))
    assert request.tokens("Require") == ["100rel", "Timer", '"x', "y"]
    assert request.tokens("Supported") == ["path"]


@pytest.mark.parametrize("value", ["-1", "+1", "1.0", "", " ", "0x10", "٣", "70 70", "256", "9" * 5_000])
def test_max_forwards_is_from_0_to_255(value):
    with pytest.raises(SipParseError) as error:
        _ = invite(("Max-Forwards", value)).max_forwards
    assert error.value.reason == "number"


def test_expires_has_no_upper_end():
    for value in ("4294967296", "9" * 5_000):
        assert invite(("Expires", value)).expires == 2**32 - 1
    assert invite(("Expires", "0" * 5_000 + "7")).expires == 7


@pytest.mark.parametrize("value", ["-1", "soon", "", "Thu, 01 Dec 1994 16:00:00 GMT"])
def test_what_is_no_number_of_seconds_expires_like_nothing(value):
    assert invite(("Expires", value)).expires is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 A", CSeq(1, "A")),
        ("0009\t  INVITE ", CSeq(9, "INVITE")),
        ("2147483647 X", CSeq(2**31 - 1, "X")),
        ("0 A", CSeq(0, "A")),
    ],
)
def test_cseq_is_read(text, expected):
    assert parse_cseq(text) == expected


@pytest.mark.parametrize("text", ["", "1", "A", "1A", "-1 A", "2147483648 A", "1 A B", "1 (", "99999999999 A", "١ A"])
def test_what_is_no_cseq_is_refused(text):
    with pytest.raises(SipParseError) as error:
        parse_cseq(text)
    assert error.value.reason == "cseq"


def test_a_response_goes_the_way_its_request_came():
    response = invite(("Timestamp", "54"), ("Record-Route", "<sip:r;lr>")).respond(486, to_tag="b")
    assert (response.status, response.reason) == (486, "Busy Here")
    assert list(response.headers.items()) == [
        ("Via", "SIP/2.0/UDP proxy;branch=z9hG4bK2, SIP/2.0/UDP phone;branch=z9hG4bK1"),
        ("Via", "SIP/2.0/UDP first;branch=z9hG4bK0"),
        ("From", "Alice <sip:alice@example.com>;tag=a"),
        ("To", "<sip:bob@example.com>;tag=b"),
        ("Call-ID", "call-1"),
        ("CSeq", "7 INVITE"),
        ("Timestamp", "54"),
    ]
    assert response.body == b""


def test_a_tag_that_is_there_stays():
    request = invite()
    request.headers.set("To", "sip:bob@example.com;tag=theirs")
    assert request.respond(200, to_tag="ours").to.tag == "theirs"
    assert invite().respond(100).to.tag is None


def test_what_stands_twice_by_mistake_is_answered_once():
    request = invite()
    request.headers.add("To", "<sip:carol@example.com>")
    assert request.respond(400, to_tag="b").headers.get_all("To") == ["<sip:bob@example.com>;tag=b"]


def test_a_reason_may_be_given():
    assert invite().respond(480, "Gone Fishing").reason == "Gone Fishing"
    assert Response(299).reason == ""
    assert all(100 <= status < 700 and reason for status, reason in REASONS.items())


def test_the_wire_form_has_the_length_of_its_body():
    request = invite(("Content-Length", "999"), ("Subject", "höflich"))
    head, _, body = request.to_bytes().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"INVITE sip:bob@example.com SIP/2.0"
    assert lines[-1] == b"Content-Length: 5"
    assert "Subject: höflich".encode() in lines
    assert sum(line.startswith(b"Content-Length") for line in lines) == 1
    assert body == b"v=0\r\n"
    assert Response(200).to_bytes() == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_no_value_becomes_a_line_of_its_own():
    request = invite(("Subject", "hello\r\nContact: <sip:evil@h>"), ("X-A", "b\nX-C: d"), ("X-E", "f\r"))
    request.headers.add("Bad\r\nName", "x")
    written = request.to_bytes().partition(b"\r\n\r\n")[0]
    assert b"\r\nSubject: hello  Contact: <sip:evil@h>\r\n" in written
    assert b"\nX-C" not in written
    assert b"\nName" not in written
    assert written.count(b"\r") == written.count(b"\n") == written.count(b"\r\n")
    refusal = Response(400, "No\r\nX: y", request.respond(400).headers)
    assert refusal.to_bytes().startswith(b"SIP/2.0 400 No  X: y\r\nVia: ")


def test_bytes_that_are_no_text_survive():
    data = (
        b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
        b'From: "\xff\xfe" <sip:a@b>;tag=1\r\n'
        b"To: <sip:a@b>\r\nCall-ID: \x80@h\r\nCSeq: 1 MESSAGE\r\nSubject: \xc3\x28 \xe2\x82\r\n"
        b"Content-Length: 3\r\n\r\n\x00\xff\n"
    )
    assert parse_message(data).to_bytes() == data


def test_a_display_name_says_nothing_of_its_message_in_a_traceback():
    assert repr(invite()) == "<INVITE request>"
    assert repr(Response(200)) == "<200 response>"
