"""The worker as it is run: over the in-process bus, with its HTTP port, until it is told to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from model_worker.app import run_worker, serving
from model_worker.config import WorkerConfig, load_worker_config
from tests.model_worker.host.fakes import GATEWAY, Caller
from wire.bus.local import LocalHub
from wire.bus.seam import Wish
from wire.ids import CallId
from wire.messages import AnyMessage, Decision
from wire.settings import ConfigError


@pytest.fixture
def config() -> WorkerConfig:
    return load_worker_config(engine="scripted", metrics_port=0, drain_limit_s=1.0, slots=3)


@pytest.fixture
def hub() -> LocalHub:
    return LocalHub()


async def test_a_gateway_finds_the_worker_and_gets_its_decisions(hub: LocalHub, config: WorkerConfig) -> None:
    gateway = hub.endpoint(GATEWAY)
    decisions: asyncio.Queue[AnyMessage] = asyncio.Queue()
    await gateway.start(lambda message, _lag_s: decisions.put_nowait(message))
    async with serving(config, hub.open(config.worker_id)) as worker:
        lease = await hub.placement.lease(CallId("call-1"), 10.0, Wish(agent="front-desk"))
        assert lease is not None
        assert (lease.worker, lease.engine, lease.chunk_ms) == (worker.worker, "scripted", 400)
        caller = Caller()
        for message in (caller.opens(), caller.speaks()):
            gateway.send(lease.worker, message)
        async with asyncio.timeout(10):
            decision = await decisions.get()
        assert isinstance(decision, Decision)
        assert decision.index == 0
    assert await hub.placement.lease(CallId("call-2"), 10.0) is None
    await gateway.close()


async def test_operators_see_metrics_health_and_readiness(hub: LocalHub, config: WorkerConfig) -> None:
    with capture_logs() as logs:
        async with serving(config, hub.open(config.worker_id)) as worker, ClientSession() as http:
            url = next(line["url"] for line in logs if line["event"] == "worker.http")
            async with http.get(f"{url}/metrics") as answer:
                assert answer.status == 200
                assert 'twowire_worker_slots{state="free"} 3.0' in await answer.text()
            for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
                async with http.get(url + path) as answer:
                    assert (answer.status, await answer.text()) == (200, text)
            await worker.drain(limit_s=0.0)
            async with http.get(f"{url}/readyz") as answer:
                assert (answer.status, await answer.text()) == (503, "draining\n")


async def test_a_taken_port_is_named_with_the_remedy(hub: LocalHub, config: WorkerConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = config.model_copy(update={"metrics_port": taken.getsockname()[1]})
        with pytest.raises(ConfigError, match=r"TWOWIRE_METRICS_PORT: cannot listen on 127\.0\.0\.1"):
            async with serving(busy, hub.open(config.worker_id)):
                raise AssertionError("it must not start")


async def test_a_signal_drains_and_ends_the_worker(hub: LocalHub, config: WorkerConfig) -> None:
    started, drained = asyncio.Event(), asyncio.Event()
    placement = hub.placement

    class Watched:
        """The hub's placement; tells when the worker appears and disappears."""

        def __getattr__(self, name: str) -> Callable[..., object]:
            {"advertise": started, "withdraw": drained}.get(name, asyncio.Event()).set()
            method: Callable[..., object] = getattr(placement, name)
            return method

    parts = hub.open(config.worker_id)._replace(placement=Watched())  # type: ignore[arg-type]
    run = asyncio.create_task(run_worker(config, parts))
    async with asyncio.timeout(10):
        await started.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await drained.wait()
        await run
