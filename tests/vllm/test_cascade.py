"""A cascade whose chat model is on the real vLLM: it is answered and spoken, and a barge-in ends the generation.

The voice is espeak-ng; the recognizer is a server of ours: vLLM has one for models of gigabytes only. Media time is the
chunks, so that a machine that is short of cores changes nothing.
"""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from model_worker.answers.openai_chat import ChatSettings, OpenAiChat
from model_worker.dialog.brief import Brief
from model_worker.duplex.cascade.build import build
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Pcm
from model_worker.tts.espeak import EspeakTts
from model_worker.vad.silero import SileroVad
from tests.engines.conformance.line import Host
from tests.engines.subject import Subject, line_noise, speaker
from tests.peers.base import KEY
from tests.peers.cascade import CascadePeer
from tests.peers.transcription import MODEL as EAR_MODEL
from tests.peers.transcription import SENTENCES, VllmEar
from tests.vllm.chat_model import CONTEXT_TOKENS
from tests.vllm.server import MODEL, VllmServer

pytestmark = pytest.mark.vllm

LINE = Brief(name="desk", engine="cascade", instructions="You are the voice of a hotel.")
LONG = CONTEXT_TOKENS - 4_000  # half a minute of generation, and room for the questions
SPOKEN, EVERY = 5, 120  # chunks: two seconds of speech, and then silence, which here goes by quickly


def caller(index: int, samples: int) -> Pcm:
    within = index % EVERY
    return speaker(within, samples) if within < SPOKEN else line_noise(index, samples)


@pytest.fixture
def ear() -> Iterator[VllmEar]:
    with VllmEar() as ear:
        yield ear
    assert ear.faults == []


@pytest.fixture
def host(ear: VllmEar, chat_server: VllmServer) -> Iterator[Host]:
    chat = ChatSettings(
        base_url=chat_server.url,
        model=MODEL,
        max_tokens=LONG,
        connect_timeout_s=30.0,
        first_token_timeout_s=60.0,
        between_tokens_timeout_s=60.0,
    )
    engine, shutdown = build(
        {LINE.name: LINE},
        recognizer=PartSettings(url=ear.url, model=EAR_MODEL, key=SecretStr(KEY)),
        answers=OpenAiChat(chat),
        voice=None,
        links=WebSocketLinks(),
        vad=SileroVad,
        local_voice=EspeakTts,
    )
    yield Host(Subject("cascade", CascadePeer, lambda url, briefs: (engine, shutdown), LINE, caller), engine)
    shutdown()


def test_a_barge_in_ends_the_generation_on_the_server(host: Host, chat_server: VllmServer) -> None:
    made = chat_server.figure("generation_tokens_total")
    call = host.call()
    assert host.until(lambda: 1 in call.turns and call.playing[1] >= 1.0)
    chat_server.await_figure("num_requests_running", lambda now: now == 1)  # it writes on while it is heard
    call.stop()
    chat_server.await_figure("num_requests_running", lambda now: now == 0)
    assert chat_server.figure("generation_tokens_total") - made < LONG / 2
    (heard,) = [entry for entry in host.engine.history(call.call) if entry["voice"] == "agent"]
    assert heard["cut"] is True

    assert host.until(lambda: 2 in call.turns and call.playing[1] >= 0.5), "the next question is answered"
    assert [entry["text"] for entry in host.engine.history(call.call) if entry["voice"] == "caller"] == [*SENTENCES[:2]]
    assert call.stale == 0
    assert call.fault is None
    host.hang_up(call)
    chat_server.await_figure("num_requests_running", lambda now: now == 0)
