"""Media Streams messages: every one Twilio sends, and everything somebody else might."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import KeyPressed, LegEnded, MarkPlayed
from gateway.twilio.messages import StreamWriter
from gateway.twilio.stream import MAX_BAD_MESSAGES, StreamStarted, TwilioStream
from gateway.twilio.stream_clock import StreamClock
from tests.speech import is_quiet
from wire.audio.codecs import Codec

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
CALL_SID = "CAd1ff1a0b"


def text(event: str, **fields: Any) -> bytes:
    return json.dumps({"event": event, "sequenceNumber": "1", "streamSid": SID, **fields}).encode()


def start(**changes: Any) -> bytes:
    details = {
        "accountSid": "AC1",
        "streamSid": SID,
        "callSid": CALL_SID,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t0ken"},
    }
    return text("start", start={**details, **changes})


def media(timestamp: int, payload: bytes = b"\x7f" * 160, **changes: Any) -> bytes:
    details = {"track": "inbound", "chunk": "1", "timestamp": str(timestamp)}
    return text("media", media={**details, "payload": base64.b64encode(payload).decode(), **changes})


def started() -> TwilioStream:
    stream = TwilioStream()
    assert stream.receive(text("connected", protocol="Call", version="1.0.0")) is None
    assert stream.receive(start()) == StreamStarted(SID, CALL_SID, "t0ken")
    return stream


def test_every_inbound_message_is_understood():
    stream = started()
    assert stream.receive(media(0)) == b"\x7f" * 160
    assert stream.receive(text("dtmf", dtmf={"track": "inbound_track", "digit": "5"})) == KeyPressed("5")
    assert stream.receive(text("mark", mark={"name": "1:800"})) == MarkPlayed("1:800")
    assert stream.receive(text("stop", stop={"accountSid": "AC1", "callSid": CALL_SID})) == LegEnded("caller_hung_up")
    assert not stream.bad


def test_unknown_events_are_ignored_and_never_end_the_stream():
    stream = started()
    for _ in range(3 * MAX_BAD_MESSAGES):
        assert stream.receive(text("transcription", words="x")) is None
    assert stream.bad == {"unknown_event": 3 * MAX_BAD_MESSAGES}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"event":"media"}', "malformed"),
        (b'{"event":1e999}', "malformed"),
        (b'{"event":"\xed\xa0\x80"}', "malformed"),
        (media(0, payload=b"x").replace(b'"payload": "', b'"payload": "*'), "malformed"),
        (media(0, payload=b"").replace(b'"payload": ""', b'"payload": 5'), "malformed"),
        (media(0).replace(SID.encode(), b"MZ0"), "wrong_stream"),
        (media(0, track="outbound"), "wrong_track"),
        (start(), "second_start"),
        (text("dtmf", dtmf={"digit": "55"}), "bad_digit"),
        (text("dtmf", dtmf={"digit": ""}), "bad_digit"),
        (text("mark", mark={}), "malformed"),
    ],
)
def test_a_bad_message_is_counted_and_changes_nothing(message: bytes, reason: str):
    stream = started()
    assert stream.receive(message) is None
    assert stream.bad == {reason: 1}
    assert stream.receive(media(0)) == b"\x7f" * 160


def test_media_before_start_is_not_heard():
    stream = TwilioStream()
    assert stream.receive(media(0)) is None
    assert stream.bad == {"before_start": 1}


def test_a_format_that_is_not_mu_law_ends_the_stream():
    stream = TwilioStream()
    wrong = {"encoding": "audio/l16", "sampleRate": 16_000, "channels": 1}
    assert stream.receive(start(mediaFormat=wrong)) == LegEnded("bad_media_format")


def test_a_peer_that_breaks_the_protocol_for_ever_is_let_go():
    stream = started()
    events = [stream.receive(b"{}") for _ in range(MAX_BAD_MESSAGES + 1)]
    assert events == [None] * MAX_BAD_MESSAGES + [LegEnded("bad_input")]


@given(st.binary(max_size=300))
def test_no_bytes_raise(noise: bytes):
    started().receive(noise)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_no_damage_to_a_media_message_raises(at: int, damage: bytes):
    good = media(20)
    started().receive(good[:at] + damage + good[at + len(damage) :])


def test_what_twilio_discarded_becomes_quiet_noise_of_the_same_length():
    stream = started()
    assert stream.receive(media(0)) == b"\x7f" * 160
    filled = stream.receive(media(220))
    assert isinstance(filled, bytes)
    assert is_quiet(filled[:1_600])
    assert filled[1_600:] == b"\x7f" * 160
    assert stream.receive(media(240)) == b"\x7f" * 160


def test_rounded_timestamps_are_no_loss():
    clock = StreamClock(Codec.PCMU)
    assert [clock.conceal(str(20 * n + (n % 3) * 7), 160) for n in range(500)] == [b""] * 500


def test_a_clock_that_jumps_an_hour_is_followed_without_an_hour_of_silence():
    clock = StreamClock(Codec.PCMU)
    clock.conceal("0", 160)
    assert clock.conceal("3600000", 160) == b""
    noise = clock.conceal("3600120", 160)
    assert len(noise) == 800
    assert is_quiet(noise)


def test_loss_adds_up_to_the_exact_length_of_the_call():
    clock, heard = StreamClock(Codec.PCMU), 0
    for n in range(30_000):
        if n % 97 < 90:  # every 97 packets 7 are lost in a row: 140 ms
            heard += len(clock.conceal(str(20 * n), 160)) + 160
    assert heard == (30_000 - 30_000 % 97 + 27) * 160


def test_outbound_messages_hold_exactly_the_fields_twilio_allows():
    writer = StreamWriter(SID)
    audio = json.loads(writer.media(b"\x00\xff\x80"))
    assert audio == {"event": "media", "streamSid": SID, "media": {"payload": "AP+A"}}
    assert json.loads(writer.mark('1:"80')) == {"event": "mark", "streamSid": SID, "mark": {"name": '1:"80'}}
    assert json.loads(writer.clear) == {"event": "clear", "streamSid": SID}
