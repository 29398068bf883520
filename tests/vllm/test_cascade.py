"""A telephone call with a cascade whose chat model is on the real vLLM: it is answered, and a barge-in ends the answer.

Gateway, worker and bus are processes, the voice is espeak-ng. The recognizer is a server of ours: vLLM has one for
models of gigabytes only.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.processes import API_TOKEN, AUTH_TOKEN, place_call, twowire
from tests.peers.base import KEY
from tests.peers.transcription import MODEL as EAR_MODEL
from tests.peers.transcription import VllmEar
from tests.vllm.chat_model import CONTEXT_TOKENS
from tests.vllm.server import MODEL, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.redis]

LONG = CONTEXT_TOKENS - 4_000  # half a minute of generation and more, and room for the questions
READY = r'"url": "(http://[^"]+)"'
AGENT = {"name": "desk", "engine": "cascade", "instructions": "You are the voice of a hotel."}


@dataclass(frozen=True)
class Look:
    """What vLLM says of itself at a moment."""

    at_unix_s: float
    running: float
    generated: float


@contextmanager
def watched(server: VllmServer) -> Iterator[list[Look]]:
    """Look at the server's figures as often as it tells them."""
    looks: list[Look] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            running, generated = server.figure("num_requests_running"), server.figure("generation_tokens_total")
            looks.append(Look(time.time(), running, generated))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


async def test_a_barge_in_stops_the_generation_on_the_server(valkey_url: str, chat_server: VllmServer, tmp_path: Path):
    (tmp_path / "desk.yaml").write_text(yaml.safe_dump(AGENT))
    (tmp_path / "key").write_text(KEY)
    with VllmEar() as ear, watched(chat_server) as looks:
        worker_settings = {
            "engine": "cascade",
            "agents_dir": str(tmp_path),
            "recognizer_url": ear.url,
            "recognizer_model": EAR_MODEL,
            "recognizer_key_file": str(tmp_path / "key"),
            "answers_url": chat_server.url,
            "answers_model": MODEL,
            "answers_max_tokens": str(LONG),
            "metrics_port": "0",
            "redis_url": valkey_url,
            "log_format": "json",
        }
        gateway_settings = {
            "agent": "desk",
            "twilio_auth_token": AUTH_TOKEN,
            "api_token": API_TOKEN,
            "redis_url": valkey_url,
            "log_format": "json",
        }
        async with (
            twowire("worker", **worker_settings) as worker,
            twowire("serve", port="0", **gateway_settings) as gateway,
        ):
            await worker.until("worker.started")
            url = (await gateway.until(READY)).group(1)
            plan = ("--say", "I would like a table for two", "--say", "please stop, I want to ask you something")
            code, call = await place_call(url, *plan, "--barge-in-at", "1.5", "--hang-up-after", "25")
            assert await gateway.stop() == 0
            assert await worker.stop() == 0
        assert ear.faults == []
    record = call["record"]
    assert (code, call["violations"], record["engine"]) == (0, [], "cascade"), call
    first, second = record["turns"][:2]
    assert first["end"] == "barged_in"
    said = [entry for entry in record["transcript"] if entry["turn"] == first["turn"]]
    assert said[0]["cut"], "the caller did not hear all of it"

    def between(start_s: float, end_s: float) -> list[Look]:
        began = record["started_unix_s"]
        return [look for look in looks if start_s < look.at_unix_s - began < end_s]

    spoken = between(first["opened_at_s"], first["ended_at_s"])
    assert {look.running for look in spoken[:-1]} == {1.0}, "it writes on while it is heard"
    stopped = [look for look in between(first["ended_at_s"], second["opened_at_s"]) if look.running == 0]
    assert stopped, "nothing is generated for a caller who does not want to hear it"
    assert stopped[0].generated - looks[0].generated < LONG / 2
    chat_server.await_figure("num_requests_running", lambda now: now == 0)  # and nothing after the call
