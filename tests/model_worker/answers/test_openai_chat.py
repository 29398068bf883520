"""Answers over real connections: what is asked, what comes back, and what ends on the server when it is dropped."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from pydantic import SecretStr, ValidationError

from model_worker.answers.openai_chat import MAX_FAILURES, PAUSE_S, ChatSettings, OpenAiChat
from model_worker.answers.seam import AnswerFault, AnswerPiece, Answers, ChatMessage, FunctionWanted
from model_worker.breaker import Breaker
from tests.model_worker.answers.server import (
    DONE,
    FIRST,
    KEY,
    LAST,
    MODEL,
    WAIT_S,
    Act,
    ChatServer,
    Plan,
    calls,
    chunk,
    nobody_accepts,
    nobody_listens,
    says,
    wait_until,
    words,
)
from wire.ids import CallId
from wire.logs import configure_logs

ANN, BOB = CallId("ann"), CallId("bob")
BRIEF = ChatMessage("system", "You answer for Miller's bakery.")
SOON_S = 0.2  # of a wait that is meant to run out
NEVER_S = 10 * WAIT_S  # of one that is not: a test fails before
ENDLESS = Plan([FIRST, *words("Well, "), Act.GATE, *words("you see"), Act.GATE])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as chat_server:
        yield chat_server
    assert chat_server.violations == []


@pytest.fixture
def open_chats() -> Iterator[ExitStack]:
    """Closes what ``chat_with`` opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def chat(server: ChatServer, open_chats: ExitStack) -> OpenAiChat:
    return chat_with(open_chats, server.base_url)


def settings(url: str, **changes: object) -> ChatSettings:
    given: dict[str, object] = {
        "base_url": url,
        "model": MODEL,
        "api_key": SecretStr(KEY),
        "connect_timeout_s": NEVER_S,
        "first_token_timeout_s": NEVER_S,
        "between_tokens_timeout_s": NEVER_S,
    }
    return ChatSettings.model_validate(given | changes)


def chat_with(stack: ExitStack, base_url: str, clock: Clock | None = None, **changes: object) -> OpenAiChat:
    return stack.enter_context(
        closing(OpenAiChat(settings(base_url, **changes), clock or Clock(), chance=lambda: 0.0)),
    )


def ask(chat: Answers, call: CallId, question: str) -> None:
    chat.ask(call, [BRIEF, ChatMessage("user", question)])


def hear(chat: Answers, *calls: CallId) -> dict[CallId, tuple[str, AnswerFault | None]]:
    """What became of the answers of these calls."""
    texts, ends = dict.fromkeys(calls, ""), dict[CallId, AnswerFault | None]()
    until = time.monotonic() + WAIT_S
    while len(ends) < len(calls):
        assert time.monotonic() < until, f"no answer for {set(calls) - ends.keys()}"
        for piece in chat.poll(WAIT_S):
            assert piece.call not in ends, "a piece after the last"
            texts[piece.call] += piece.text
            if piece.done:
                ends[piece.call] = piece.error
    return {call: (texts[call], ends[call]) for call in calls}


def answer(chat: Answers, question: str) -> tuple[str, AnswerFault | None]:
    ask(chat, ANN, question)
    return hear(chat, ANN)[ANN]


def first_words(chat: Answers) -> list[AnswerPiece]:
    until = time.monotonic() + WAIT_S
    while not (pieces := chat.poll(WAIT_S)):
        assert time.monotonic() < until
    return pieces


def test_an_answer_arrives_as_it_is_generated(server: ChatServer, chat: OpenAiChat):
    plan = server.when("hi", Plan([FIRST, *words("Good "), Act.GATE, *words("morning."), Act.GATE, LAST, DONE]))
    ask(chat, ANN, "hi")
    assert first_words(chat) == [AnswerPiece(ANN, "Good ")]
    server.release(plan)
    assert first_words(chat) == [AnswerPiece(ANN, "morning.")]
    server.release(plan)
    assert first_words(chat) == [AnswerPiece(ANN, "", done=True)]
    assert chat.poll(WAIT_S) == []


