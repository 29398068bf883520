"""Our chat client against the real vLLM: an answer streams, and one that is dropped is generated no further."""

from collections.abc import Iterator

import pytest

from model_worker.answers.openai_chat import ChatSettings, OpenAiChat
from model_worker.answers.seam import AnswerPiece, ChatMessage
from tests.vllm.chat_model import CONTEXT_TOKENS
from tests.vllm.server import MODEL, VllmServer
from wire.ids import CallId

pytestmark = pytest.mark.vllm

CALL = CallId("call-1")
QUESTION = (
    ChatMessage("system", "You are the voice of a hotel. " * 20),
    ChatMessage("user", "Which room would you like?"),
)
LONG = CONTEXT_TOKENS - 500  # many seconds of generation, and room for the question


@pytest.fixture
def chats(chat_server: VllmServer) -> Iterator["Chats"]:
    made = Chats(chat_server)
    yield made
    made.close()


class Chats:
    """Clients of one server; ended after the test."""

    def __init__(self, server: VllmServer) -> None:
        self._server = server
        self._made: list[OpenAiChat] = []

    def client(self, max_tokens: int) -> OpenAiChat:
        settings = ChatSettings(
            base_url=self._server.url,
            model=MODEL,
            max_tokens=max_tokens,
            connect_timeout_s=30.0,
            first_token_timeout_s=60.0,
            between_tokens_timeout_s=60.0,
        )
        self._made.append(OpenAiChat(settings))
        return self._made[-1]

    def close(self) -> None:
        for client in self._made:
            client.close()


def pieces_until(client: OpenAiChat, pieces: int) -> list[AnswerPiece]:
    """So many pieces of an answer, or all of a shorter one."""
    got: list[AnswerPiece] = []
    while len(got) < pieces:
        got += client.poll(60.0)
        assert got, "no piece of an answer within a minute"
        if got[-1].done:
            break
    return got


def test_an_answer_streams_from_vllm(chats: Chats, chat_server: VllmServer):
    before = chat_server.figure("generation_tokens_total")
    client = chats.client(max_tokens=40)
    client.ask(CALL, QUESTION)
    pieces = pieces_until(client, 1_000)
    assert pieces[-1].done
    assert pieces[-1].error is None
    assert len([piece for piece in pieces if piece.text]) > 3, "words arrive one by one, not as a lump"
    assert "".join(piece.text for piece in pieces).strip()
    chat_server.await_figure("generation_tokens_total", lambda tokens: tokens == before + 40)


def test_an_answer_that_is_dropped_is_generated_no_further(chats: Chats, chat_server: VllmServer):
    """Seen from vLLM's side: nothing runs any more, and most of the answer was never made."""
    before = chat_server.figure("generation_tokens_total")
    client = chats.client(max_tokens=LONG)
    client.ask(CALL, QUESTION)
    assert not pieces_until(client, 3)[-1].done
    chat_server.await_figure("num_requests_running", lambda running: running == 1)
    client.cancel(CALL)
    chat_server.await_figure("num_requests_running", lambda running: running == 0)
    made = chat_server.figure("generation_tokens_total") - before
    assert 3 <= made < LONG / 2
    client.ask(CALL, QUESTION)  # and the server goes on serving
    assert pieces_until(client, 3)[-1].error is None


def test_the_beginning_of_a_conversation_is_read_once(chats: Chats, chat_server: VllmServer):
    """What the agent is told stands first in every question of a line, so that vLLM has its keys."""
    client = chats.client(max_tokens=2)
    client.ask(CALL, QUESTION)
    pieces_until(client, 100)
    hits = chat_server.figure("prefix_cache_hits_total")
    client.ask(CALL, (*QUESTION[:1], ChatMessage("user", "How many nights?")))
    pieces_until(client, 100)
    assert chat_server.await_figure("prefix_cache_hits_total", lambda now: now > hits) - hits >= 128
