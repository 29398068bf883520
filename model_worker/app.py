"""The worker's composition root: configuration in, a running worker out."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from model_worker.config import WorkerConfig
from model_worker.dialog.agent import VoiceStyle
from model_worker.dialog.load import SHIPPED_AGENTS, AgentFileError, load_agents
from model_worker.duplex.receptionist.engine import Fault, ReceptionistEngine
from model_worker.engine import EngineLoop
from model_worker.metrics import WorkerMetrics
from model_worker.runner import EngineDiedError, Worker
from model_worker.seams import Engine, TtsError
from model_worker.web import operations
from wire.bus.open import BusParts
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import WorkerAdvert
from wire.settings import ConfigError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """An engine, the agents it plays (none: any), and how to let go of it."""

    engine: Engine
    agents: tuple[str, ...] = ()
    shutdown: Callable[[], None] = lambda: None


def _build_scripted(config: WorkerConfig) -> BuiltEngine:
    from model_worker.duplex.script import LOAD_TEST, ScriptError, load_script
    from model_worker.duplex.scripted import ScriptedEngine

    try:
        script = LOAD_TEST if config.script is None else load_script(config.script)
    except ScriptError as error:
        raise ConfigError(f"TWOWIRE_SCRIPT: {error}") from None
    agents = () if script.default is not None else tuple(sorted(script.agents))
    return BuiltEngine(ScriptedEngine(script, time.sleep), agents)


def _log_fault(fault: Fault) -> None:
    log.error("engine.fault", call=fault.call, stage=fault.stage, exc_info=fault.error)


def _log_lost_recognizer(code: int) -> None:
    log.error("asr.child_lost", exit_code=code)


def _build_receptionist(config: WorkerConfig) -> BuiltEngine:
    try:
        from model_worker.asr.grammar import UnknownWordError, check_phrases
        from model_worker.asr.sphinx import SphinxAsr
        from model_worker.tts.espeak import EspeakTts
        from model_worker.vad.silero import SileroVad
    except ImportError as error:
        raise ConfigError(
            f"TWOWIRE_ENGINE: the receptionist is not installed ({error}); pip install 'twowire[receptionist]'"
        ) from None
    try:
        agents = load_agents(config.agents_dir or SHIPPED_AGENTS)
        for agent in agents.values():
            for phrases in (*agent.phrases().values(), agent.overlap.phrases):
                check_phrases(phrases)
    except (AgentFileError, UnknownWordError) as error:
        raise ConfigError(f"TWOWIRE_AGENTS_DIR: {error}") from None

    def voice(style: VoiceStyle) -> EspeakTts:
        return EspeakTts(style.name, style.rate_wpm, style.pitch)

    asr = SphinxAsr(on_child_lost=_log_lost_recognizer)
    try:
        engine = ReceptionistEngine(agents, vad=SileroVad, asr=asr, tts=voice, on_fault=_log_fault)
        engine.warm_up()
    except TtsError as error:
        asr.close()  # the voices that did start end with this process
        raise ConfigError(f"TWOWIRE_ENGINE: {error}") from None
    return BuiltEngine(engine, tuple(sorted(agents)), engine.shutdown)


def _build_audio_interaction(config: WorkerConfig) -> BuiltEngine:
    if config.model is None:
        raise ConfigError("TWOWIRE_MODEL: name the folder of the model; `twowire model convert` makes one")
    try:
        from model_worker.duplex.audio_interaction.build import build
        from model_worker.duplex.audio_interaction.model_folder import CheckpointError, LicenceError
        from model_worker.tts.espeak import EspeakTts
    except ImportError as error:
        raise ConfigError(
            f"TWOWIRE_ENGINE: what models need is not installed ({error}); pip install 'twowire[gpu,receptionist]'"
        ) from None
    try:
        engine, shutdown = build(
            config.model,
            licence=config.accept_model_licence,
            device=config.device,
            dtype=config.model_dtype,
            sessions=config.slots,
            capacity=config.context_tokens,
            speak_from=config.speak_from,
            speak_bias=config.speak_bias,
            voice=EspeakTts,
        )
    except (CheckpointError, LicenceError, TtsError) as error:
        raise ConfigError(f"TWOWIRE_MODEL: {error}") from None
    log.info("engine.licence", note=engine.capabilities.licence_note)
    return BuiltEngine(engine, shutdown=shutdown)


ENGINES: dict[str, Callable[[WorkerConfig], BuiltEngine]] = {
    "audio-interaction": _build_audio_interaction,
    "receptionist": _build_receptionist,
    "scripted": _build_scripted,
}
"""Engines by the name in ``TWOWIRE_ENGINE``; what one needs is imported when it is asked for."""


def build_engine(config: WorkerConfig) -> BuiltEngine:
    """Make the engine that the configuration names; may take seconds. Raises ConfigError."""
    build = ENGINES.get(config.engine)
    if build is None:
        raise ConfigError(f"TWOWIRE_ENGINE: no engine {config.engine!r}; choose one of {', '.join(sorted(ENGINES))}")
    return build(config)


@asynccontextmanager
async def serving(config: WorkerConfig, parts: BusParts) -> AsyncIterator[Worker]:
    """A worker that serves within the block, with its HTTP port; at the end it gives up what calls there are.

    Drain it before, where calls should end by themselves. Raises ConfigError and BusUnavailableError.
    """
    built = await asyncio.to_thread(build_engine, config)
    try:
        engine_loop = EngineLoop(built.engine, time.monotonic, config.slots, config.max_batch)
        capabilities = built.engine.capabilities
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
            WorkerMetrics(registry, engine_loop.stats, engine_loop.slots, lambda: parts.bus.stats),
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
