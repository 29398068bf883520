"""The Live session: turns out of its stream, and what it sends is of the published schema."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from openai.types.live import ClientEvent
from pydantic import TypeAdapter

from model_worker.dialog.brief import Brief, Mode, Tools
from model_worker.duplex.realtime.live_session import UNSPOKEN_S, UTTERANCE_S, LiveSession
from model_worker.duplex.remote.effects import (
    Broken,
    Do,
    Effect,
    Heard,
    Line,
    Ready,
    Send,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.seam import Opening
from model_worker.seams import Action, Translated
from tests.peers.realtime import unknown_fields
from tests.peers.sound import tone, turn_of
from wire.audio.codecs import Codec
from wire.ids import CallId
from wire.messages import Voice

RATE_HZ = 24_000
CHUNK = np.zeros(2_400, np.int16)
BRIEF = Brief(name="desk", engine="realtime", instructions="Be kind.")
WITH_TOOLS = BRIEF.model_copy(update={"tools": Tools(hangup=True, transfer={"bar": "+4930123456"})})
_schema: TypeAdapter[Any] = TypeAdapter(ClientEvent)


class Bench:
    """A session and its server, by hand; ``at_ms`` is where its stream is."""

    def __init__(self, brief: Brief = BRIEF, said: tuple[Line, ...] = ()) -> None:
        self.session = LiveSession(Opening(CallId("call"), brief, said), Codec.L16_24K)
        self.sent: list[dict[str, Any]] = []
        self.told: list[Effect] = []
        self.at_ms = 0
        self.session.connected()
        self.drain()

    def drain(self) -> None:
        while (effect := self.session.poll()) is not None:
            if isinstance(effect, Send):
                assert isinstance(effect.frame, str)
                event = json.loads(effect.frame)
                checked = _schema.validate_python(event)
                assert checked.type == event["type"]
                assert list(unknown_fields(checked)) == []
                self.sent.append(event)
            else:
                self.told.append(effect)

    def get(self, kind: str, **fields: Any) -> list[Effect]:
        return self.get_raw(json.dumps({"type": kind, **fields}))

    def get_raw(self, frame: str | bytes) -> list[Effect]:
        before = len(self.told)
        self.session.receive(frame)
        self.drain()
        return self.told[before:]

    def ready(self) -> "Bench":
        self.get("session.started", event_id="e", session={})
        self.told.clear()
        return self

    def streams(self, seconds: float, turn: int | None = None) -> list[Effect]:
        """The server's sound for so long, in pieces of 80 ms: a tone, or silence."""
        told: list[Effect] = []
        for piece in range(round(seconds / 0.08)):
            pcm = np.zeros(1_920, np.int16) if turn is None else tone(turn, 1_920, RATE_HZ, piece * 1_920)
            told += self.get("session.output_audio.delta", delta=base64.b64encode(pcm.tobytes()).decode())
            self.at_ms += 80
        return told

    def words(self, text: str, behind_ms: int = 0) -> list[Effect]:
        times = {"start_ms": self.at_ms - behind_ms, "end_ms": self.at_ms - behind_ms + 80}
        return self.get("session.output_transcript.delta", event_id="e", delta=text, **times)

    def hears_words(self, text: str) -> list[Effect]:
        times = {"start_ms": self.at_ms - 80, "end_ms": self.at_ms}
        return self.get("session.input_transcript.delta", event_id="e", delta=text, **times)

    def helper_calls(self, name: str, arguments: str) -> list[Effect]:
        item = {"type": "function_call", "call_id": "c1", "name": name, "arguments": arguments}
        return self.get("response.event", event_id="e", event={"type": "response.output_item.done", "item": item})

    def does(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == kind]


def kinds(effects: list[Effect]) -> list[str]:
    """What came, with the sound of one turn as one."""
    names = [type(effect).__name__ for effect in effects]
    return [name for index, name in enumerate(names) if index == 0 or name != "Sound" or names[index - 1] != "Sound"]


def test_a_session_is_begun_with_all_that_it_will_ever_know():
    bench = Bench(BRIEF, (Line(Voice.AGENT, "good morning"), Line(Voice.CALLER, "a room please")))
    (start,) = bench.sent
    session = start["session"]
    assert session["model"] == "gpt-live-1"
    assert session["audio"] == {"format": {"type": "audio/pcm", "rate": 24_000}}
    assert session["delegation"] == {"type": "client"}
    assert [item["content"][0]["text"] for item in session["input"]] == ["good morning", "a room please"]
    assert session["store"] is False
    assert bench.get("session.started", event_id="e", session={}) == [Ready()]


def test_a_greeting_is_something_to_tell_the_caller():
    bench = Bench(BRIEF.model_copy(update={"greeting": "Hotel Sacher!"})).ready()
    (note,) = bench.does("session.commentary.append")
    assert note["content"].endswith("\nHotel Sacher!")
    assert note["delegation_id"] is None


def test_a_silent_stream_says_nothing():
    assert Bench().ready().streams(10.0) == []


def test_sound_in_the_stream_is_a_turn_with_the_words_that_came_for_it():
    bench = Bench().ready()
    bench.streams(1.0)
    told = bench.words("hello ") + bench.streams(0.4, turn=2) + bench.words("there") + bench.streams(0.4, turn=2)
    told += bench.streams(1.2)
    assert kinds(told) == ["Words", "Sound", "Words", "Sound", "TurnOver"]
    sound = np.concatenate([effect.pcm for effect in told if isinstance(effect, Sound)])
    assert turn_of(sound[4_800:14_400], RATE_HZ) == 2


