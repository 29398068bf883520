"""The Realtime session: what it sends is of the published schema, and what it tells is what the server meant."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from model_worker.dialog.brief import Brief, LineVoice, Mode, SoundAction, Tools
from model_worker.duplex.realtime.replies import STALLED_S, UNPLAYED_S
from model_worker.duplex.realtime.session import KEYS_AFTER_S, MAX_CALLS, RealtimeSession
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
from model_worker.seams import Action, SoundHeard, Translated
from tests.peers.realtime import unknown_fields
from wire.audio.codecs import Codec
from wire.audio.g711 import decode_ulaw
from wire.ids import CallId
from wire.messages import Voice

RATE_HZ = 24_000
CHUNK = np.arange(2_400, dtype=np.int16)
BRIEF = Brief(name="desk", engine="realtime", instructions="Be kind.")
WITH_TOOLS = Brief(
    name="desk",
    engine="realtime",
    instructions="Be kind.",
    tools=Tools(hangup=True, voicemail=True, transfer={"bar": "+4930123456", "spa": "+4930654321"}),
)
_schema: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


class Bench:
    """A session and its server, by hand. ``sent``: our events, each held against the schema; ``told``: the rest."""

    def __init__(self, brief: Brief = BRIEF, said: tuple[Line, ...] = (), codec: Codec = Codec.L16_24K) -> None:
        self.session = RealtimeSession(Opening(CallId("call"), brief, said), codec)
        self.sent: list[dict[str, Any]] = []
        self.told: list[Effect] = []
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
        """The server sends this; returns what was told upon it."""
        return self.get_raw(json.dumps({"type": kind, "event_id": "evt", **fields}))

    def get_raw(self, frame: str | bytes) -> list[Effect]:
        self.told = []
        self.session.receive(frame)
        self.drain()
        return self.told

    def ready(self) -> "Bench":
        self.get("session.updated", session={})
        return self

    def hears(self, seconds: float = 0.1) -> None:
        for _ in range(round(seconds * 10)):
            self.session.hear(CHUNK)
        self.drain()

    def does(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == kind]

    def pause(self) -> None:
        """The caller ends a sentence."""
        self.get("input_audio_buffer.committed", item_id="i")

    def says(self, response: str = "r1", seconds: float = 1.0, words: str = "hello there", item: str = "a1") -> None:
        """The server begins an answer and sends this much of it."""
        self.get("response.created", response={"id": response, "status": "in_progress"})
        self.sounds(response, seconds, item)
        self.get("response.output_audio_transcript.delta", response_id=response, item_id=item, delta=words)

    def sounds(self, response: str, seconds: float, item: str = "a1") -> list[Effect]:
        octets = base64.b64encode(np.full(round(seconds * RATE_HZ), 500, "<i2").tobytes()).decode()
        return self.get("response.output_audio.delta", response_id=response, item_id=item, delta=octets)

    def done(self, response: str = "r1", status: str = "completed", **details: Any) -> list[Effect]:
        extra = {"status_details": {"type": status, **details}} if details else {}
        return self.get("response.done", response={"id": response, "status": status, **extra})

    def calls(self, name: str, arguments: str, response: str = "r1", call_id: str = "c1") -> None:
        item = {
            "type": "function_call",
            "name": name,
            "call_id": call_id,
            "arguments": arguments,
            "status": "completed",
        }
        self.get("response.output_item.done", response_id=response, output_index=1, item=item)

    def outputs(self) -> list[str]:
        items = [event["item"] for event in self.does("conversation.item.create")]
        return [item["output"] for item in items if item["type"] == "function_call_output"]


def test_a_session_is_set_up_in_one_event_and_ready_when_the_server_took_it():
    brief = Brief(
        name="desk", engine="realtime", instructions="Be kind.", language="de-AT", voice=LineVoice(name="marin")
    )
    bench = Bench(brief)
    (update,) = bench.sent
    session = update["session"]
    assert "Be kind." in session["instructions"]
    assert session["output_modalities"] == ["audio"]
    assert session["audio"]["output"] == {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "marin"}
    assert session["audio"]["input"]["transcription"]["language"] == "de"
    detection = session["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", "create_response": False, "interrupt_response": False}
    assert bench.get("session.created", session={}) == []
    assert bench.get("session.updated", session={}) == [Ready()]
    assert bench.does("response.create") == []


def test_a_new_session_is_told_what_was_said_in_the_last_one_and_does_not_greet_again():
    said = (Line(Voice.AGENT, "good morning"), Line(Voice.CALLER, "a room please"))
    bench = Bench(BRIEF.model_copy(update={"greeting": "Hello!"}), said).ready()
    items = [event["item"] for event in bench.does("conversation.item.create")]
    assert [(item["role"], item["content"][0]["text"]) for item in items] == [
        ("assistant", "good morning"),
        ("user", "a room please"),
    ]
    assert bench.does("response.create") == []


def test_a_greeting_is_the_first_answer_and_in_its_words():
    bench = Bench(BRIEF.model_copy(update={"greeting": "Hotel Sacher, good morning!"})).ready()
    (create,) = bench.does("response.create")
    assert create["response"]["instructions"].endswith("\nHotel Sacher, good morning!")


def test_the_callers_sound_goes_out_chunk_by_chunk():
    bench = Bench().ready()
    bench.hears(0.2)
    appended = [base64.b64decode(event["audio"]) for event in bench.does("input_audio_buffer.append")]
    assert appended == [CHUNK.astype("<i2").tobytes()] * 2


def test_g711_octets_reach_the_server_as_they_came_but_for_the_second_zero():
    """0x7f is minus zero, which linear sound does not have; it becomes 0xff, zero: no ear and no model hears that."""
    bench = Bench(codec=Codec.PCMU).ready()
    assert bench.sent[0]["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    octets = bytes(range(256))
    bench.session.hear(decode_ulaw(octets))
    bench.drain()
    (append,) = bench.does("input_audio_buffer.append")
    assert base64.b64decode(append["audio"]) == octets.replace(b"\x7f", b"\xff")
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    delta = base64.b64encode(octets).decode()
    (sound,) = bench.get("response.output_audio.delta", response_id="r1", item_id="a1", delta=delta)
    assert isinstance(sound, Sound)
    assert sound.pcm.tolist() == decode_ulaw(octets).tolist()


def test_an_answer_is_asked_for_when_the_caller_pauses_and_nobody_speaks():
    bench = Bench().ready()
    bench.hears()
    assert bench.does("response.create") == []
    bench.pause()
    assert len(bench.does("response.create")) == 1


def test_an_answer_is_sound_and_words_and_ends():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    (sound,) = bench.sounds("r1", 0.5)
    assert isinstance(sound, Sound)
    assert len(sound.pcm) == 12_000
    delta = {"response_id": "r1", "item_id": "a1", "delta": "hi"}
    assert bench.get("response.output_audio_transcript.delta", **delta) == [Words("hi")]
    assert bench.done() == [TurnOver(cut=False)]


def test_the_names_of_the_beta_are_read_too():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    assert bench.get("response.audio_transcript.delta", response_id="r1", delta="hi") == [Words("hi")]
    octets = base64.b64encode(bytes(4_800)).decode()
    assert len(bench.get("response.audio.delta", response_id="r1", item_id="a1", delta=octets)) == 1


def test_what_the_caller_said_comes_as_final_words():
    bench = Bench().ready()
    fields = {"item_id": "i", "content_index": 0, "usage": {"type": "duration", "seconds": 1}}
    kind = "conversation.item.input_audio_transcription.completed"
    assert bench.get(kind, transcript=" a room \n", **fields) == [Heard("a room")]
    assert bench.get(kind, transcript=" ", **fields) == []


def test_an_answer_that_the_server_cut_for_the_caller_says_so():
    bench = Bench().ready()
    bench.pause()
    bench.says()
    assert bench.done(status="cancelled", reason="turn_detected") == [TurnOver(cut=True)]


def test_an_interruption_cancels_what_is_made_and_cuts_what_was_not_heard():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=3.0)
    bench.session.played(1.0)
    bench.session.interrupt(1.25)
    bench.drain()
    (cancel,) = bench.does("response.cancel")
    (truncate,) = bench.does("conversation.item.truncate")
    assert cancel["response_id"] == "r1"
    assert (truncate["item_id"], truncate["audio_end_ms"], truncate["content_index"]) == ("a1", 1_250, 0)


def test_an_answer_is_not_cut_behind_its_end():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=1.0)
    bench.done()
    bench.session.interrupt(7.0)
    bench.drain()
    (truncate,) = bench.does("conversation.item.truncate")
    assert truncate["audio_end_ms"] == 1_000


def test_nothing_is_cancelled_that_the_server_finished():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=3.0)
    bench.done()
    bench.session.interrupt(1.0)
    bench.drain()
    assert bench.does("response.cancel") == []
    assert len(bench.does("conversation.item.truncate")) == 1


def test_nothing_of_an_interrupted_answer_comes_out_whatever_the_server_sends():
    bench = Bench().ready()
    bench.pause()
    bench.says()
    bench.session.interrupt(0.5)
    bench.drain()
    bench.told = []
    assert bench.sounds("r1", 1.0) == []
    assert bench.get("response.output_audio_transcript.delta", response_id="r1", item_id="a1", delta="x") == []
    bench.calls("hangup", "{}")
    assert bench.done(status="cancelled", reason="client_cancelled") == []
    bench.pause()
    bench.says("r2", item="a2")
    assert bench.done("r2") == [TurnOver()]


def test_an_answer_that_was_asked_for_and_not_begun_is_fenced_too():
    bench = Bench().ready()
    bench.pause()
    bench.session.interrupt(0.0)
    bench.drain()
    bench.says("r1")
    assert bench.told == []
    assert [event["response_id"] for event in bench.does("response.cancel")] == ["r1"]


def test_the_next_answer_is_asked_for_when_the_server_is_free():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=2.0)
    bench.session.interrupt(0.5)
    bench.pause()
    assert len(bench.does("response.create")) == 1, "the cancelled one is still at work"
    bench.done(status="cancelled", reason="client_cancelled")
    assert len(bench.does("response.create")) == 2


def test_what_was_said_into_a_turn_that_goes_on_is_not_answered():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=1.0)
    bench.done()
    for tenth in range(10):
        bench.session.played(tenth / 10 + 0.1)
        bench.hears()
        if tenth == 5:
            bench.pause()
    bench.hears(1.0)
    assert len(bench.does("response.create")) == 1
    bench.pause()
    assert len(bench.does("response.create")) == 2


def test_what_was_said_into_a_turn_is_answered_when_it_took_the_floor():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=3.0)
    bench.done()
    bench.session.played(0.5)
    bench.hears()
    bench.pause()
    assert len(bench.does("response.create")) == 1
    bench.session.interrupt(0.7)
    bench.drain()
    assert len(bench.does("response.create")) == 2


def test_a_caller_who_goes_on_before_the_answer_sounds_gets_one_answer_to_all():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    bench.get("input_audio_buffer.speech_started", audio_start_ms=0, item_id="i2")
    assert [event["response_id"] for event in bench.does("response.cancel")] == ["r1"]
    bench.pause()
    bench.done(status="cancelled", reason="client_cancelled")
    assert len(bench.does("response.create")) == 2


def test_a_caller_who_goes_on_before_the_answer_was_begun_gets_one_answer_to_all():
    bench = Bench().ready()
    bench.pause()
    bench.get("input_audio_buffer.speech_started", audio_start_ms=0, item_id="i2")
    bench.says("r1")
    assert [event["response_id"] for event in bench.does("response.cancel")] == ["r1"]
    bench.pause()
    bench.done("r1", status="cancelled", reason="client_cancelled")
    bench.says("r2", item="a2")
    assert bench.done("r2") == [TurnOver()]


def test_a_greeting_is_made_whatever_the_caller_says_meanwhile():
    bench = Bench(BRIEF.model_copy(update={"greeting": "Hello!"})).ready()
    bench.get("response.created", response={"id": "r1"})
    bench.get("input_audio_buffer.speech_started", audio_start_ms=0, item_id="i1")
    assert bench.does("response.cancel") == []


def test_an_answer_that_never_was_played_does_not_silence_the_agent_for_ever():
    bench = Bench().ready()
    bench.pause()
    bench.says(seconds=0.04)
    bench.done()
    bench.hears(UNPLAYED_S + 0.3)
    bench.pause()
    assert len(bench.does("response.create")) == 2


def test_two_answers_are_cut_each_where_it_was_heard():
    bench = Bench().ready()
    bench.pause()
    bench.says("r1", 2.0, item="a1")
    bench.done("r1")
    bench.session.say("And one thing more.")
    bench.drain()
    bench.says("r2", 1.0, item="a2")
    bench.session.interrupt(1.5)
    bench.drain()
    cuts = [(event["item_id"], event["audio_end_ms"]) for event in bench.does("conversation.item.truncate")]
    assert cuts == [("a1", 1_500), ("a2", 0)]


def test_the_second_of_two_answers_is_the_one_that_plays_when_its_time_begins_anew():
    bench = Bench().ready()
    bench.pause()
    bench.says("r1", 2.0, item="a1")
    bench.done("r1")
    bench.session.say("And one thing more.")
    bench.drain()
    bench.says("r2", 1.0, item="a2")
    for heard_s in (1.0, 2.0, 0.2):
        bench.session.played(heard_s)
        bench.hears()
    bench.session.interrupt(0.3)
    bench.drain()
    cuts = [(event["item_id"], event["audio_end_ms"]) for event in bench.does("conversation.item.truncate")]
    assert cuts == [("a2", 300)]


def test_given_words_are_asked_for_once_the_server_is_free():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    bench.session.say("The shop closes now.")
    bench.drain()
    assert len(bench.does("response.create")) == 1
    bench.sounds("r1", 0.2)
    bench.done("r1")
    create = bench.does("response.create")[-1]
    assert create["response"]["instructions"].endswith("\nThe shop closes now.")
    assert create["response"]["tool_choice"] == "none"


def test_keys_are_told_together_when_no_more_come():
    bench = Bench().ready()
    bench.session.press("4")
    bench.hears(0.3)
    bench.session.press("2")
    bench.hears(KEYS_AFTER_S - 0.2)
    assert bench.does("conversation.item.create") == []
    bench.hears(0.4)
    (item,) = bench.does("conversation.item.create")
    assert "4 2" in item["item"]["content"][0]["text"]
    assert len(bench.does("response.create")) == 1


def test_a_hash_ends_a_number():
    bench = Bench().ready()
    bench.session.press("7#")
    bench.drain()
    assert len(bench.does("conversation.item.create")) == 1


def test_tools_are_told_with_the_names_of_who_can_be_called():
    update = Bench(WITH_TOOLS).sent[0]["session"]
    by_name = {tool["name"]: tool for tool in update["tools"]}
    assert set(by_name) == {"hangup", "voicemail", "transfer"}
    assert by_name["transfer"]["parameters"]["properties"]["to"]["enum"] == ["bar", "spa"]
    assert "+4930123456" not in json.dumps(update)


def test_what_a_model_calls_after_its_words_is_done_with_them():
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.says(words="I put you through.")
    bench.calls("transfer", '{"to":"bar"}')
    assert bench.done() == [Do(Action("transfer", {"to": "+4930123456"})), TurnOver()]
    assert bench.outputs() == ['{"result":"accepted"}']
    assert len(bench.does("response.create")) == 1


def test_nobody_is_cut_off_without_a_word():
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    bench.calls("hangup", "{}")
    assert bench.done() == []
    create = bench.does("response.create")[-1]
    assert create["response"]["tool_choice"] == "none"
    bench.says("r2", words="Goodbye!")
    assert bench.done("r2") == [Do(Action("hangup")), TurnOver()]


def test_an_action_is_done_even_if_the_goodbye_fails():
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    bench.calls("hangup", "{}")
    bench.done()
    bench.get("response.created", response={"id": "r2"})
    assert bench.done("r2") == [Do(Action("hangup"))]


def test_an_interrupted_goodbye_does_not_hang_up():
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.says(words="Goodbye!")
    bench.calls("hangup", "{}")
    bench.session.interrupt(0.2)
    bench.drain()
    assert bench.done() == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("transfer", '{"to":"kitchen"}'),
        ("transfer", "{}"),
        ("transfer", '{"to":7}'),
        ("hangup", "not json"),
        ("format_disk", "{}"),
    ],
)
def test_what_a_model_was_not_given_is_refused_and_it_may_think_again(name: str, arguments: str):
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    bench.calls(name, arguments)
    assert bench.done() == []
    (output,) = bench.outputs()
    assert set(json.loads(output)) == {"error"}
    assert len(bench.does("response.create")) == 2


def test_a_model_that_calls_without_end_is_garbage():
    bench = Bench(WITH_TOOLS).ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    for number in range(MAX_CALLS + 1):
        bench.calls("hangup", "{}", call_id=f"c{number}")
    assert [type(effect) for effect in bench.told] == [Broken]


def test_a_line_that_transcribes_asks_for_no_answer():
    brief = Brief(name="desk", engine="realtime", mode=Mode.TRANSCRIPTION)
    bench = Bench(brief).ready()
    assert bench.sent[0]["session"]["output_modalities"] == ["text"]
    bench.pause()
    bench.session.press("1#")
    bench.drain()
    assert bench.does("response.create") == []


def test_a_line_that_translates_answers_every_sentence_even_over_its_own_voice():
    brief = Brief(name="desk", engine="realtime", mode=Mode.TRANSLATION, into="fr")
    bench = Bench(brief).ready()
    assert "fr" in bench.sent[0]["session"]["instructions"]
    bench.pause()
    bench.says(words="bonjour")
    bench.pause()
    assert bench.done() == [Translated("bonjour", "fr"), TurnOver()]
    assert len(bench.does("response.create")) == 2


def test_a_line_that_listens_for_sounds_names_them_and_is_silent():
    brief = Brief(name="desk", engine="realtime", mode=Mode.SOUND_EVENTS, on_sound={"alarm": SoundAction(do="hangup")})
    bench = Bench(brief).ready()
    bench.pause()
    bench.says()
    assert bench.told == []
    bench.calls("report_sound", '{"name":"alarm"}')
    assert bench.done() == [SoundHeard("alarm")]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"type": "invalid_request_error", "code": "session_expired"}, SessionFault.EXPIRED),
        ({"type": "requests", "code": "rate_limit_exceeded"}, SessionFault.FULL),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, SessionFault.FULL),
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, SessionFault.REFUSED),
        ({"type": "server_error", "code": None}, SessionFault.SERVER_ERROR),
    ],
)
def test_an_error_that_ends_the_session_says_why_and_quotes_nothing(error: dict[str, Any], fault: SessionFault):
    bench = Bench().ready()
    (broken,) = bench.get("error", error={**error, "message": "secret words"})
    assert isinstance(broken, Broken)
    assert broken.fault is fault
    assert "secret" not in broken.reason
    assert bench.get("error", error={**error, "message": "again"}) == []


def test_an_error_of_one_event_ends_nothing():
    bench = Bench().ready()
    error = {
        "type": "invalid_request_error",
        "code": "response_cancel_not_active",
        "message": "x",
        "event_id": "event_9",
    }
    assert bench.get("error", error=error) == []
    bench.pause()
    assert len(bench.does("response.create")) == 1


def test_settings_that_the_server_does_not_take_end_the_session():
    (broken,) = Bench().get("error", error={"type": "invalid_request_error", "code": "invalid_value", "message": "x"})
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.REFUSED


def test_an_answer_that_the_server_had_no_room_for_is_asked_for_again():
    bench = Bench().ready()
    bench.pause()
    (create,) = bench.does("response.create")
    code = "conversation_already_has_active_response"
    error = {"type": "invalid_request_error", "code": code, "message": "x", "event_id": create["event_id"]}
    bench.get("error", error=error)
    assert len(bench.does("response.create")) == 2


def test_an_answer_that_fails_is_tried_once_more():
    bench = Bench().ready()
    bench.pause()
    for number in (1, 2):
        bench.get("response.created", response={"id": f"r{number}"})
        told = bench.done(f"r{number}", "failed", error={"type": "server_error", "code": None})
        assert len(bench.does("response.create")) == 2
    assert [effect.fault for effect in told if isinstance(effect, Broken)] == [SessionFault.SERVER_ERROR]


def test_an_answer_that_fails_for_the_quota_is_not_tried_again():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    (broken,) = bench.done("r1", "failed", error={"type": "insufficient_quota", "code": "insufficient_quota"})
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.FULL


def test_a_server_that_owes_an_answer_for_long_is_given_up():
    bench = Bench().ready()
    bench.pause()
    bench.told = []
    bench.hears(STALLED_S - 1)
    assert bench.told == []
    bench.hears(2)
    assert [effect.fault for effect in bench.told if isinstance(effect, Broken)] == [SessionFault.SERVER_ERROR]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x01",
        "",
        "7",
        "[]",
        "{}",
        '{"type":7}',
        '{"type":"response.created"}',
        '{"type":"response.created","response":{"id":7}}',
        '{"type":"response.output_audio.delta","response_id":"r1","item_id":"a1","delta":"==="}',
        '{"type":"error","error":"x"}',
        '{"type":"response.done","response":[]}',
        '{"type":"response.output_audio.delta","response_id":"r1","item_id":"a1"',
        "\ud800",
        "[" * 100_000,
    ],
)
def test_what_is_not_of_the_protocol_ends_the_session(frame: str | bytes):
    (broken,) = Bench().ready().get_raw(frame)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE


def test_half_a_sample_is_garbage():
    bench = Bench().ready()
    bench.pause()
    bench.get("response.created", response={"id": "r1"})
    (broken,) = bench.get("response.output_audio.delta", response_id="r1", item_id="a1", delta="AAAA")
    assert isinstance(broken, Broken)


def test_an_event_without_end_is_garbage():
    (broken,) = Bench().ready().get_raw('{"type":"x","pad":"' + "a" * (4 * 1024 * 1024) + '"}')
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE


def test_events_of_other_types_are_passed_over():
    assert Bench().ready().get("rate_limits.updated", rate_limits="whatever") == []
