"""The worker's composition root: configuration in, a running worker out."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from model_worker.config import WorkerConfig
from model_worker.engine import EngineLoop
from model_worker.engine.admission import Admission
from model_worker.engines.cards import build_engine
from model_worker.metrics import WorkerMetrics
from model_worker.runner import EngineDiedError, Worker
from model_worker.web import operations
from wire.bus.open import BusParts
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import WorkerAdvert
from wire.settings import ConfigError

log = structlog.get_logger()


@asynccontextmanager
async def serving(config: WorkerConfig, parts: BusParts) -> AsyncIterator[Worker]:
    """A worker that serves within the block, with its HTTP port; at the end it gives up what calls there are.

    Drain it before, where calls should end by themselves. Raises ConfigError and BusUnavailableError.
    """
    built = await asyncio.to_thread(build_engine, config)
    try:
        engine_loop = EngineLoop(built.engine, time.monotonic, config.slots, config.max_batch)
        capabilities = built.engine.capabilities
        admission = Admission(engine_loop.slots, capabilities.chunk_ms / 1_000)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        worker = Worker(
            WorkerAdvert(
                config.worker_id,
                capabilities.engine,
                engine_loop.slots,
                capabilities.chunk_ms,
                capabilities.first_chunk_ms,
                capabilities.languages,
                built.agents,
                config.zone,
            ),
            engine_loop,
            parts.bus,
            parts.placement,
            WorkerMetrics(registry, engine_loop.stats, admission, lambda: parts.bus.stats),
            admission,
            config.stall_limit_s,
        )
        http = web.AppRunner(
            operations(registry, lambda: not worker.died.is_set(), worker.not_ready),
            handle_signals=False,
            access_log=None,
        )
        await http.setup()
        try:
            await _listen(http, config)
            await worker.start()
            try:
                yield worker
            finally:
                await worker.stop()
        finally:
            await http.cleanup()
    finally:
        await asyncio.to_thread(built.shutdown)


async def _listen(http: web.AppRunner, config: WorkerConfig) -> None:
    site = web.TCPSite(http, config.metrics_host, config.metrics_port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"TWOWIRE_METRICS_HOST/TWOWIRE_METRICS_PORT: cannot listen on {config.metrics_host}:{config.metrics_port}: "
            f"{error.strerror}; end the other program, choose another port, or 0 for a free one"
        ) from None
    host, port = http.addresses[0][:2]
    log.info("worker.http", url=f"http://{host}:{port}")


async def run_worker(config: WorkerConfig, parts: BusParts | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the drain.

    Without ``parts`` the bus is the Redis at ``config.redis_url``. Raises ConfigError,
    BusUnavailableError and EngineDiedError.
    """
    if parts is None:
        parts = open_redis(config.redis_url, config.worker_id, Side.WORKER)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    async with serving(config, parts) as worker:
        gc.collect()
        gc.freeze()  # what lives for ever need not be visited: a full collection over all imports takes 40 ms
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await _first_of(stop.wait(), worker.died.wait())
        if not worker.died.is_set():
            await _first_of(worker.drain(config.drain_limit_s), hurry.wait(), worker.died.wait())
    if worker.died.is_set():
        raise EngineDiedError("the worker cannot go on, its log says why; start it anew")


async def _first_of(*works: Coroutine[object, object, object]) -> None:
    """Wait until the first of some coroutines ends, and cancel the others."""
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
