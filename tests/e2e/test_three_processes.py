"""A gateway and two workers over a real Valkey: twenty calls at once, every decision accounted for."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.processes import API_TOKEN, AUTH_TOKEN, twowire
from tests.gateway.live import Phone

pytestmark = [pytest.mark.redis, pytest.mark.slow]

CALLS = 20
CHUNKS = 25
QUIET_CHUNK = b"\xff" * 3_200
MARKED_CHUNK = b"\xff" * 3_040 + b"\x80" * 160  # the scripted engine answers a loud last frame at once


async def call(phone: Phone) -> dict[str, Any]:
    """Ten seconds of a caller, answered in the middle; returns the record."""
    await phone.dial()
    await phone.speak(QUIET_CHUNK)
    await decisions(phone, 1)
    await phone.speak(QUIET_CHUNK * 9 + MARKED_CHUNK)
    await phone.hear("media")
    await phone.speak(QUIET_CHUNK * (CHUNKS - 11))
    record = await decisions(phone, CHUNKS)
    await phone.send("stop", stop={})
    return record


async def decisions(phone: Phone, count: int) -> dict[str, Any]:
    """The record once it holds that many decisions."""
    async with asyncio.timeout(20):
        while len((record := await phone.record()).get("decisions", [])) < count:
            pass
    return record


async def test_twenty_calls_over_two_workers_are_answered_and_every_chunk_is_decided(valkey_url: str, tmp_path: Path):
    log = tmp_path / "decisions.jsonl"
    shared = {"redis_url": valkey_url, "log_format": "json"}
    tokens = {"twilio_auth_token": AUTH_TOKEN, "api_token": API_TOKEN}
    async with (
        twowire("worker", engine="scripted", slots="12", metrics_port="0", **shared) as first,
        twowire("worker", engine="scripted", slots="12", metrics_port="0", **shared) as second,
        twowire("serve", port="0", decision_log=str(log), **shared, **tokens) as gateway,
    ):
        await first.until("worker.started")
        await second.until("worker.started")
        url = (await gateway.until(r'"url": "(http://[^"]+)"')).group(1)
        async with aiohttp.ClientSession() as http:
            phones = [Phone(http, url, f"CA{n:032x}") for n in range(CALLS)]
            records = await asyncio.gather(*(call(phone) for phone in phones))
        assert await gateway.stop() == 0
        assert await first.stop() == 0
        assert await second.stop() == 0

    assert len({record["worker"] for record in records}) == 2
    decided = defaultdict(list)
    for line in log.read_text().splitlines():
        decision = json.loads(line)
        decided[decision["call"]].append(decision["index"])
    assert dict(decided) == {phone.call_sid: list(range(CHUNKS)) for phone in phones}
    assert all(record["turns"] or record["state"] == "live" for record in records)


async def test_a_wrong_setting_is_named_with_its_remedy():
    async with twowire("serve") as gateway:
        await gateway.until("TWOWIRE_TWILIO_AUTH_TOKEN: set it in the environment")
        assert await gateway.ended() == 1
    async with twowire("worker", redis_url="redis://127.0.0.1:1/0", engine="scripted", metrics_port="0") as worker:
        await worker.until("set TWOWIRE_REDIS_URL")
        assert await worker.ended() == 1
    async with twowire("worker", engine="oracle") as worker:
        await worker.until("TWOWIRE_ENGINE: no engine 'oracle'; choose one of")
        assert await worker.ended() == 1
