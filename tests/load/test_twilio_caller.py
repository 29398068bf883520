"""One caller at the Twilio door: its messages, and what it notices."""

import json
import math

import pytest

pytest.importorskip("uvloop", reason="the load tests run where uvloop does")

from gateway.twilio.messages import Media, parse
from load_tests.generator import DialError
from load_tests.schedule import Questions
from load_tests.tally import FRAME_BYTES, LOUD, Tally, is_loud, line_noise
from load_tests.twilio_caller import TwilioCaller, media_heads, media_tail
from load_tests.twilio_door import parse_twiml
from model_worker.duplex.script import Marker


class Frame:
    """A text frame as picows hands it over."""

    def __init__(self, text: bytes) -> None:
        from picows import WSMsgType

        self.msg_type = WSMsgType.TEXT
        self._text = text

    def get_payload_as_bytes(self) -> bytes:
        return self._text


class Wire:
    """Takes what the caller sends."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    def send(self, _kind: object, text: bytes) -> None:
        self.sent.append(json.loads(text))

    def disconnect(self) -> None:
        pass


def caller(answer_ms: int = 20) -> tuple[TwilioCaller, Wire, Tally]:
    wire, tally = Wire(), Tally()
    one = TwilioCaller(0, "test", Questions(1), answer_ms, tally, media_heads(60))
    one.transport = wire  # type: ignore[assignment]
    one.ask()
    return one, wire, tally


def hear(one: TwilioCaller, text: bytes) -> None:
    one.on_ws_frame(None, Frame(text))  # type: ignore[arg-type]


def audio(one: TwilioCaller, payload: bytes) -> bytes:
    from gateway.twilio.messages import StreamWriter

    return StreamWriter(one.stream_sid).media(payload)


def ask(one: TwilioCaller) -> None:
    while one.frames_sent % 20 or not one.frames_sent:
        one.send_frame(due=0.0)


def test_the_gateway_understands_every_frame() -> None:
    for number, head in enumerate(media_heads(3)):
        message = parse(head + media_tail(line_noise(), "MZ1"))
        assert isinstance(message, Media)
        assert message.stream_sid == "MZ1"
        assert message.media.payload == line_noise()
        assert message.media.timestamp == str(20 * number)


def test_only_the_marker_is_loud() -> None:
    assert len(LOUD) == len(line_noise()) == FRAME_BYTES
    assert is_loud(LOUD)
    assert not is_loud(line_noise())
    assert Marker(when="marker").above < 32_124


def test_the_last_frame_of_a_chunk_asks_and_loud_audio_answers() -> None:
    one, wire, tally = caller()
    ask(one)
    assert len(wire.sent) == 20
    hear(one, audio(one, LOUD))
    one.hang_up()
    assert len(tally.latencies_s) == 1
    assert math.isfinite(tally.latencies_s[0])
    assert tally.wrong_answers == 0


def test_a_question_without_an_answer_counts_as_infinite() -> None:
    one, _, tally = caller()
    ask(one)
    one.hang_up()
    assert tally.latencies_s == [math.inf]


def test_silence_is_not_an_answer() -> None:
    one, _, tally = caller()
    ask(one)
    hear(one, audio(one, line_noise()))
    one.hang_up()
    assert tally.latencies_s == [math.inf]
    assert tally.wrong_answers == 1


def test_an_answer_that_ends_early_is_wrong() -> None:
    one, _, tally = caller(answer_ms=40)
    ask(one)
    hear(one, audio(one, LOUD))
    one.hang_up()
    assert tally.wrong_answers == 1


def test_audio_nobody_asked_for_is_wrong() -> None:
    one, _, tally = caller()
    hear(one, audio(one, LOUD))
    assert tally.wrong_answers == 1


def test_a_mark_is_echoed_once_what_came_before_it_was_played() -> None:
    one, wire, _ = caller()
    hear(one, audio(one, LOUD))
    hear(one, b'{"event":"mark","streamSid":"MZ","mark":{"name":"1:160"}}')
    one.play_end += 3_600.0
    assert "mark" not in [message["event"] for message in wire.sent]
    one._marks[0] = (0.0, one._marks[0][1])  # the audio has been played
    one.send_frame(due=0.0)
    assert [message["event"] for message in wire.sent] == ["media", "mark"]


def test_clear_gives_all_marks_back_at_once() -> None:
    one, wire, tally = caller()
    hear(one, audio(one, LOUD))
    hear(one, b'{"event":"mark","streamSid":"MZ","mark":{"name":"1:160"}}')
    hear(one, b'{"event":"clear","streamSid":"MZ"}')
    assert [message["event"] for message in wire.sent] == ["mark"]
    assert tally.clears == 1


def test_a_busy_gateway_is_a_dial_error() -> None:
    with pytest.raises(DialError, match="Reject"):
        parse_twiml("<Response><Reject reason='busy'/></Response>")
    with pytest.raises(DialError, match="not XML"):
        parse_twiml("no")


def test_the_stream_and_its_token_are_read_from_the_twiml() -> None:
    from gateway.twilio.twiml import connect_stream

    assert parse_twiml(connect_stream("ws://h/twilio/media", "a.b", "http://h/after")) == ("ws://h/twilio/media", "a.b")