def test_nothing_of_an_interrupted_turn_comes_out_until_the_model_was_silent():
    bench = Bench().ready()
    bench.words("one two ")
    bench.streams(1.0, turn=0)
    bench.session.interrupt(0.7)
    bench.drain()
    assert bench.words("three") + bench.streams(3.0, turn=0) + bench.words("four") == []
    assert bench.streams(0.8) + bench.words("five", behind_ms=900) == []
    told = bench.words("next") + bench.streams(0.4, turn=1)
    assert kinds(told) == ["Words", "Sound"]
    assert [effect.text for effect in told if isinstance(effect, Words)] == ["next"]


def test_the_model_is_told_what_was_not_heard():
    bench = Bench().ready()
    bench.streams(1.0, turn=0)
    bench.session.interrupt(0.7)
    bench.drain()
    (note,) = bench.does("session.thinking.append")
    assert "0.7" in note["content"]


def test_the_callers_words_are_final_after_a_second_or_when_the_model_answers():
    bench = Bench().ready()
    bench.streams(1.0)
    assert bench.hears_words(" a") + bench.hears_words(" room") == []
    assert bench.streams(UTTERANCE_S + 0.1) == [Heard("a room")]
    bench.hears_words(" please")
    assert bench.streams(0.2, turn=0)[0] == Heard("please")


def test_tools_are_the_helpers_who_is_told_of_them():
    (start,) = Bench(WITH_TOOLS).sent
    delegation = start["session"]["delegation"]
    assert delegation["type"] == "responses"
    assert {tool["name"] for tool in delegation["responses"]["tools"]} == {"hangup", "transfer"}
    assert "+4930123456" not in json.dumps(start)


def test_an_action_is_done_with_the_turn_in_which_the_model_speaks_of_it():
    bench = Bench(WITH_TOOLS).ready()
    bench.streams(0.4)
    assert bench.helper_calls("transfer", '{"to":"bar"}') == []
    assert bench.does("response.item.create")[0]["item"]["output"] == '{"result":"accepted"}'
    assert len(bench.does("response.create")) == 1
    told = bench.streams(1.0, turn=0) + bench.streams(1.2)
    assert told[-2:] == [Do(Action("transfer", {"to": "+4930123456"})), TurnOver()]


def test_an_action_of_which_the_model_does_not_speak_is_done_in_the_end():
    bench = Bench(WITH_TOOLS).ready()
    bench.helper_calls("hangup", "{}")
    assert bench.streams(UNSPOKEN_S - 0.2) == []
    assert bench.streams(0.4) == [Do(Action("hangup"))]


def test_an_interrupted_goodbye_does_not_hang_up():
    bench = Bench(WITH_TOOLS).ready()
    bench.helper_calls("hangup", "{}")
    bench.streams(0.4, turn=0)
    bench.session.interrupt(0.2)
    assert bench.streams(UNSPOKEN_S + 1) == []


def test_what_the_helper_was_not_given_is_refused():
    bench = Bench(WITH_TOOLS).ready()
    bench.helper_calls("format_disk", "{}")
    assert "error" in json.loads(bench.does("response.item.create")[0]["item"]["output"])


def test_work_that_nobody_does_is_answered():
    bench = Bench().ready()
    delegation = {"id": "d1", "target": "client", "type": "delegation"}
    bench.get("session.delegation.created", event_id="e", delegation=delegation, offset_ms=1)
    (note,) = bench.does("session.commentary.append")
    assert note["delegation_id"] == "d1"


def test_a_turn_of_an_interpreter_is_a_translation():
    bench = Bench(Brief(name="desk", engine="realtime", mode=Mode.TRANSLATION, into="fr")).ready()
    bench.words("bonjour")
    told = bench.streams(0.8, turn=0) + bench.streams(1.2)
    assert told[-2:] == [Translated("bonjour", "fr"), TurnOver()]


def test_keys_are_something_to_act_on():
    bench = Bench().ready()
    bench.session.press("42")
    bench.drain()
    assert "4 2" in bench.does("session.instructions.append")[0]["content"]


def test_a_call_that_ends_closes_its_session():
    bench = Bench().ready()
    bench.session.end()
    bench.drain()
    assert len(bench.does("session.close")) == 1


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("expired", SessionFault.EXPIRED),
        ("content", SessionFault.REFUSED),
        ("connection_lost", SessionFault.LOST),
        ("remote_hangup", SessionFault.LOST),
    ],
)
def test_a_session_that_the_server_closes_says_why(reason: str, fault: SessionFault):
    (broken,) = Bench().ready().get("session.closed", event_id="e", reason=reason, session={}, usage={"seconds": 1})
    assert isinstance(broken, Broken)
    assert broken.fault is fault


def test_settings_that_the_server_does_not_take_end_the_session():
    error = {"type": "invalid_request_error", "code": "unknown_parameter", "message": "x"}
    (broken,) = Bench().get("error", event_id="e", error=error)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.REFUSED
    assert Bench().ready().get("error", event_id="e", error=error) == []


@pytest.mark.parametrize(
    "frame",
    [b"x", "7", '{"type":"session.output_audio.delta"}', '{"type":"session.output_audio.delta","delta":"AAAA"}'],
)
def test_what_is_not_of_the_protocol_ends_the_session(frame: str | bytes):
    (broken,) = Bench().ready().get_raw(frame)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE


def test_the_callers_sound_goes_out_and_is_told_nowhere_else():
    bench = Bench().ready()
    bench.session.hear(CHUNK)
    bench.session.played(1.0)
    bench.drain()
    assert [event["type"] for event in bench.sent[1:]] == ["session.input_audio.append"]
