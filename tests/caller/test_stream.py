import json
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twowire.caller.messages import FRAME_SAMPLES, SILENCE, StreamIds
from twowire.caller.stream import MAX_VIOLATIONS, TwilioCaller

IDS = StreamIds("AC1", "CA1", "MZ1")
TONE = b"\x10"


def caller(now: float = 100.0) -> TwilioCaller:
    stream = TwilioCaller(IDS, {"token": "t"}, now)
    texts(stream)
    return stream


def texts(stream: TwilioCaller) -> list[dict[str, Any]]:
    found = []
    while (text := stream.poll()) is not None:
        found.append(json.loads(text))
    return found


def marks(stream: TwilioCaller) -> list[str]:
    return [text["mark"]["name"] for text in texts(stream) if text["event"] == "mark"]


def tick(stream: TwilioCaller, count: int = 1) -> bytes:
    return b"".join(stream.tick(stream.next_due()).heard for _ in range(count))


def say(event: str, **fields: object) -> str:
    return json.dumps({"event": event, "streamSid": "MZ1", **fields})


def media(payload: bytes) -> str:
    return say("media", media={"payload": b64encode(payload).decode()})


def mark(name: str) -> str:
    return say("mark", mark={"name": name})


def test_a_stream_begins_with_connected_and_start():
    connected, start = texts(TwilioCaller(IDS, {"token": "t"}, 0.0))
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1",
            "accountSid": "AC1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "t"},
        },
    }


def test_numbers_travel_as_strings_and_count_every_message():
    stream = caller()
    stream.speak(TONE * 200)
    tick(stream, 2)
    stream.press("5")
    stream.hang_up()
    first, second, key, stop = texts(stream)
    assert first["media"] | {"payload": ""} == {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": ""}
    assert second["media"]["chunk"], second["media"]["timestamp"] == ("2", "20")
    assert second["media"]["payload"] == b64encode(TONE * 40 + SILENCE * 120).decode()
    assert key["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert stop["stop"] == {"accountSid": "AC1", "callSid": "CA1"}
    assert [message["sequenceNumber"] for message in (first, second, key, stop)] == ["2", "3", "4", "5"]


def test_a_mark_comes_back_only_after_the_audio_before_it_was_played():
    stream = caller()
    stream.receive(media(TONE * FRAME_SAMPLES * 2))
    stream.receive(mark("two"))
    stream.receive(media(TONE * 10))
    stream.receive(mark("tail"))
    tick(stream, 2)
    assert marks(stream) == []  # the second frame has begun, and is not over
    tick(stream)
    assert marks(stream) == ["two"]
    tick(stream)
    assert marks(stream) == ["tail"]


def test_a_mark_on_an_idle_line_comes_back_at_once():
    stream = caller()
    stream.receive(mark("at once"))
    assert marks(stream) == ["at once"]


def test_a_mark_waits_for_the_frame_that_is_being_played():
    stream = caller()
    stream.receive(media(TONE * FRAME_SAMPLES))
    tick(stream)
    stream.receive(mark("late"))
    assert marks(stream) == []
    tick(stream)
    assert marks(stream) == ["late"]


def test_clear_drops_what_is_buffered_and_brings_all_marks_back_at_once():
    stream = caller()
    stream.receive(media(TONE * FRAME_SAMPLES * 50))
    stream.receive(mark("a"))
    stream.receive(mark("b"))
    assert tick(stream) == TONE * FRAME_SAMPLES
    stream.receive(say("clear"))
    assert marks(stream) == ["a", "b"]
    assert not stream.agent_buffered
    assert tick(stream) == SILENCE * FRAME_SAMPLES
    stream.receive(media(TONE * FRAME_SAMPLES))
    stream.receive(mark("c"))
    assert tick(stream) == TONE * FRAME_SAMPLES
    tick(stream)
    assert marks(stream) == ["c"]  # each mark once


def test_late_ticks_are_made_up_for_and_move_no_other():
    stream = caller(now=0.0)
    for n in range(10_000):
        due = stream.next_due()
        assert abs(due - n * 0.02) < 1e-9
        late_s = 0.7 if n % 100 < 35 else 0.0
        assert stream.tick(due + late_s).late_s >= late_s - 1e-9
    stamps = [int(text["media"]["timestamp"]) for text in texts(stream)]
    assert stamps == list(range(0, 200_000, 20))


@given(st.lists(st.binary(min_size=1, max_size=700), max_size=20), st.data())
def test_the_caller_hears_all_of_it_in_order_however_it_was_cut(pieces: list[bytes], data: st.DataObject):
    stream, heard = caller(), b""
    for piece in pieces:
        stream.receive(media(piece))
        if data.draw(st.booleans()):
            heard += tick(stream).rstrip(SILENCE)
    while stream.agent_buffered:
        heard += tick(stream).rstrip(SILENCE)
    assert heard.replace(SILENCE, b"") == b"".join(pieces).replace(SILENCE, b"")


def test_what_twilio_would_refuse_is_noted_and_does_nothing():
    stream = caller()
    wrong = [
        "{",
        '{"event":"media","streamSid":"MZ1"}',
        '{"event":"media","streamSid":"MZ2","media":{"payload":""}}',
        '{"event":"media","streamSid":"MZ1","media":{"payload":"","track":"outbound"}}',
        '{"event":"media","streamSid":"MZ1","media":{"payload":"not base64"}}',
        '{"event":"clear","streamSid":"MZ1","extra":1}',
        '{"event":"stop","streamSid":"MZ1"}',
        '{"event":"mark","streamSid":"MZ1","mark":{"name":7}}',
    ]
    assert [stream.receive(text) for text in wrong] == [None] * len(wrong)
    assert len(stream.violations) == len(wrong)
    assert all(violation.startswith("31951 ") for violation in stream.violations)
    assert tick(stream) == SILENCE * FRAME_SAMPLES
    for _ in range(100):
        stream.receive("{")
    assert len(stream.violations) == MAX_VIOLATIONS


def test_hanging_up_twice_stops_once():
    stream = caller()
    stream.hang_up()
    stream.hang_up()
    assert [text["event"] for text in texts(stream)] == ["stop"]
