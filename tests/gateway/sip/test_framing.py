"""Messages out of a stream: any split gives the same, keep-alives in between, and what loses the framing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import SipParseError
from gateway.sip.framing import KeepAlive, StreamFramer
from gateway.sip.parser import Limits, parse_message

PING, PONG = KeepAlive.PING, KeepAlive.PONG
Item = bytes | KeepAlive | str


def message(body: bytes = b"", length: str | None = None, name: str = "Content-Length") -> bytes:
    head = (
        b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n"
    )
    head += b"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
    return head + f"{name}: {len(body) if length is None else length}\r\n\r\n".encode() + body


def framed(pieces: list[bytes], limits: Limits | None = None) -> list[Item]:
    """All that comes out; at its end the reason, when the framing is lost."""
    framer = StreamFramer(limits or Limits())
    items: list[Item] = []
    try:
        for piece in pieces:
            for item in framer.push(piece):
                items.append(item)  # noqa: PERF402  what came before an error counts
    except SipParseError as error:
        items.append(error.reason)
    return items


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def test_messages_are_cut_at_their_length():
    one, other = message(b"v=0\r\n\r\nINVITE"), message()
    assert framed([one + other + one[:-1]]) == [one, other]


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "l", "L", "l ", "Content-Length \t"])
@pytest.mark.parametrize("length", ["3", " 3 ", "003", "\r\n 3", "\t\r\n \r\n\t3"])
def test_the_length_is_found_in_every_spelling(name, length):
    whole = message(b"abc", length, name)
    assert framed([whole + whole]) == [whole, whole]
    assert parse_message(whole, stream=True).body == b"abc"


def test_bare_line_feeds_end_lines_too():
    whole = message(b"abc").replace(b"\r\n", b"\n")
    assert framed([whole + whole]) == [whole, whole]


def test_a_folded_value_is_no_length():
    whole = b"OPTIONS sip:a@h SIP/2.0\r\nSubject: x\r\n Content-Length: 9\r\nX-Content-Length: 8\r\nl: 1\r\n\r\na"
    assert framed([whole]) == [whole]


def test_a_ping_is_two_empty_lines_and_a_pong_is_one():
    assert framed([b"\r\n"]) == [PONG]
    assert framed([b"\r\n\r\n"]) == [PONG, PING]
    assert framed([b"\r\n\r\n\r\n\r\n"]) == [PONG, PING, PONG, PING]


def test_a_ping_in_halves_is_a_ping():
    assert framed([b"\r", b"\n\r", b"\n"]) == [PONG, PING]


def test_keep_alives_between_messages_are_counted_anew():
    whole = message(b"x")
    assert framed([b"\r\n" + whole + b"\r\n" + whole + b"\r\n\r\n"]) == [PONG, whole, PONG, whole, PONG, PING]


@pytest.mark.parametrize(
    "head",
    [
        message(length="-1"), message(length="abc"), message(length=""), message(length="1, 1"),
        message(length="99999999999"), message(length="0\r\nl: 1"), b"OPTIONS sip:a@h SIP/2.0\r\nVia: x\r\n\r\n",
    ],
)  # fmt: skip
def test_without_a_length_the_stream_is_lost_behind_the_head(head):
    before = message(b"x")
    assert framed([before + head + before]) == [before, head, "content_length"]
    with pytest.raises(SipParseError) as refused:
        parse_message(head, stream=True)
    assert refused.value.reason == "content_length" or refused.value.status is None


def test_the_head_without_a_length_can_be_answered():
    [head, _] = framed([message(length="-1")])
    assert isinstance(head, bytes)
    with pytest.raises(SipParseError) as refused:
        parse_message(head, stream=True)
    assert refused.value.status == 400


def test_a_lost_stream_stays_lost():
    framer = StreamFramer()
    with pytest.raises(SipParseError):
        list(framer.push(message(length="x")))
    with pytest.raises(SipParseError):
        list(framer.push(message()))


def test_a_head_without_an_end_is_not_waited_for():
    limits = Limits(head_bytes=300)
    assert framed([b"x" * 299], limits) == []
    assert framed([b"x" * 299, b"x"], limits) == ["too_large"]
    assert framed([b"x" * 301 + b"\r\n\r\n"], limits) == ["too_large"]


def test_a_body_beyond_the_limit_is_not_waited_for():
    whole = message(b"x" * 100)
    assert framed([whole], Limits(message_bytes=len(whole))) == [whole]
    assert framed([whole], Limits(message_bytes=len(whole) - 1)) == ["too_large"]


STREAMS = st.lists(
    st.sampled_from(
        [
            message(),
            message(b"v=0\r\n\r\n"),
            message(b"\r\n\r\n\r\n"),
            message(b"abc", "\r\n 3", "l"),
            message(b"abc").replace(b"\r\n", b"\n"),
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\r",
            message(length="-1"),
            b"garbage",
            b"x" * 400,
        ]
    ),
    max_size=6,
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 5_000), max_size=8))
def test_any_split_gives_the_same(data, cuts):
    limits = Limits(message_bytes=600, head_bytes=400)
    assert framed(split(data, cuts), limits) == framed([data], limits)


@given(STREAMS)
def test_one_byte_at_a_time_gives_the_same(data):
    limits = Limits(message_bytes=600, head_bytes=400)
    assert framed([data[at : at + 1] for at in range(len(data))], limits) == framed([data], limits)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_framed_or_lost(pieces):
    limits = Limits(message_bytes=60, head_bytes=40)
    items = framed(pieces, limits)
    assert items == framed([b"".join(pieces)], limits)
    assert len(b"".join(item for item in items if isinstance(item, bytes))) <= sum(map(len, pieces))
