"""The Gemini Live session: what it sends is of the published schema, and what it tells is what the server meant."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.dialog.brief import Brief, LineVoice, Mode, Tools
from model_worker.duplex.gemini_live.dialect import dialect
from model_worker.duplex.gemini_live.messages import MAX_FRAME_BYTES
from model_worker.duplex.gemini_live.session import KEYS_AFTER_S, MAX_CALLS, UNSPOKEN_S, UTTERANCE_S, GeminiSession
from model_worker.duplex.remote.effects import (
    Broken,
    Do,
    Effect,
    Expiring,
    Heard,
    Line,
    Ready,
    Resumable,
    Send,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.seam import Opening
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Action, Pcm, Translated
from tests.peers.gemini_live import MESSAGES, problems
from wire.ids import CallId
from wire.messages import Voice

CHUNK_S = 0.1
CALLER = np.full(1_600, 4_000, np.int16)
BRIEF = Brief(name="desk", engine="gemini-live", instructions="Be kind.")
WITH_TOOLS = BRIEF.model_copy(update={"tools": Tools(hangup=True, transfer={"bar": "+4930123456"})})


class Bench:
    """A session and its server, by hand. ``sent``: our messages, each held against the schema."""

    def __init__(self, brief: Brief = BRIEF, said: tuple[Line, ...] = (), resume: str = "") -> None:
        self.session = GeminiSession(Opening(CallId("call"), brief, said, resume), "gemini-x")
        self.sent: list[dict[str, Any]] = []
        self.session.connected()
        self.told = self.drain()

    def drain(self) -> list[Effect]:
        told: list[Effect] = []
        while (effect := self.session.poll()) is not None:
            if not isinstance(effect, Send):
                told.append(effect)
                continue
            assert isinstance(effect.frame, str)
            message = json.loads(effect.frame)
            ((kind, body),) = message.items()
            assert problems(body, MESSAGES[kind], kind) == []
            self.sent.append(message)
        return told

    def get(self, **message: Any) -> list[Effect]:
        """The server sends this, as it does in a binary frame; returns what was told upon it."""
        return self.get_raw(json.dumps(message).encode())

    def get_raw(self, frame: str | bytes) -> list[Effect]:
        self.session.receive(frame)
        return self.drain()

    def content(self, **content: Any) -> list[Effect]:
        return self.get(serverContent=content)

    def speaks(self, seconds: float = 1.0, words: str = "") -> list[Effect]:
        data = base64.b64encode(np.full(round(seconds * 24_000), 900, np.int16).tobytes()).decode()
        told = self.content(modelTurn={"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}]})
        return told + (self.content(outputTranscription={"text": words}) if words else [])

    def hear(self, seconds: float = CHUNK_S, played: tuple[float, float] | None = None) -> list[Effect]:
        """The caller goes on. ``played``: how much of the turn was heard before, and how much more by each chunk."""
        told: list[Effect] = []
        for n in range(round(seconds / CHUNK_S)):
            if played is not None:
                self.session.played(played[0] + (n + 1) * played[1])
            self.session.hear(CALLER)
            told += self.drain()
        return told

    def heard_by_server(self) -> Pcm:
        blobs = [message["realtimeInput"].get("audio") for message in self.sent if "realtimeInput" in message]
        octets = b"".join(base64.b64decode(blob["data"]) for blob in blobs if blob is not None)
        return np.frombuffer(octets, np.int16)

    @property
    def texts(self) -> list[str]:
        return [m["realtimeInput"]["text"] for m in self.sent if "text" in m.get("realtimeInput", {})]


def ready(brief: Brief = BRIEF, said: tuple[Line, ...] = (), resume: str = "") -> Bench:
    bench = Bench(brief, said, resume)
    assert bench.get(setupComplete={}) == [Ready()]
    return bench


def shape(told: list[Effect]) -> list[object]:
    """The effects, with the seconds of a sound in its place."""
    return [round(len(effect.pcm) / 24_000, 2) if isinstance(effect, Sound) else effect for effect in told]


def test_a_session_is_set_up_with_what_the_line_says():
    brief = WITH_TOOLS.model_copy(update={"voice": LineVoice(name="Puck"), "language": "de"})
    (message,) = Bench(brief).sent
    setup = message["setup"]
    assert setup["model"] == "models/gemini-x"
    voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}}
    assert setup["generationConfig"] == {"responseModalities": ["AUDIO"], "speechConfig": voice}
    (part,) = setup["systemInstruction"]["parts"]
    assert part["text"].endswith("Be kind.")
    assert "Speak de" in part["text"]
    declared = {f["name"]: f.get("parameters") for f in setup["tools"][0]["functionDeclarations"]}
    to = {"type": "STRING", "enum": ["bar"]}
    assert declared == {
        "hangup": None,
        "transfer": {"type": "OBJECT", "properties": {"to": to}, "required": ["to"]},
    }
    assert "+49" not in json.dumps(setup), "a model never sees a number"


def test_a_session_that_follows_another_knows_what_was_said_or_goes_on_from_a_handle():
    said = (Line(Voice.CALLER, "my bill"), Line(Voice.AGENT, "which one?"))
    setup = Bench(said=said).sent[0]["setup"]
    assert setup["systemInstruction"]["parts"][0]["text"].endswith("Caller: my bill\nYou: which one?")
    assert setup["sessionResumption"] == {}
    setup = Bench(said=said, resume="handle").sent[0]["setup"]
    assert "my bill" not in setup["systemInstruction"]["parts"][0]["text"]
    assert setup["sessionResumption"] == {"handle": "handle"}


def test_a_greeting_is_asked_for_in_the_first_session_only():
    brief = BRIEF.model_copy(update={"greeting": "Hotel Sole, good day."})
    assert [text.endswith("\nHotel Sole, good day.") for text in ready(brief).texts] == [True]
    assert ready(brief, said=(Line(Voice.AGENT, "Hotel Sole"),)).texts == []
    assert ready(brief, resume="handle").texts == []


def test_a_turn_is_told_with_its_words_and_ends_when_the_server_says_so():
    bench = ready()
    told = bench.content(inputTranscription={"text": " good"}) + bench.content(inputTranscription={"text": " day"})
    assert told == []
    assert shape(bench.content(outputTranscription={"text": "How can"}) + bench.speaks(0.5, " I help?")) == [
        Heard("good day"),
        0.5,
        Words("How can"),
        Words(" I help?"),
    ]
    assert bench.content(generationComplete=True) == []
    assert bench.content(turnComplete=True) == [TurnOver()]
    assert bench.content(turnComplete=True) == []


def test_a_turn_that_was_sent_and_heard_is_over_before_the_server_says_so():
    bench = ready()
    bench.speaks(0.5)
    bench.content(generationComplete=True)
    assert bench.hear(0.4, played=(0.0, 0.1)) == []
    assert bench.hear(0.1, played=(0.4, 0.1)) == [TurnOver()]
    assert bench.content(turnComplete=True) == []


def test_over_the_agent_the_server_hears_nothing_of_the_caller_until_he_gets_the_floor():
    bench = ready()
    bench.hear(0.5)
    bench.speaks(5.0)
    bench.hear(2.0, played=(0.0, 0.1))
    assert (np.abs(bench.heard_by_server()) > 1_000).sum() == 0.5 * 16_000
    bench.session.interrupt(2.0)
    bench.drain()
    assert (np.abs(bench.heard_by_server()) > 1_000).sum() == 2.5 * 16_000
    bench.hear(0.5)
    assert (np.abs(bench.heard_by_server()) > 1_000).sum() == 3.0 * 16_000


def test_after_an_interruption_nothing_comes_until_the_server_is_done_with_the_turn():
    bench = ready()
    bench.speaks(1.0, "one two")
    bench.session.interrupt(0.3)
    assert bench.speaks(1.0, "three") + bench.content(generationComplete=True) == []
    assert bench.content(interrupted=True) + bench.content(outputTranscription={"text": " four"}) == []
    assert bench.content(turnComplete=True) == []
    assert shape(bench.speaks(0.5, "Yes?")) == [0.5, Words("Yes?")]


def test_an_interruption_of_a_turn_that_the_server_is_done_with_fences_nothing():
    bench = ready()
    bench.speaks(5.0)
    bench.content(generationComplete=True, turnComplete=True)
    bench.session.interrupt(1.0)
    assert shape(bench.speaks(0.5)) == [0.5]


def test_a_server_that_interrupts_itself_before_it_was_heard_cuts_its_turn():
    bench = ready()
    bench.speaks(1.0, "one")
    assert bench.content(interrupted=True) == [TurnOver(cut=True)]
    assert bench.content(turnComplete=True) == []


def test_words_of_the_caller_are_final_when_he_pauses_or_the_server_says_so():
    bench = ready()
    bench.content(inputTranscription={"text": " my bill"})
    assert bench.hear(UTTERANCE_S - CHUNK_S) == []
    assert bench.hear(2 * CHUNK_S) == [Heard("my bill")]
    assert bench.content(inputTranscription={"text": "please", "finished": True}) == [Heard("please")]


def test_what_the_model_wants_done_is_done_when_it_has_said_so():
    bench = ready(WITH_TOOLS)
    bench.speaks(0.5)
    call = {"id": "a", "name": "transfer", "args": {"to": "bar"}}
    assert bench.get(toolCall={"functionCalls": [call]}) == []
    answer = {"id": "a", "name": "transfer", "response": {"result": "accepted"}}
    assert bench.sent[-1] == {"toolResponse": {"functionResponses": [answer]}}
    assert bench.content(turnComplete=True) == [Do(Action("transfer", {"to": "+4930123456"})), TurnOver()]


def test_nobody_is_put_through_without_a_word_unless_the_model_has_none():
    bench = ready(WITH_TOOLS)
    bench.get(toolCall={"functionCalls": [{"id": "a", "name": "hangup"}]})
    assert bench.content(turnComplete=True) == []
    assert ["goodbye" in text for text in bench.texts] == [True]
    assert shape(bench.speaks(0.5) + bench.content(turnComplete=True)) == [0.5, Do(Action("hangup")), TurnOver()]
    bench.get(toolCall={"functionCalls": [{"id": "b", "name": "hangup"}]})
    assert bench.content(turnComplete=True) == []
    assert bench.hear(UNSPOKEN_S + 0.2) == [Do(Action("hangup"))]
    assert len(bench.texts) == 2


@pytest.mark.parametrize("how", ["cancelled", "interrupted"])
def test_what_was_called_off_is_not_done(how):
    bench = ready(WITH_TOOLS)
    bench.speaks(0.5)
    bench.get(toolCall={"functionCalls": [{"id": "a", "name": "hangup"}]})
    if how == "cancelled":
        bench.get(toolCallCancellation={"ids": ["a", "of another"]})
        assert bench.content(turnComplete=True) == [TurnOver()]
    else:
        bench.session.interrupt(0.1)
        assert bench.content(turnComplete=True) == []
    assert bench.hear(UNSPOKEN_S + 0.2) == []


@pytest.mark.parametrize(
    "call",
    [
        {"id": "a", "name": "delete_everything"},
        {"id": "a", "name": "transfer", "args": {"to": "moon"}},
        {"id": "a", "name": "transfer", "args": [1]},
        {"id": "a", "name": "transfer", "args": {"to": 7}},
    ],
)
def test_a_call_of_what_there_is_not_is_answered_and_does_nothing(call):
    bench = ready(WITH_TOOLS)
    assert bench.get(toolCall={"functionCalls": [call]}) == []
    assert "error" in bench.sent[-1]["toolResponse"]["functionResponses"][0]["response"]
    assert bench.content(turnComplete=True) == []


def test_keys_are_told_together_when_no_more_comes():
    bench = ready()
    bench.session.press("12")
    bench.hear(KEYS_AFTER_S - 0.1)
    bench.session.press("3")
    assert bench.texts == []
    bench.hear(KEYS_AFTER_S + 0.1)
    assert ["1 2 3" in text for text in bench.texts] == [True]


def test_an_operators_words_wait_for_the_turn_to_end_and_for_each_other():
    bench = ready()
    bench.speaks(1.0)
    bench.session.say("We close at six.")
    bench.session.say("Goodbye.")
    bench.drain()
    assert bench.texts == [], "words would interrupt the turn"
    bench.content(turnComplete=True)
    assert [text.rsplit("\n", 1)[1] for text in bench.texts] == ["We close at six."]
    bench.speaks(1.0)
    bench.content(turnComplete=True)
    assert [text.rsplit("\n", 1)[1] for text in bench.texts] == ["We close at six.", "Goodbye."]


def test_an_interpreter_hears_everything_and_is_not_interrupted():
    bench = ready(Brief(name="desk", engine="gemini-live", mode=Mode.TRANSLATION, into="de"))
    assert bench.sent[0]["setup"]["realtimeInputConfig"] == {"activityHandling": "NO_INTERRUPTION"}
    bench.speaks(2.0, "Guten Tag")
    bench.hear(1.0, played=(0.0, 0.1))
    assert (np.abs(bench.heard_by_server()) > 1_000).all()
    assert bench.content(turnComplete=True) == [Translated("Guten Tag", "de"), TurnOver()]


def test_a_line_that_writes_down_says_nothing():
    brief = Brief(name="desk", engine="gemini-live", mode=Mode.TRANSCRIPTION, greeting="Hello")
    bench = ready(brief)
    assert bench.texts == []
    assert "say nothing" in bench.sent[0]["setup"]["systemInstruction"]["parts"][0]["text"]
    assert bench.content(inputTranscription={"text": "my bill", "finished": True}) == [Heard("my bill")]
    assert bench.speaks(1.0, "All right") + bench.content(turnComplete=True) == []


def test_sounds_are_not_what_it_wakes_for():
    can = dialect(ServerSettings(url="wss://server", model="m"))
    assert "speech only" in can.cannot(Brief(name="desk", engine="gemini-live", mode=Mode.SOUND_EVENTS))
    assert not can.cannot(Brief(name="desk", engine="gemini-live", mode=Mode.TRANSCRIPTION))


def test_a_server_that_will_go_and_what_to_go_on_from_are_told():
    bench = ready()
    assert bench.get(goAway={"timeLeft": "9.500s"}) == [Expiring(9.5)]
    assert bench.get(sessionResumptionUpdate={"newHandle": "h", "resumable": True}) == [Resumable("h")]
    assert bench.get(sessionResumptionUpdate={"newHandle": "", "resumable": False}) == []
    assert bench.get(sessionResumptionUpdate={}) == []


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"code": 429}, SessionFault.FULL),
        ({"status": "RESOURCE_EXHAUSTED"}, SessionFault.FULL),
        ({"code": 403, "message": "key secret-1"}, SessionFault.REFUSED),
        ({"code": 500}, SessionFault.SERVER_ERROR),
    ],
)
def test_an_error_of_the_server_ends_the_session_and_is_not_quoted(error, fault):
    (broken,) = ready().get(error=error)
    assert isinstance(broken, Broken)
    assert broken.fault is fault
    assert "secret" not in broken.reason


@pytest.mark.parametrize(
    "frame",
    [
        b"nonsense",
        b"\xff\xfe",
        "[]",
        '{"serverContent":7}',
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/mp3","data":"AAAA"}}]}}}',
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=48000","data":"AAAA"}}]}}}',
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAAA"}}]}}}',
        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"=="}}]}}}',
        '{"goAway":{"timeLeft":"soon"}}',
        json.dumps({"toolCall": {"functionCalls": [{"id": "a", "name": "hangup"}] * (MAX_CALLS + 1)}}),
        " " * (MAX_FRAME_BYTES + 1),
        "[" * 100_000,
    ],
    ids=lambda frame: str(frame)[:70].strip() or "huge",
)
def test_what_is_not_of_the_protocol_ends_the_session(frame):
    bench = ready()
    (broken,) = bench.get_raw(frame)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE
    assert "nonsense" not in broken.reason
    assert bench.content(turnComplete=True) == []


def test_parts_that_it_does_not_know_are_passed_over():
    bench = ready()
    assert bench.get(usageMetadata={"totalTokenCount": 7}, voiceActivity={"x": 1}) == []
    told = bench.content(modelTurn={"role": "model", "parts": [{"text": "thinking", "thought": True}]}, later=1)
    assert told == []


_content = st.fixed_dictionaries(
    {},
    optional={
        "modelTurn": st.just({"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAAAAAA"}}]}),
        "outputTranscription": st.just({"text": " word"}),
        "inputTranscription": st.just({"text": " said"}),
        "interrupted": st.booleans(),
        "generationComplete": st.booleans(),
        "turnComplete": st.booleans(),
    },
)


@given(st.lists(_content | st.sampled_from(["hear", "interrupt"]), max_size=40))
def test_whatever_the_order_a_turn_begins_with_sound_and_ends_once(steps):
    bench = ready()
    speaking = False
    for step in steps:
        if step == "interrupt":
            bench.session.interrupt(0.1)
            speaking = False
            told = bench.drain()
        else:
            told = bench.hear(CHUNK_S, played=(0.0, 0.1)) if step == "hear" else bench.content(**step)
        for effect in told:
            assert not isinstance(effect, Broken)
            if isinstance(effect, Words | TurnOver):
                assert speaking
            if isinstance(effect, Sound | TurnOver):
                speaking = isinstance(effect, Sound)
