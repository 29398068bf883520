"""The codec: every message survives, nothing else gets through, and only WireErrors come out."""

import contextlib
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.strategies import MESSAGE_TYPES, STRATEGIES, messages
from wire.codec import MAX_BODY_BYTES, VERSION, decode, decode_all, encode
from wire.errors import DamagedFrameError, OversizedFrameError, ShortFrameError, UnknownVersionError, WireError
from wire.ids import CallId, TurnId
from wire.messages import AnyMessage, AudioChunk, CallClosed, Decision, DecisionKind

HEADER = struct.Struct("!BBII")
GOODBYE = CallClosed(CallId("c1"), 0, 7, "hangup")


def frame(body: bytes, version: int = VERSION) -> bytes:
    return HEADER.pack(0x54, version, len(body), zlib.crc32(body)) + body


def test_there_is_a_strategy_for_every_message_type():
    assert set(STRATEGIES) == set(MESSAGE_TYPES)


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.__name__)
def test_every_message_type_survives_the_wire(kind: type[AnyMessage]):
    @settings(max_examples=30)
    @given(STRATEGIES[kind])
    def survives(message: AnyMessage) -> None:
        assert decode(encode(message)) == message

    survives()


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_a_wire_error(data: bytes):
    for item in decode_all(data):
        assert isinstance(item, (WireError, *MESSAGE_TYPES))
    with pytest.raises(WireError):  # a checksum of 32 bits does not match by chance
        decode(data)


@given(st.binary(max_size=300))
def test_any_body_under_a_right_header_gives_a_message_or_a_wire_error(body: bytes):
    with contextlib.suppress(WireError):
        assert isinstance(decode(frame(body)), MESSAGE_TYPES)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.sampled_from(range(30)), st.lists(json_like, max_size=10))
def test_a_well_formed_body_of_the_wrong_shape_is_a_wire_error_or_a_message(tag: int, fields: list[object]):
    with contextlib.suppress(WireError):
        assert isinstance(decode(frame(msgspec.msgpack.encode([tag, *fields]))), MESSAGE_TYPES)


@settings(max_examples=300)
@given(messages, st.data())
def test_no_changed_byte_turns_a_message_into_another(message: AnyMessage, data: st.DataObject):
    whole = bytearray(encode(message))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        decode(bytes(whole))


@given(messages, st.data())
def test_a_truncated_frame_is_short_and_never_a_message(message: AnyMessage, data: st.DataObject):
    whole = encode(message)
    with pytest.raises(ShortFrameError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.lists(messages, max_size=6))
def test_a_superframe_gives_its_messages_in_order(sent: list[AnyMessage]):
    assert list(decode_all(b"".join(map(encode, sent)))) == sent


@given(st.lists(messages, min_size=1, max_size=6), st.data())
def test_a_damaged_body_costs_its_own_frame_only(sent: list[AnyMessage], data: st.DataObject):
    frames = [bytearray(encode(message)) for message in sent]
    hit = data.draw(st.integers(0, len(sent) - 1))
    frames[hit][-1] ^= 0xFF
    received = list(decode_all(b"".join(frames)))
    assert isinstance(received[hit], DamagedFrameError)
    assert received[:hit] + received[hit + 1 :] == sent[:hit] + sent[hit + 1 :]


def test_a_damaged_header_costs_the_rest_of_the_superframe_and_is_one_error():
    received = list(decode_all(encode(GOODBYE) + b"\0" + encode(GOODBYE)[1:] + encode(GOODBYE)))
    assert received[0] == GOODBYE
    assert [type(item) for item in received[1:]] == [DamagedFrameError]


@given(st.integers(0, 255).filter(lambda version: version != VERSION))
def test_an_unknown_version_is_named(version: int):
    with pytest.raises(UnknownVersionError, match=f"wire version {version}, expected {VERSION}"):
        decode(frame(b"", version))


def test_a_header_that_claims_too_much_is_refused_before_its_body_is_there():
    with pytest.raises(OversizedFrameError):
        decode(HEADER.pack(0x54, VERSION, MAX_BODY_BYTES + 1, 0))


def test_a_message_that_is_too_large_is_refused_by_its_sender():
    with pytest.raises(ValueError, match=f"expected no more than {MAX_BODY_BYTES}"):
        encode(AudioChunk(CallId("c1"), 0, 0, 0, 0, 0.0, bytes(MAX_BODY_BYTES)))


def test_deep_nesting_is_a_wire_error():
    with pytest.raises(DamagedFrameError):
        decode(frame(b"\x91" * 100_000 + b"\xc0"))


def test_bytes_after_the_frame_are_an_error():
    with pytest.raises(DamagedFrameError, match="1 bytes follow"):
        decode(encode(GOODBYE) + b"\0")


def test_a_field_that_a_later_release_adds_at_the_end_is_ignored():
    body = msgspec.msgpack.encode([*msgspec.msgpack.decode(msgspec.msgpack.encode(GOODBYE)), "new"])
    assert decode(frame(body)) == GOODBYE


def test_a_message_that_a_later_release_adds_costs_its_own_frame_only():
    stranger = frame(msgspec.msgpack.encode([99, "c1", 0, 7, "new"]))
    first, unknown, last = decode_all(encode(GOODBYE) + stranger + encode(GOODBYE))
    assert (first, last) == (GOODBYE, GOODBYE)
    assert isinstance(unknown, DamagedFrameError)


@pytest.mark.parametrize("bad", [{"turn": TurnId(-1)}, {"turn": TurnId(2**32)}, {"index": -1}, {"chunk_age_s": 1e300}])
def test_a_number_no_peer_of_ours_writes_is_damage(bad: dict[str, Any]):
    fields = {"index": 1, "kind": DecisionKind.LISTEN, **bad}
    with pytest.raises(DamagedFrameError):
        decode(encode(Decision(CallId("c"), 0, 0, **fields)))