def test_all_messages_are_sent_in_their_order(server: ChatServer, chat: OpenAiChat):
    server.when("rye?", says("Yes."))
    messages = [
        BRIEF,
        ChatMessage("user", "hi"),
        ChatMessage("assistant", 'Oui, "José" 🥐\n'),
        ChatMessage("user", "rye?"),
    ]
    chat.ask(ANN, messages)
    assert hear(chat, ANN) == {ANN: ("Yes.", None)}
    assert server.requests == [[(message.role, message.content) for message in messages]]


def test_a_function_that_is_called_comes_with_the_last_piece(server: ChatServer, chat: OpenAiChat):
    server.when("bye", calls("hangup", "{}", "Goodbye."))
    hangup = {"name": "hangup", "description": "End the call.", "parameters": {"type": "object", "properties": {}}}
    chat.ask(ANN, [BRIEF, ChatMessage("user", "bye")], [hangup])
    pieces: list[AnswerPiece] = []
    while not pieces or not pieces[-1].done:
        pieces += first_words(chat)
    assert "".join(piece.text for piece in pieces) == "Goodbye."
    assert [piece.functions for piece in pieces if piece.functions] == [(FunctionWanted("hangup", "{}"),)]
    assert pieces[-1].functions
    assert server.functions == [["hangup"]]


def test_without_a_key_none_is_sent(open_chats: ExitStack):
    with ChatServer(key=None) as server:
        server.when("hi", says("Hello."))
        assert answer(chat_with(open_chats, server.base_url, api_key=None), "hi") == ("Hello.", None)
        assert server.violations == []


def test_a_connection_serves_the_next_answer_too(server: ChatServer, open_chats: ExitStack):
    chat = chat_with(open_chats, server.base_url, concurrency=1)  # so that the first is read to its end
    server.when("hi", says("Hello."))
    assert [answer(chat, "hi") for _ in range(3)] == [("Hello.", None)] * 3
    assert len(server.peers) == 1


def test_answers_of_many_calls_at_once_are_told_apart(server: ChatServer, chat: OpenAiChat):
    calls = [CallId(f"call-{number}") for number in range(50)]
    for call in calls:
        server.when(call, says("Hello ", call))
        ask(chat, call, call)
    assert hear(chat, *calls) == {call: (f"Hello {call}", None) for call in calls}


def test_cancel_stops_the_generation(server: ChatServer, chat: OpenAiChat):
    server.when("hi", ENDLESS)
    ask(chat, ANN, "hi")
    assert first_words(chat) == [AnswerPiece(ANN, "Well, ")]
    chat.cancel(ANN)
    assert server.saw("aborted")
    assert chat.poll(WAIT_S) == []


@pytest.mark.parametrize("plan", [Plan([Act.GATE]), Plan([], before=Act.GATE)], ids=["no words", "no status"])
def test_cancel_before_the_first_word_stops_the_generation(server: ChatServer, chat: OpenAiChat, plan: Plan):
    server.when("hi", plan)
    ask(chat, ANN, "hi")
    assert server.saw("asked")
    chat.cancel(ANN)
    assert server.saw("aborted")


def test_cancel_of_a_call_without_an_answer_is_ignored(server: ChatServer, chat: OpenAiChat):
    server.when("hi", says("Hello."))
    chat.cancel(ANN)
    assert answer(chat, "hi") == ("Hello.", None)
    chat.cancel(ANN)
    assert answer(chat, "hi") == ("Hello.", None)


def test_a_new_question_stops_the_answer_before(server: ChatServer, chat: OpenAiChat):
    server.when("hi", ENDLESS)
    server.when("rye?", says("Yes."))
    ask(chat, ANN, "hi")
    assert wait_until(lambda: not chat._pieces.empty())  # its words are there, and nobody has polled them
    ask(chat, ANN, "rye?")
    assert hear(chat, ANN) == {ANN: ("Yes.", None)}
    assert server.saw("aborted")


