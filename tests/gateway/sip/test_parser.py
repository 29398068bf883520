"""From bytes to messages: what is read, what is refused and how."""

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.message import Message, Request, Response
from gateway.sip.parser import Limits, parse_message
from gateway.sip.uri import SipUri

FIELDS = {
    "Via": "SIP/2.0/UDP phone.example;branch=z9hG4bK1",
    "Max-Forwards": "70",
    "From": "<sip:alice@example.com>;tag=a",
    "To": "<sip:bob@example.com>",
    "Call-ID": "call-1",
    "CSeq": "1 INVITE",
    "Contact": "<sip:alice@phone.example>",
}
START = "INVITE sip:bob@example.com SIP/2.0"


def wire(start: str = START, body: bytes = b"", extra: tuple[str, ...] = (), **changed: str | None) -> bytes:
    """A message with some of its fields changed (``Call_ID=…``), or left out (None)."""
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [start, *(f"{name}: {value}" for name, value in fields.items() if value is not None), *extra]
    return "\r\n".join([*lines, "", ""]).encode() + body


def refusal(data: bytes, limits: Limits | None = None, *, stream: bool = False) -> SipParseError:
    with pytest.raises(SipParseError) as error:
        parse_message(data, stream=stream, limits=limits or Limits())
    return error.value


def request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def test_a_request_is_read():
    message = request(wire(body=b"v=0"))
    assert (message.method, message.uri, message.body) == ("INVITE", SipUri("example.com", "bob"), b"v=0")
    assert list(message.headers.items()) == list(FIELDS.items())


def test_a_response_is_read():
    message = parse_message(wire("SIP/2.0 180 Ringing and ringing"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "Ringing and ringing")


@pytest.mark.parametrize("start", ["SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 200 OK", "SIP/02.00 200 OK"])
def test_a_status_line_may_be_odd(start):
    message = parse_message(wire(start))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "OK")


def test_lines_may_end_in_a_bare_line_feed():
    data = wire(body=b"x\r\ny")
    head, _, body = data.partition(b"\r\n\r\n")
    assert parse_message(head.replace(b"\r\n", b"\n") + b"\n\n" + body).to_bytes() == parse_message(data).to_bytes()


def test_empty_lines_before_a_message_are_ignored():
    assert parse_message(b"\r\n\r\n\n" + wire()).to_bytes() == parse_message(wire()).to_bytes()


def test_folded_lines_are_one_line():
    message = request(wire(Subject="I know\r\n you're\r\n\t \tthere", To="\r\n <sip:bob@example.com>\r\n ;tag=b"))
    assert message.headers.get("Subject") == "I know you're there"
    assert message.to.tag == "b"


@pytest.mark.parametrize("colon", [":", " :", "\t : ", ":\t", " \t:"])
def test_there_may_be_space_around_the_colon(colon):
    assert request(wire(extra=(f"k{colon}timer",))).tokens("Supported") == ["timer"]


def test_a_header_may_be_empty_and_stand_several_times():
    message = request(wire(extra=("Allow:", "Supported: ", "Route: <sip:a;lr>", "route: <sip:b;lr>, <sip:c;lr>")))
    assert (message.headers.get("Allow"), message.headers.get("Supported")) == ("", "")
    assert [str(route.uri) for route in message.routes] == ["sip:a;lr", "sip:b;lr", "sip:c;lr"]


def test_a_challenge_keeps_its_commas():
    challenge = 'Digest realm="a, b", qop="auth,auth-int", nonce="x"'
    message = parse_message(wire("SIP/2.0 401 Unauthorized", extra=(f"WWW-Authenticate: {challenge}",)))
    assert message.headers.get_all("WWW-Authenticate") == [challenge]


def test_a_star_unregisters_all():
    register = wire("REGISTER sip:example.com SIP/2.0", CSeq="2 REGISTER", Contact="*", Expires="0")
    assert request(register).contact_is_wildcard


@pytest.mark.parametrize(
    "uri", ["tel:+1-201-555-0123", "urn:service:sos", "http://h/?a=b", "SIPS:a@h", "sip:[::1]:5060", "x:%"]
)
def test_any_scheme_may_be_asked_for(uri):
    assert str(request(wire(f"INVITE {uri} SIP/2.0")).uri).lower() == uri.lower()


