"""Telephone calls with a model in the worker: real processes, the real architecture, tiny random weights.

What the model says is noise; that it hears, decides, speaks, is interrupted and survives its worker is the point.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from tests.e2e.processes import API_TOKEN, AUTH_TOKEN, Running, place_call, twowire
from twowire.model_command import model as model_command

SPEECH = Path(__file__).parents[1] / "data" / "jfk_8k_ulaw.wav"
CHUNK_S = 0.4
STARTED = "worker.started"
READY = r'"url": "(http://[^"]+)"'
TOKENS = {"twilio_auth_token": AUTH_TOKEN, "api_token": API_TOKEN}

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    made = CliRunner().invoke(model_command, ["random", str(folder), "--size", "tiny"])
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small nets on a busy machine lose more by waiting for a second thread than they win."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def worker_settings(redis_url: str, model: Path) -> dict[str, str]:
    """A model that speaks a little less often than by itself, so that its turns last long enough to be talked over."""
    return {
        "engine": "audio-interaction",
        "model": str(model),
        "speak_bias": "-0.3",
        "metrics_port": "0",
        "redis_url": redis_url,
        "log_format": "json",
    }


def every_chunk_was_decided(record: dict[str, Any]) -> None:
    """One decision for each 0.4 s of the caller, in order; the last chunk may still have been on its way."""
    indexes = [decision["index"] for decision in record["decisions"]]
    assert indexes == list(range(len(indexes)))
    assert len(indexes) >= record["duration_s"] / CHUNK_S - 2 > 20
    told = [decision["p_speak"] for decision in record["decisions"] if decision["p_speak"] is not None]
    assert len(told) > len(indexes) / 3, "it tells p(speak) of every chunk but those that come while it writes"
    assert all(0 <= p <= 1 for p in told)
    assert len(set(told)) > len(told) / 2


def speech_streamed_back(call: dict[str, Any]) -> None:
    assert call["timeline"]["agent"], "the caller heard it"
    spoken = [turn for turn in call["record"]["turns"] if turn["generated_samples"]]
    assert spoken
    # What is said comes piece by piece, two seconds ahead of the caller's ear: no turn is there before it is due.
    assert all(turn["heard_samples"] <= turn["generated_samples"] <= turn["heard_samples"] + 24_000 for turn in spoken)
    assert {decision["kind"] for decision in call["record"]["decisions"]} == {"listen", "speak"}


def cut_turns(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Turns the caller interrupted, of whose words he heard fewer than were said."""
    interrupted = {turn["turn"] for turn in record["turns"] if turn["end"] == "barged_in"}
    return [
        entry
        for entry in record["transcript"]
        if entry["turn"] in interrupted and len(entry["heard"].split()) < len(entry["text"].split())
    ]


def no_word_is_in_a_log(records: Sequence[dict[str, Any]], *processes: Running) -> None:
    words = {word for record in records for entry in record["transcript"] for word in entry["text"].split()}
    assert words
    for process in processes:
        assert not [word for word in words if len(word) > 4 and word in process.written]


async def test_callers_are_heard_answered_and_let_in(valkey_url: str, model: Path):
    """Three callers, each of whom speaks for eleven seconds whatever the model does meanwhile."""
    plan = ("--play", str(SPEECH), "--hang-up-after", "18")
    async with (
        twowire("worker", **worker_settings(valkey_url, model)) as worker,
        twowire("serve", port="0", redis_url=valkey_url, log_format="json", **TOKENS) as gateway,
    ):
        await worker.until(STARTED)
        url = (await gateway.until(READY)).group(1)
        calls = await asyncio.gather(*(place_call(url, *plan) for _ in range(3)))
        assert await gateway.stop() == 0
        assert await worker.stop() == 0
    for code, call in calls:
        record = call["record"]
        assert (code, call["violations"], record["engine"]) == (0, [], "audio-interaction")
        assert (record["outcome"], record["moves"]) == ("caller_hung_up", [])
        every_chunk_was_decided(record)
        speech_streamed_back(call)
    records = [call["record"] for _, call in calls]
    cut = [entry for record in records for entry in cut_turns(record)]
    assert cut, [record["turns"] for record in records]
    assert all(f"{entry['heard']} {entry['cut']}".split() == entry["text"].split() for entry in cut)
    no_word_is_in_a_log(records, gateway, worker)


async def until_it_speaks(url: str, call: str, least: int) -> None:
    """Return in the middle of something that is said, after so many decisions."""
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as http, asyncio.timeout(20):
        while True:
            async with http.get(f"{url}/api/calls/{call}") as response:
                record: dict[str, Any] = await response.json()
            decisions = record.get("decisions", [])
            if len(decisions) >= least and decisions[-1]["kind"] == "speak":
                return


async def test_a_call_whose_worker_is_killed_goes_on_with_another(valkey_url: str, model: Path):
    settings = worker_settings(valkey_url, model)
    plan = ("--play", str(SPEECH), "--play", str(SPEECH), "--hang-up-after", "20")
    async with (
        twowire("worker", worker_id="one", **settings) as one,
        twowire("worker", worker_id="two", **settings) as two,
        twowire("serve", port="0", redis_url=valkey_url, log_format="json", **TOKENS) as gateway,
    ):
        await one.until(STARTED)
        await two.until(STARTED)
        url = (await gateway.until(READY)).group(1)
        calling = asyncio.create_task(place_call(url, *plan))
        started = await gateway.until(r'"call": "(\w+)".*"worker": "(one|two)".*"event": "call.started"')
        serving, other = (one, two) if started.group(2) == "one" else (two, one)
        await until_it_speaks(url, started.group(1), least=12)
        serving.process.kill()
        code, call = await calling
        assert await gateway.stop() == 0
        assert await other.stop() == 0
    record = call["record"]
    survivor = "two" if started.group(2) == "one" else "one"
    assert (code, record["outcome"], record["worker"]) == (0, "caller_hung_up", survivor)
    assert [move["worker"] for move in record["moves"]] == [survivor]
    every_chunk_was_decided(record)
    speech_streamed_back(call)
    epochs = [decision["epoch"] for decision in record["decisions"]]
    assert epochs == sorted(epochs)
    assert epochs.count(0) >= 12
    assert epochs.count(1) >= 4, "decisions go on after it moved"
    said = [entry["turn"] for entry in record["transcript"] if entry["voice"] == "agent"]
    assert said == sorted(set(said)), "no turn is said twice"
    no_word_is_in_a_log([record], gateway, one, two)