def test_words_of_a_dropped_answer_never_appear_beside_those_of_others(server: ChatServer, chat: OpenAiChat):
    server.when("hi", ENDLESS)
    server.when("rye?", says("Yes."))
    ask(chat, ANN, "hi")
    assert wait_until(lambda: not chat._pieces.empty())
    chat.cancel(ANN)
    ask(chat, BOB, "rye?")
    assert hear(chat, BOB) == {BOB: ("Yes.", None)}  # it fails on a call that it does not know


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (Plan([], status=401), AnswerFault.REFUSED),
        (Plan([], status=403), AnswerFault.REFUSED),
        (Plan([], status=429), AnswerFault.OVERLOADED),
        (Plan([], status=503), AnswerFault.OVERLOADED),
        (Plan([], status=502), AnswerFault.UNREACHABLE),
        (Plan([], status=307, location="/v1/elsewhere"), AnswerFault.BAD_REPLY),
        (Plan([], status=400), AnswerFault.BAD_REPLY),
        (Plan([], status=500), AnswerFault.BAD_REPLY),
        (Plan([b"<html>"], content_type="text/html"), AnswerFault.BAD_REPLY),
        (Plan([b'{"choices": []}'], content_type="application/json"), AnswerFault.BAD_REPLY),
        (Plan([b"<html>\n"]), AnswerFault.BAD_REPLY),
        (Plan([b"data: {not json\n\n", Act.GATE]), AnswerFault.BAD_REPLY),
        (Plan([b"data: " + b"x" * 200_000, Act.GATE]), AnswerFault.BAD_REPLY),
        (Plan([FIRST, LAST, DONE]), AnswerFault.BAD_REPLY),
        (Plan([FIRST, *words(" \n"), LAST, DONE]), AnswerFault.BAD_REPLY),
        (Plan([b'data: {"error": {"code": 503}}\n\n']), AnswerFault.OVERLOADED),
        (Plan([FIRST]), AnswerFault.CUT),
        (Plan([FIRST, chunk({"content": "Well"})[:-9], Act.CUT]), AnswerFault.CUT),
        (Plan([FIRST, Act.RESET]), AnswerFault.CUT),
    ],
)
def test_every_misbehaviour_has_its_fault_and_the_next_answer_comes(
    server: ChatServer, chat: OpenAiChat, plan: Plan, fault: AnswerFault
):
    server.when("hi", plan, says("Hello."))
    assert answer(chat, "hi")[1] is fault
    assert answer(chat, "hi") == ("Hello.", None)
    assert server.count("asked") == 2


def test_words_before_a_cut_were_delivered(server: ChatServer, chat: OpenAiChat):
    plan = server.when("hi", Plan([FIRST, *words("Well, "), Act.GATE, b'data: {"cho', Act.CUT]))
    ask(chat, ANN, "hi")
    assert first_words(chat) == [AnswerPiece(ANN, "Well, ")]
    server.release(plan)
    assert hear(chat, ANN) == {ANN: ("", AnswerFault.CUT)}


def test_a_reply_without_done_is_whole(server: ChatServer, chat: OpenAiChat):
    server.when("hi", Plan([FIRST, *words("Hello."), LAST]))
    assert answer(chat, "hi") == ("Hello.", None)


def test_a_broken_connection_is_tried_once_more(server: ChatServer, chat: OpenAiChat):
    server.when("hi", Plan([], before=Act.RESET), says("Hello."))
    assert answer(chat, "hi") == ("Hello.", None)


def test_a_server_that_breaks_every_connection_is_unreachable(server: ChatServer, chat: OpenAiChat):
    server.when("hi", Plan([], before=Act.RESET))
    assert answer(chat, "hi") == ("", AnswerFault.UNREACHABLE)
    assert server.count("asked") == 2


def test_a_server_that_is_not_there_is_unreachable(open_chats: ExitStack):
    with nobody_listens() as base_url:
        assert answer(chat_with(open_chats, base_url), "hi") == ("", AnswerFault.UNREACHABLE)


def test_a_server_that_does_not_accept_is_unreachable(open_chats: ExitStack):
    with nobody_accepts() as base_url:
        chat = chat_with(open_chats, base_url, connect_timeout_s=SOON_S)
        assert answer(chat, "hi") == ("", AnswerFault.UNREACHABLE)