def test_an_attended_transfer_is_read():
    refer_to = "<sip:bob@h?Replaces=id%40h%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces>"
    message = request(wire("REFER sip:a@h SIP/2.0", CSeq="1 REFER", extra=(f"r: {refer_to}", "b: <sip:alice@h>")))
    assert message.headers.get("Refer-To") == refer_to
    assert message.headers.get("Referred-By") == "<sip:alice@h>"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Via": "SIP/2.0/UDP"}, "via"),
        ({"Via": "SIP/2.0/UDP h, garbage"}, "via"),
        ({"Via": "SIP/2.0/UDP h:99999"}, "via"),
        ({"From": '"a <sip:a@h>'}, "name_addr"),
        ({"From": "<sip:a@h>;tag=1;tag=2"}, "name_addr"),
        ({"From": "<sip:a@h>;tag"}, "name_addr"),
        ({"To": "<sip:b@h>;tag="}, "name_addr"),
        ({"From": "<sip:a@>"}, "uri"),
        ({"To": "<sip:b@h>;;"}, "parameter"),
        ({"To": None}, "missing_header"),
        ({"From": None}, "missing_header"),
        ({"Call-ID": None}, "missing_header"),
        ({"Call-ID": ""}, "missing_header"),
        ({"CSeq": None}, "missing_header"),
        ({"CSeq": "1 BYE"}, "cseq"),
        ({"CSeq": "1 invite"}, "cseq"),
        ({"CSeq": "2147483648 INVITE"}, "cseq"),
        ({"CSeq": "-1 INVITE"}, "cseq"),
        ({"Max-Forwards": "256"}, "number"),
        ({"Max-Forwards": "-1"}, "number"),
        ({"Contact": "sip:a@h?x=y"}, "name_addr"),
        ({"Contact": "<sip:a@h>, *"}, "uri"),
        ({"Contact": '"a'}, "name_addr"),
        ({"Route": "<sip:a@h>, <"}, "unbalanced"),
        ({"Record-Route": "a <sip:a@h:0>"}, "uri"),
        ({"Content-Length": "-1"}, "content_length"),
        ({"Content-Length": "1e3"}, "content_length"),
        ({"Content-Length": "1, 1"}, "content_length"),
        ({"Content-Length": "99999999999"}, "content_length"),
        ({"Content-Length": "1"}, "content_length"),
        ({"Bad name": "x"}, "header"),
        ({"Subject": "a\rb"}, "header"),
    ],
)  # fmt: skip
def test_a_malformed_request_is_answered_400(changed, reason):
    error = refusal(wire(**changed))
    assert (error.reason, error.status) == (reason, 400)
    assert error.request is not None
    assert error.request.method == "INVITE"
    assert b"\r\nVia: SIP/2.0/UDP" in error.request.respond(400, to_tag="x").to_bytes()


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_what_stands_once_may_not_stand_twice(name):
    error = refusal(wire(extra=(f"{name}: {FIELDS[name]}",)))
    assert (error.reason, error.status) == ("repeated_header", 400)


@pytest.mark.parametrize("line", ["no colon", ": no name", "näme: x", "\x00: x"])
def test_a_line_that_is_no_header_is_answered_400(line):
    assert (refusal(wire(extra=(line,))).reason, refusal(wire(extra=(line,))).status) == ("header", 400)


@pytest.mark.parametrize(
    "start",
    [
        "INVITE  sip:bob@example.com SIP/2.0", "INVITE sip:bob@example.com  SIP/2.0", f"{START} ",
        "INVITE <sip:bob@example.com> SIP/2.0", "INVITE sip:bob@example.com; lr SIP/2.0", "INVITE bob SIP/2.0",
        "INVITE sip:bob@example.com?Route=x SIP/2.0", "INVITE sip:bob@example.com HTTP/1.1", "INVITE SIP/2.0 ",
        "INVITE sip:bob@example.com:99999 SIP/2.0", "INVITE sip:bob@example.com SIP/2", "INVITE sip:bob@h SIP/2.0x",
    ],
)  # fmt: skip
def test_a_malformed_request_line_is_answered_400(start):
    error = refusal(wire(start))
    assert error.status == 400
    assert error.reason in ("start_line", "uri")


def test_a_request_uri_that_is_too_long_is_answered_414():
    assert refusal(wire(f"INVITE sip:{'a' * 5_000}@h SIP/2.0")).status == 414


