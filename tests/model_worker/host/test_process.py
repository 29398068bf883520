"""``python -m model_worker`` as a process of its own, over a real server."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.model_worker.host.fakes import Caller
from wire.bus.embedded import EmbeddedValkey
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import Lease, Placement
from wire.ids import CallId, GatewayId
from wire.messages import AnyMessage, Decision

LIMIT_S = 20.0


@pytest.fixture
def empty_valkey_url() -> Iterator[str]:
    """A server on which no other test's worker offers slots."""
    with EmbeddedValkey() as server:
        yield server.url


@asynccontextmanager
async def worker_process(redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TWOWIRE_")},
        "TWOWIRE_REDIS_URL": redis_url,
        "TWOWIRE_ENGINE": "scripted",
        "TWOWIRE_METRICS_PORT": "0",
        "TWOWIRE_DRAIN_LIMIT_S": "1",
        "TWOWIRE_WORKER_ID": "process-test-worker",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "model_worker", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def first_lease(placement: Placement, process: asyncio.subprocess.Process, call: CallId) -> Lease:
    """The lease, once the worker offers slots; its log lines are what tells that it may."""
    assert process.stderr is not None, "piped"
    while line := await process.stderr.readline():
        if b"worker.started" in line:
            lease = await placement.lease(call, 30.0)
            assert lease is not None
            return lease
    raise AssertionError("the worker ended before it offered a slot")


@pytest.mark.redis
async def test_a_worker_process_serves_a_call_and_ends_well_when_told(empty_valkey_url: str) -> None:
    me = GatewayId("process-test-gateway")
    parts = open_redis(empty_valkey_url, me, Side.GATEWAY)
    arrived: asyncio.Queue[AnyMessage] = asyncio.Queue()
    await parts.bus.start(lambda message, _lag_s: arrived.put_nowait(message))
    async with asyncio.timeout(LIMIT_S), worker_process(empty_valkey_url) as process:
        caller = Caller("process-test-call")
        lease = await first_lease(parts.placement, process, caller.call)
        parts.bus.send(lease.worker, caller.opens("any", me))
        for _ in range(5):
            parts.bus.send(lease.worker, caller.speaks())
        decisions: list[int] = []
        while len(decisions) < 5:
            if isinstance(message := await arrived.get(), Decision):
                decisions.append(message.index)
        assert decisions == [0, 1, 2, 3, 4]
        parts.bus.send(lease.worker, caller.closes())
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
        assert process.returncode == 0, log.decode()
        assert b"worker.stopped" in log
        assert await parts.placement.lease(CallId("process-test-late"), 30.0) is None
    await parts.bus.close()


async def test_without_a_bus_the_worker_says_which_setting_to_look_at() -> None:
    async with asyncio.timeout(LIMIT_S), worker_process("redis://127.0.0.1:1/0") as process:
        _, log = await process.communicate()
    assert process.returncode == 1
    assert b"TWOWIRE_REDIS_URL" in log
    assert b"Traceback" not in log