@pytest.mark.parametrize(
    "plan",
    [Plan([FIRST, Act.GATE]), Plan([], before=Act.GATE), Plan([FIRST, Act.PING])],
    ids=["no words", "no status", "comments only"],
)
def test_a_first_word_that_does_not_come_is_not_waited_for(server: ChatServer, open_chats: ExitStack, plan: Plan):
    chat = chat_with(open_chats, server.base_url, first_token_timeout_s=SOON_S)
    server.when("hi", plan)
    assert answer(chat, "hi") == ("", AnswerFault.TOO_SLOW)
    assert server.saw("aborted", server.count("asked"))


def test_a_stall_in_the_middle_ends_the_answer(server: ChatServer, open_chats: ExitStack):
    chat = chat_with(open_chats, server.base_url, between_tokens_timeout_s=SOON_S)
    server.when("hi", ENDLESS)
    assert answer(chat, "hi") == ("Well, ", AnswerFault.TOO_SLOW)
    assert server.saw("aborted")


def test_the_faults_of_one_caller_are_not_anothers(server: ChatServer, chat: OpenAiChat):
    slow = server.when("bob", Plan([FIRST, *words("One, "), Act.GATE, *words("two."), LAST, DONE]))
    ask(chat, BOB, "bob")
    assert first_words(chat) == [AnswerPiece(BOB, "One, ")]
    broken = [Plan([], status=500), Plan([b"<html>\n"]), Plan([FIRST, Act.RESET]), says("Hello.")]
    server.when("ann", *broken)
    assert [answer(chat, "ann")[1] is None for _ in broken] == [False, False, False, True]
    server.release(slow)
    assert hear(chat, BOB) == {BOB: ("two.", None)}


def test_no_more_answers_are_under_way_than_set(server: ChatServer, open_chats: ExitStack):
    chat = chat_with(open_chats, server.base_url, concurrency=2)
    plan = server.when("hi", Plan([FIRST, Act.GATE, *words("Hello."), LAST, DONE]))
    calls = [CallId(f"call-{number}") for number in range(6)]
    for call in calls:
        ask(chat, call, "hi")
    assert server.saw("at gate", 2)
    chat.cancel(calls[0])  # frees its place
    assert server.saw("at gate", 3)
    chat.cancel(calls[5])  # which has none yet
    for _ in calls:
        server.release(plan)
    assert hear(chat, *calls[1:5]) == dict.fromkeys(calls[1:5], ("Hello.", None))
    assert server.most_at_once <= 2 + server.count("aborted")  # it learns of an abort a moment after us
    assert server.count("asked") == 5


def test_an_answer_that_finds_no_place_in_time_is_told_so(server: ChatServer, open_chats: ExitStack):
    chat = chat_with(open_chats, server.base_url, concurrency=1, first_token_timeout_s=2.0)
    server.when("hi", ENDLESS)
    ask(chat, ANN, "hi")
    assert first_words(chat) == [AnswerPiece(ANN, "Well, ")]
    ask(chat, BOB, "hi")
    assert hear(chat, BOB) == {BOB: ("", AnswerFault.OVERLOADED)}
    assert server.count("asked") == 1


def test_a_server_that_fails_every_answer_is_left_alone_for_a_while(server: ChatServer, open_chats: ExitStack):
    clock = Clock()
    chat = chat_with(open_chats, server.base_url, clock)
    server.when("hi", *[Plan([], status=503)] * (MAX_FAILURES + 1), says("Hello."))
    overloaded = ("", AnswerFault.OVERLOADED)
    assert [answer(chat, "hi") for _ in range(MAX_FAILURES + 3)] == [overloaded] * (MAX_FAILURES + 3)
    assert server.count("asked") == MAX_FAILURES
    clock.now += PAUSE_S
    assert [answer(chat, "hi") for _ in range(3)] == [overloaded] * 3
    assert server.count("asked") == MAX_FAILURES + 1, "one is tried after the pause"
    clock.now += PAUSE_S
    assert [answer(chat, "hi") for _ in range(3)] == [("Hello.", None)] * 3


