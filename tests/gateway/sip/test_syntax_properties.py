"""Whatever comes: a message, or SipParseError; what was read and written is read as the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers
from gateway.sip.message import Message, Request, Response
from gateway.sip.name_addr import NameAddr, parse_name_addr
from gateway.sip.params import Params
from gateway.sip.parser import parse_message
from gateway.sip.uri import SipUri, parse_uri
from gateway.sip.via import Via, parse_via
from tests.gateway.sip.torture import FOLDER

SEEDS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.dat"))}
PIECES = st.sampled_from(
    [
        b"INVITE", b"sip:a@h", b"sips:", b" SIP/2.0", b"SIP/2.0 200 OK", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ",
        b"Via: SIP/2.0/UDP h;branch=z9hG4bK1", b"v:", b"From: <sip:a@h>;tag=1", b"f:", b"To: sip:b@h", b"t:",
        b"Call-ID: 1", b"CSeq: 1 INVITE", b"CSeq: 2 BYE", b"Contact:", b"m: *", b"Content-Length: ", b"l:", b"3", b"99",
        b"Max-Forwards: 70", b"Route: <sip:r;lr>", b'"', b"\\", b"<", b">", b"(", b")", b",", b";", b"=", b":", b"[",
        b"]", b"%", b"%00", b"@", b"?", b"&", b" ", b"\t", b"\x00", b"\xff", b"\xc3\xa9", b"tag", b"[::1]", b":5060",
        b"tel:+1",
    ]
)  # fmt: skip


def read(data: bytes) -> Message | None:
    """The message, or None where it is refused; a refusal that goes out is one line per header."""
    try:
        return parse_message(data)
    except SipParseError as error:
        refused, status = error.request, error.status
    if refused is not None and status is not None:
        answer = refused.respond(status, to_tag="x")
        lines = answer.to_bytes().removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert len(lines) == 2 + len(answer.headers)
        assert answer.headers.get("Via")
    return None


def check(data: bytes) -> None:
    message = read(data)
    if message is None:
        return
    written = message.to_bytes()
    again = parse_message(written)
    assert again.to_bytes() == written
    assert parse_message(written, stream=True).to_bytes() == written
    assert (again.from_, again.to, again.cseq, again.call_id) == (
        message.from_,
        message.to,
        message.cseq,
        message.call_id,
    )
    assert (again.vias, again.body) == (message.vias, message.body)
    if isinstance(message, Request):
        assert isinstance(again, Request)
        assert (again.method, str(again.uri)) == (message.method, str(message.uri))
        assert (again.contacts, again.routes) == (message.contacts, message.routes)
        answer = parse_message(message.respond(200, to_tag="x").to_bytes())
        assert (answer.vias, answer.from_, answer.cseq) == (message.vias, message.from_, message.cseq)


@given(st.binary(max_size=400))
def test_any_bytes(data):
    check(data)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_any_heap_of_pieces(data):
    check(data)


@given(st.lists(st.tuples(st.integers(0, 400), PIECES), min_size=1, max_size=6))
def test_pieces_thrown_into_a_good_message(places):
    data = SEEDS["wsinv"]
    for at, piece in places:
        data = data[:at] + piece + data[at:]
    check(data)


@pytest.mark.parametrize("name", SEEDS)
def test_mutations_of_the_torture_messages(name):
    chance = random.Random(name)
    for _ in range(60):
        data = bytearray(SEEDS[name])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 30)]
                case 2:
                    data[at:at] = data[chance.randrange(len(data)) :][: chance.randint(1, 60)]
                case _:
                    data[at:at] = chance.choice([b'"', b"<", b"\r\n", b"\r\n ", b"%", b";", b",", b"\\", b"(", b"\x00"])
            data = data or bytearray(b"x")
        check(bytes(data))


TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.binary(max_size=8).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
WORD = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=8)
HOST = st.sampled_from(["h", "example.com", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "a_b.c"])
PORT = st.none() | st.integers(1, 65_535)
URI_PARAMS = st.lists(st.tuples(TEXT.filter(bool), st.none() | TEXT), max_size=3).map(Params)
PARAMS = st.lists(st.tuples(WORD, st.none() | TEXT), max_size=3).map(Params)
URIS = st.builds(
    SipUri,
    HOST,
    st.none() | TEXT.filter(bool),
    PORT,
    URI_PARAMS,
    st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=3).map(tuple),
)


@given(URIS)
def test_any_uri_that_can_be_built_is_written_and_read(uri):
    assert parse_uri(str(uri)) == uri


@given(URIS, TEXT, PARAMS)
def test_any_address_that_can_be_built_is_written_and_read(uri, name, params):
    address = NameAddr(uri, name, params)
    assert parse_name_addr(str(address)) == address


@given(WORD, HOST, PORT, PARAMS)
def test_any_via_that_can_be_built_is_written_and_read(transport, host, port, params):
    via = Via(transport, host, port, params)
    if params.count("branch") < 2:
        assert parse_via(str(via)) == via


@given(st.lists(st.tuples(WORD, TEXT), max_size=8), TEXT)
def test_no_value_adds_a_header(fields, reason):
    """A message has as many header lines on the wire as were put into it, whatever they hold."""
    headers = Headers(fields)
    lines = Response(299, reason, headers).to_bytes().removesuffix(b"\r\n\r\n").split(b"\r\n")
    lengths = sum(name.lower() == "content-length" for name, _ in headers.items())
    assert len(lines) == 2 + len(headers) - lengths
    assert not any(b"\r" in line or b"\n" in line for line in lines)