@pytest.mark.parametrize("version", ["SIP/7.0", "SIP/2.1", "SIP/1.0", "sip/3.0"])
def test_another_version_is_answered_505(version):
    error = refusal(wire(f"INVITE sip:bob@example.com {version}", Via=f"{version}/UDP h;branch=z9hG4bK1"))
    assert (error.reason, error.status) == ("version", 505)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"\r\n\r\n", b"\x00" * 20, b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"SIP/2.0",
        wire("INV(TE sip:a@h SIP/2.0"), wire(""), wire("INVITE"), wire(" INVITE sip:a@h SIP/2.0"),
        wire(Via=None), wire(Via=""), wire("ACK sip:a@h SIP/2.0"), wire("ACK sip:a@h?x=y SIP/2.0", CSeq="1 ACK"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_dropped(data):
    assert refusal(data).status is None


@pytest.mark.parametrize(
    "data",
    [
        wire("SIP/2.0 700 Too much"), wire("SIP/2.0 099 Too little"), wire("SIP/2.0 20 OK"), wire("SIP/2.0 2000 OK"),
        wire("SIP/2.0  200 OK"), wire("SIP/2.0 2OO OK"), wire("SIP/3.0 200 OK"), wire("SIP/2.0 200 OK", To=None),
        wire("SIP/2.0 200 OK", CSeq="9292394834772304023312 OPTIONS"), wire("SIP/2.0 200 OK", Contact="<sip:"),
        wire("SIP/2.0 200 OK", Content_Length="5"), wire("SIP/2.0 200 OK", extra=("oops",)), wire("SIP/2.0"),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\n",
    ],
)  # fmt: skip
def test_a_malformed_response_is_dropped(data):
    error = refusal(data)
    assert (error.status, error.request) == (None, None)


def test_a_refusal_counts_although_its_contact_is_odd():
    assert isinstance(parse_message(wire("SIP/2.0 486 Busy Here", Contact="<sip:")), Response)


def test_a_datagram_may_be_longer_than_it_says():
    assert request(wire(body=b"v=0\r\nINVITE", Content_Length="5")).body == b"v=0\r\n"
    assert request(wire(body=b"v=0")).body == b"v=0"


def test_a_content_length_may_be_said_twice_in_one_mind():
    assert request(wire(body=b"v=0\r\n", extra=("l: 05", "Content-Length: 5"))).body == b"v=0\r\n"
    assert refusal(wire(body=b"v=0\r\n", extra=("l: 4", "Content-Length: 5"))).reason == "content_length"


def test_a_message_on_a_stream_says_its_length():
    assert refusal(wire(), stream=True).reason == "content_length"
    assert parse_message(wire(Content_Length="0"), stream=True).body == b""


def test_a_datagram_that_was_cut_off_is_answered_along_its_vias():
    whole = wire()
    for size in range(len(whole)):
        error = refusal(whole[:size])
        assert error.status in (None, 400)
        if error.status is not None:
            assert error.request is not None
            assert error.request.headers.get("Via") == FIELDS["Via"]
    assert refusal(whole[:-2]).status == 400


def test_limits_are_told_apart():
    many = wire(extra=("X: y",) * 300)
    assert (refusal(many).reason, refusal(many).status) == ("too_many_headers", 513)
    long = wire(Subject="x" * 9_000)
    assert (refusal(long).reason, refusal(long).status) == ("line_too_long", 513)
    folded = wire(Subject="x\r\n " * 5_000)
    assert refusal(folded).reason == "line_too_long"
    head = wire(extra=("Subject: " + "x" * 8_000,) * 5)
    assert (refusal(head).reason, refusal(head).status) == ("too_large", 513)
    assert (refusal(wire(body=bytes(65_536))).reason, refusal(wire(body=bytes(65_536))).status) == ("too_large", None)
    vias = wire(Via=", ".join([FIELDS["Via"]] * 129))
    assert (refusal(vias).reason, refusal(vias).status) == ("too_many_elements", 400)


def test_limits_can_be_set():
    limits = Limits(message_bytes=1_000, head_bytes=600, headers=8, line_chars=60)
    parse_message(wire(), limits=limits)
    assert refusal(wire(body=bytes(1_000)), limits).reason == "too_large"
    assert refusal(wire(extra=("A1: b", "C1: d")), limits).reason == "too_many_headers"
    assert refusal(wire(Subject="x" * 60), limits).reason == "line_too_long"
    assert refusal(wire(Subject="x " * 300), limits).reason == "too_large"


def test_seventy_hops_are_not_too_many():
    message: Message = parse_message(wire(extra=tuple(f"Via: SIP/2.0/UDP h{n};branch=z9hG4bK{n}" for n in range(70))))
    assert len(message.vias) == 71


def test_an_error_text_does_not_quote_whole_messages():
    error = refusal(wire(Via="x" * 8_000))
    assert len(str(error)) < 200