@pytest.mark.parametrize("plan", [Plan([], status=400), Plan([b'data: {"error": {"code": 400}}\n\n'])])
def test_requests_that_are_wrong_themselves_do_not_pause_the_others(server: ChatServer, chat: OpenAiChat, plan: Plan):
    server.when("too long", plan)
    server.when("hi", says("Hello."))
    assert [answer(chat, "too long")[1] for _ in range(2 * MAX_FAILURES)] == [AnswerFault.BAD_REPLY] * 2 * MAX_FAILURES
    assert answer(chat, "hi") == ("Hello.", None)


def test_failures_that_are_not_in_a_row_make_no_pause():
    breaker = Breaker[AnswerFault](2, 10.0, Clock())
    for _ in range(3):
        assert not breaker.failed(AnswerFault.CUT)
        assert breaker.refuses() is None
        assert not breaker.succeeded()


def test_a_trial_that_is_never_heard_of_makes_room_for_another():
    clock = Clock()
    breaker = Breaker[AnswerFault](1, 10.0, clock)
    assert breaker.failed(AnswerFault.CUT)
    assert breaker.refuses() is AnswerFault.CUT
    clock.now += 10.0
    assert breaker.refuses() is None
    assert breaker.refuses() is AnswerFault.CUT
    clock.now += 10.0
    assert breaker.refuses() is None
    assert breaker.succeeded()
    assert breaker.refuses() is None


def test_poll_waits_no_longer_than_it_is_told(server: ChatServer, chat: OpenAiChat):
    server.when("hi", Plan([FIRST, Act.GATE]))
    ask(chat, ANN, "hi")
    assert server.saw("at gate")
    started = time.monotonic()
    assert chat.poll() == []
    assert chat.poll(0.05) == []
    assert 0.05 <= time.monotonic() - started < WAIT_S / 2


def test_poll_does_not_wait_when_nothing_was_asked(chat: OpenAiChat):
    started = time.monotonic()
    assert chat.poll(WAIT_S) == []
    assert time.monotonic() - started < WAIT_S / 2


def test_close_stops_every_generation_and_its_thread(server: ChatServer):
    before = set(threading.enumerate())
    chat = OpenAiChat(settings(server.base_url))
    server.when("hi", ENDLESS)
    ask(chat, ANN, "hi")
    ask(chat, BOB, "hi")
    assert server.saw("at gate", 2)
    chat.close()
    assert server.saw("aborted", 2)
    assert set(threading.enumerate()) <= before
    chat.cancel(ANN)
    assert chat.poll(WAIT_S) == []
    chat.close()


def test_close_right_away_is_fine():
    OpenAiChat(settings("http://127.0.0.1:9/v1")).close()


def test_neither_key_nor_words_are_logged(
    server: ChatServer, open_chats: ExitStack, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    configure_logs("debug", "json")
    caplog.set_level("DEBUG")
    chat = chat_with(open_chats, server.base_url)
    echo = f"data: Bearer {KEY} my secret question, my secret answer\n\n".encode()
    plans = [Plan([echo], status=401), Plan([echo]), Plan([*words("my secret answer"), echo]), Plan([], status=500)]
    server.when("my secret question", *plans, Plan([], before=Act.RESET))
    assert all(answer(chat, "my secret question")[1] for _ in range(MAX_FAILURES))
    logged = "".join(capfd.readouterr()) + caplog.text
    assert logged.count('"answer.failed"') == MAX_FAILURES
    assert logged.count('"answers.paused"') == 1
    assert KEY not in logged
    assert "secret" not in logged
    assert KEY not in repr(settings(server.base_url)) + str(vars(chat))


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "ftp://host/v1"},
        {"base_url": f"http://user:{KEY}@host/v1"},
        {"base_url": f"http://host/v1?key={KEY}"},
        {"api_key": f"{KEY}\nX-Other: 1"},
        {"api_key": f"{KEY}é"},
        {"model": ""},
        {"max_tokens": 0},
        {"concurrency": 0},
        {"first_token_timeout_s": 0},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused_without_telling_the_key(wrong: dict[str, object]):
    with pytest.raises(ValidationError) as refused:
        settings("http://host/v1", **wrong)
    assert KEY not in str(refused.value)


def test_an_empty_key_is_none_and_a_slash_at_the_end_does_not_matter():
    plain = settings("http://host/v1/", api_key="")
    assert (plain.base_url, plain.api_key) == ("http://host/v1", None)
