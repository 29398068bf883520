"""The tiny model decides, a chat model on a real server finds the words: instructions, faults, takeovers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from model_worker.answers.context import WORDS_UNKNOWN
from model_worker.answers.openai_chat import ChatSettings, OpenAiChat
from model_worker.answers.seam import AnswerFault, AnswerPiece, Answers, ChatMessage
from model_worker.dialog.brief import Brief, LineOverlap, LineVoice, Mode, Tools
from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.duplex.audio_interaction.tokens import Emotion
from model_worker.duplex.audio_interaction.words import HINT, Words, cannot
from model_worker.seams import CallSpec, Said, StepInput, StepOutput, TtsError, UnknownAgentError
from model_worker.tts.paced_voice import Rendered
from tests.model_worker.answers.server import KEY, Act, ChatServer, Plan, says, wait_until
from tests.model_worker.answers.server import MODEL as CHAT_MODEL
from tests.model_worker.audio_interaction.fakes import render
from tests.model_worker.audio_interaction.reference import Reference, close
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Voice

INSTRUCTIONS = "You work for Smith Dental."
DESK = Brief(name="desk", engine="audio-interaction", instructions=INSTRUCTIONS, overlap=LineOverlap(duck_db=12.0))
A, B = CallId("call-a"), CallId("call-b")


class Nobody:
    """Writes down what is asked and never answers."""

    @property
    def ready(self) -> bool:
        return False

    def __init__(self) -> None:
        self.asked: dict[CallId, Sequence[ChatMessage]] = {}
        self.cancelled: list[CallId] = []

    def on_ready(self, wake: Callable[[], None]) -> None:
        pass

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        self.asked[call] = messages

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        return []

    def cancel(self, call: CallId) -> None:
        self.cancelled.append(call)

    def close(self) -> None:
        pass


class Clerk(Nobody):
    """Answers at the next poll: with these words, or with a fault; the last stay."""

    def __init__(self, *answers: str | AnswerFault) -> None:
        super().__init__()
        self.questions: list[list[tuple[str, str]]] = []
        self._answers = list(answers)
        self._due: list[AnswerPiece] = []

    @property
    def ready(self) -> bool:
        return bool(self._due)

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        self.questions.append([(message.role, message.content) for message in messages])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        text, fault = ("", answer) if isinstance(answer, AnswerFault) else (answer, None)
        self._due.append(AnswerPiece(call, text, done=True, error=fault))

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        due, self._due = self._due, []
        return due

    def cancel(self, call: CallId) -> None:
        self._due = [piece for piece in self._due if piece.call != call]


POLICY = Policy(sessions=2, capacity=512, speak_bias=30.0, draft_tokens=6, temperature=0)


def engine_of(
    answers: Answers, policy: Policy = POLICY, voice: Callable[[str, Emotion], Rendered] = render
) -> AudioInteractionEngine:
    words = Words(answers, {"desk": DESK})
    return AudioInteractionEngine(Device(MODEL, policy), MODEL.tokenizer, policy, voice, words)


def worked_off(engine: AudioInteractionEngine, *chunks: StepInput) -> list[StepOutput]:
    """All that comes of these chunks without another."""
    outputs = engine.step(chunks)
    while engine.busy:
        outputs += engine.step([])
    return outputs


class Line:
    """The tiny model, whose words come from elsewhere; what it says is collected."""

    def __init__(self, answers: Answers, policy: Policy = POLICY) -> None:
        self.engine = engine_of(answers, policy)
        self.said: dict[CallId, list[str]] = {A: [], B: []}
        self.decided: dict[CallId, int] = {A: 0, B: 0}

    def step(self, *inputs: StepInput) -> None:
        for output in self.engine.step(inputs):
            assert output.fault is None
            self.decided[output.call] += output.decision is not None
            self.said[output.call] += [said.text.strip() for said in output.said]

    def settle(self) -> bool:
        """Whether anybody said anything, once all is done that can be."""
        while self.engine.busy:
            self.step()
        return any(self.said.values())


MODEL = random_model("tiny", seed=0)


def chunk(call: CallId, index: int, seed: int = 0) -> StepInput:
    noise = np.random.default_rng(100 * seed + index).integers(-3_000, 3_000, 6_400).astype(np.int16)
    return StepInput(call, index, noise, (NO_TURN, 0.0))


def question_of(seed: int) -> str:
    """What the chat model is asked after chunk 0 of a caller."""
    nobody = Nobody()
    line = Line(nobody)
    line.engine.open(A, CallSpec("desk"))
    line.step(chunk(A, 0, seed))
    line.settle()
    system, user = nobody.asked[A]
    assert (system.role, system.content) == ("system", INSTRUCTIONS)
    assert user.content.startswith(HINT.partition("{")[0])
    return user.content


@contextmanager
def chat_model() -> Iterator[tuple[ChatServer, OpenAiChat]]:
    with ChatServer() as server:
        answers = OpenAiChat(ChatSettings(base_url=server.base_url, model=CHAT_MODEL, api_key=SecretStr(KEY)))
        try:
            yield server, answers
        finally:
            answers.close()
    assert server.violations == []


def test_a_chat_model_on_a_server_finds_the_words_and_is_told_what_the_business_wants() -> None:
    question = question_of(0)
    with chat_model() as (server, answers):
        server.when(question, says("We are", " open until", " five."))
        line = Line(answers)
        line.engine.open(A, CallSpec("desk"))
        line.step(chunk(A, 0))
        assert wait_until(line.settle)
    assert line.said[A] == ["We are open until five."]
    assert server.requests == [[("system", INSTRUCTIONS), ("user", question)]]


def test_a_server_that_hangs_keeps_one_call_waiting_and_no_other_and_is_left_when_that_ends() -> None:
    hanging, prompt = question_of(0), question_of(1)
    assert hanging != prompt
    with chat_model() as (server, answers):
        server.when(hanging, Plan([Act.GATE]))
        server.when(prompt, says("Yes."))
        line = Line(answers)
        for call in (A, B):
            line.engine.open(call, CallSpec("desk"))
        line.step(chunk(A, 0, 0), chunk(B, 0, 1))
        assert wait_until(line.settle)
        assert (line.said[A], line.said[B]) == ([], ["Yes."])
        for index in range(1, 4):
            line.step(chunk(A, index, 0), chunk(B, index, 1))
            line.settle()
        assert line.decided == {A: 4, B: 4}
        line.engine.close(A)
        assert server.saw("aborted")


def test_the_engine_does_not_ask_for_steps_while_it_waits_for_words() -> None:
    line = Line(Nobody())
    line.engine.open(A, CallSpec("desk"))
    line.step(chunk(A, 0))
    line.settle()
    assert not line.engine.busy


def test_an_agent_without_instructions_is_unknown() -> None:
    with pytest.raises(UnknownAgentError):
        Line(Nobody()).engine.open(A, CallSpec("nobody"))


def test_what_was_said_stands_in_the_context_as_if_the_model_had_said_it() -> None:
    """Decisions after it are those of the model that was given the words by force."""
    said = "We are open until five. Shall I make an appointment for you?"
    policy = replace(POLICY, speak_bias=1.0, capacity=2_048)
    clerk = Clerk(said)
    engine = engine_of(clerk, policy)
    engine.open(A, CallSpec("desk"))
    golden, device = Reference(MODEL, policy.reply_pace, policy.reply_tokens, policy.speak_bias), Device(MODEL, policy)
    tokens = MODEL.tokenizer.encode(said, add_special_tokens=False).ids
    heard: list[float | None] = []
    for index in range(14):
        given = chunk(A, index)
        golden.listen_on(device.encode([(0, given.pcm)])[0])
        if golden.writing:
            golden.force(tokens, golden.first_token())
        outputs = engine.step([given])
        while engine.busy:
            outputs += engine.step([])
        heard += [output.p_speak for output in outputs if output.decision is not None]
    assert len(clerk.questions) >= 2
    assert close(heard, golden.decisions)


def test_where_nobody_answers_the_caller_hears_what_he_would_have_heard_without_asking() -> None:
    policy = replace(POLICY, temperature=0.8, top_k=20, reply_tokens=40)
    refused, alone = Line(Clerk(AnswerFault.REFUSED), policy), Line(Nobody(), replace(policy, draft_tokens=0))
    for line in (refused, alone):
        line.engine.open(A, CallSpec("desk"))
        for index in range(3):
            line.step(chunk(A, index))
            line.settle()
    assert refused.said[A] == alone.said[A] != []


def test_the_chat_model_is_told_what_was_heard_and_what_each_turn_was_an_answer_to() -> None:
    clerk = Clerk("We are open until five.", "Yes.")
    line = Line(clerk)
    line.engine.open(A, CallSpec("desk"))
    for given in (chunk(A, 0), replace(chunk(A, 1), playback_s=(TurnId(1), 0.6))):
        line.step(given)
        line.settle()
    first, second = clerk.questions
    assert second[:-1] == [*first, ("assistant", "We are open")]
    assert second[-1][0] == "user"


def test_a_call_that_comes_from_elsewhere_tells_the_chat_model_what_was_said_there() -> None:
    clerk = Clerk("Yes.")
    line = Line(clerk)
    line.engine.open(A, CallSpec("desk", said=(Said(Voice.AGENT, "We open at nine."),)))
    line.step(chunk(A, 0))
    line.settle()
    assert clerk.questions[0][:3] == [
        ("system", INSTRUCTIONS),
        ("user", WORDS_UNKNOWN),
        ("assistant", "We open at nine."),
    ]


def test_a_call_that_is_heard_again_says_the_words_it_said_and_asks_only_for_new_ones() -> None:
    clerk = Clerk("New words.")
    line = Line(clerk)
    line.engine.open(A, CallSpec("desk", replayed=(Said(Voice.AGENT, "Old words."),)))
    index = 0
    while not clerk.questions:
        line.step(chunk(A, index))
        line.settle()
        index += 1
    assert line.said[A] == ["Old words.", "New words."]


def test_a_voice_that_fails_over_borrowed_words_costs_its_call_alone() -> None:
    def voice(text: str, emotion: Emotion) -> Rendered:
        if "bad" in text:
            raise TtsError("cannot say it")
        return render(text, emotion)

    engine = engine_of(Clerk("A bad word.", "Good."), voice=voice)
    for call in (A, B):
        engine.open(call, CallSpec("desk"))
    outputs = engine.step([chunk(A, 0), chunk(B, 0, 1)])
    while engine.busy:
        outputs += engine.step([])
    assert [output.call for output in outputs if output.fault is not None] == [A]
    assert [said.text for output in outputs for said in output.said] == ["Good."]


def test_a_clause_that_fails_while_chunks_wait_costs_its_call_alone() -> None:
    def voice(text: str, emotion: Emotion) -> Rendered:
        if "bad" in text:
            raise TtsError("cannot say it")
        return render(text, emotion)

    class Slow(Clerk):
        def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
            return [replace(piece, done=False) for piece in super().poll()]

    engine = engine_of(Slow("One two three four five six seven eight nine. A bad word. And so"), voice=voice)
    for call in (A, B):
        engine.open(call, CallSpec("desk"))
    assert not any(output.fault for output in worked_off(engine, chunk(A, 0)))
    heard = replace(chunk(A, 1), playback_s=(TurnId(1), 2.0))
    outputs = worked_off(engine, heard, chunk(B, 0, 1))
    assert [output.call for output in outputs if output.fault is not None] == [A]
    assert DecisionKind.SPEAK in [output.decision for output in outputs if output.call == B]


@pytest.mark.parametrize("judges", [True, False])
def test_the_agent_file_says_how_it_is_talked_over(judges: bool) -> None:
    rules = engine_of(Nobody(), replace(POLICY, judges=judges)).open(A, CallSpec("desk"))
    assert rules == DESK.overlap.rules(model_judges=judges)
    assert rules.duck_db == 12.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mode": Mode.TRANSCRIPTION}, "mode"),
        ({"language": "zh"}, "language"),
        ({"greeting": "Hello."}, "greeting"),
        ({"voice": LineVoice(name="Ann")}, "voice"),
        ({"tools": Tools(hangup=True)}, "tools"),
        ({"on_sound": {"alarm": {"do": "hangup"}}}, "on_sound"),
        ({"language": "en-GB"}, ""),
        ({}, ""),
    ],
)
def test_what_the_engine_does_not_do_of_an_agent_file_is_named(change: dict[str, object], word: str) -> None:
    assert cannot(DESK.model_copy(update=change)).partition(":")[0].partition(" ")[0] == word
