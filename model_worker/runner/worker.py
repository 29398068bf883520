"""One worker process at run time: bus to engine thread and back, heartbeat, watchdog, drain."""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import structlog
from msgspec.structs import replace

from model_worker.engine import EngineLoop
from model_worker.engine.admission import Admission
from model_worker.engine.loop import Outgoing
from model_worker.metrics import WorkerMetrics
from model_worker.runner.engine_thread import EngineThread, Report
from wire.bus.seam import BEAT_S, Bus, BusUnavailableError, Placement, WorkerAdvert
from wire.ids import CallId, GatewayId, WorkerId
from wire.messages import AnyMessage, CallClosed, CallFailed, CallOpened, Decision, WorkerBeat

log = structlog.get_logger()

HEARTBEAT_S = 1.0
ADVERT_TTL_S = 5.0  # four heartbeats may be lost before the gateways stop placing calls here
LAG_PROBE_S = 0.1
# A gateway that leased a slot just before it was withdrawn opens its call within a round trip of Twilio.
LATE_CALLS_S = 2.0
STOP_LIMIT_S = 5.0


class EngineDiedError(Exception):
    """The engine's thread ended by a fault of its own; the process must be started anew."""


class Worker:
    """Everything but the engine's own thread runs on the event loop."""

    def __init__(
        self,
        advert: WorkerAdvert,
        engine_loop: EngineLoop,
        bus: Bus,
        placement: Placement,
        metrics: WorkerMetrics,
        admission: Admission,
        stall_limit_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.died: asyncio.Event = asyncio.Event()
        """Set when the engine's thread or the heartbeat ended although nobody asked it to."""
        self._advert = advert
        self._engine_loop = engine_loop
        self._clock = clock
        self._stats = engine_loop.stats
        self._bus = bus
        self._placement = placement
        self._metrics = metrics
        self._admission = admission
        self._stall_limit_s = stall_limit_s
        self._loop = asyncio.get_running_loop()
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks(self._loop)))
        self._thread = EngineThread(engine_loop, clock, self._post_report, self._post_exit)
        self._thread_ended: asyncio.Future[Exception | None] = self._loop.create_future()
        self._heartbeat: asyncio.Task[None] | None = None
        self._lag_probe: asyncio.TimerHandle | None = None
        self._gateways: dict[CallId, GatewayId] = {}
        self._told_at: dict[GatewayId, float] = {}
        self._beats = 0
        self._beat_timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._stopping = False
        self._advertised = False
        self._idle = asyncio.Event()

    @property
    def worker(self) -> WorkerId:
        return self._advert.worker

    def not_ready(self) -> str | None:
        """Why no call should be placed here, None when all is well."""
        if self._thread_ended.done():
            return "engine thread ended"
        if self._draining:
            return "draining"
        if (stalled_s := self._thread.stalled_s()) > self._stall_limit_s:
            return f"engine without progress for {stalled_s:.0f} s"
        if not self._advertised:
            return "not advertised"
        return None

    async def start(self) -> None:
        """Receive from gateways, then offer slots. Raises BusUnavailableError, and then needs no ``stop``."""
        await self._bus.start(self._deliver)
        self._thread.start()
        try:
            await self._beat()
        except BusUnavailableError:
            await self.stop()
            raise
        self._heartbeat = asyncio.create_task(self._keep_beating(), name="heartbeat")
        self._heartbeat.add_done_callback(self._end_of_heartbeat)
        self._probe_lag(self._loop.time() + LAG_PROBE_S)
        self._show_life()
        log.info("worker.started", worker=self.worker, engine=self._advert.engine, slots=self._advert.slots)

    async def drain(self, limit_s: float) -> None:
        """Take no new calls; return when the last one has ended, or after ``limit_s``."""
        self._draining = True
        await self._stop_beating()  # a heartbeat under way could offer the slots again
        self._heartbeat = asyncio.create_task(self._keep_expiring(), name="expire")
        await self._withdraw()
        log.info("worker.draining", worker=self.worker, calls=self._stats.open_calls, limit_s=limit_s)
        self._thread.command(lambda loop, now: loop.drain(limit_s, now))
        try:
            async with asyncio.timeout(limit_s):
                if limit_s > LATE_CALLS_S:
                    await asyncio.sleep(LATE_CALLS_S)
                while self._stats.open_calls > 0 and not self._thread_ended.done():
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning("worker.drain_limit", worker=self.worker, calls=self._stats.open_calls)

    async def stop(self) -> None:
        """Give up what calls there are, end the engine's thread and let go of the bus."""
        self._stopping = True
        await self._stop_beating()
        for timer in (self._lag_probe, self._beat_timer):
            if timer is not None:
                timer.cancel()
        await self._withdraw()
        self._thread.command(lambda loop, _now: loop.fail_all())
        self._thread.stop()
        await asyncio.wait([self._thread_ended], timeout=STOP_LIMIT_S)
        if not self._thread_ended.done():
            log.error("engine.hangs", worker=self.worker, stalled_s=self._thread.stalled_s())
        await self._bus.close()
        log.info("worker.stopped", worker=self.worker)

    def _deliver(self, message: AnyMessage, lag_s: float) -> None:
        self._metrics.bus_lag.observe(lag_s)
        if isinstance(message, CallOpened):
            self._gateways[message.call] = message.gateway
        elif isinstance(message, CallClosed):
            self._gateways.pop(message.call, None)
        if not self._thread.deliver(message, lag_s):
            self._metrics.mailbox_overflow.inc()

    def _post_report(self, report: Report) -> None:
        self._loop.call_soon_threadsafe(self._take_report, report)

    def _post_exit(self, error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(self._take_exit, error)

    def _take_report(self, report: Report) -> None:
        self._send(report.outgoing)
        for step in report.steps:
            self._metrics.observe_step(step)
        for turn_s in report.turns_s:
            self._metrics.turn_speech.observe(turn_s)
        for fault in report.faults:
            log.error("engine.fault", call=fault.call, stage=fault.stage, exc_info=fault.error)
        if not self._stats.open_calls:
            self._idle.set()

    def _show_life(self) -> None:
        """Tell the gateways whose calls are here that this process lives, where nothing else did of late."""
        now = self._loop.time()
        serving = set(self._gateways.values())
        self._told_at = {gateway: at for gateway, at in self._told_at.items() if gateway in serving}
        for gateway in serving:
            if now - self._told_at.get(gateway, 0.0) > BEAT_S / 2:
                self._bus.send(gateway, WorkerBeat(CallId(""), 0, self._beats, self.worker))
                self._beats += 1
        self._beat_timer = self._loop.call_later(BEAT_S / 2, self._show_life)

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        now = self._loop.time()
        for gateway, message in outgoing:
            self._told_at[gateway] = now
            if isinstance(message, CallFailed):
                self._gateways.pop(message.call, None)
            try:
                self._bus.send(gateway, message)
            except ValueError as error:  # larger than any message may be; the others must not suffer for it
                log.error("message.not_sent", call=message.call, kind=type(message).__name__, error=str(error))
            if isinstance(message, Decision):
                self._metrics.observe_decision(message)
                self._admission.observe(message.queue_s + message.step_s)

    def _take_exit(self, error: Exception | None) -> None:
        self._thread_ended.set_result(error)
        self._idle.set()
        if error is not None:
            log.error("engine.thread_died", worker=self.worker, exc_info=error)
            self._engine_loop.fail_all()  # the thread is gone: the loop is ours, and its callers must be told
            self._send(self._engine_loop.step(self._clock()))
        if not self._stopping:
            self.died.set()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._expire()
            try:
                await self._beat()
            except BusUnavailableError as error:
                self._advertised = False
                self._metrics.heartbeat_failures.inc()
                log.warning("heartbeat.failed", worker=self.worker, error=str(error))

    def _end_of_heartbeat(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():  # without a heartbeat nobody would ever place a call here again
            log.error("heartbeat.died", worker=self.worker, exc_info=task.exception())
            self.died.set()

    async def _keep_expiring(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._expire()

    def _expire(self) -> None:
        self._thread.command(lambda loop, now: loop.expire(now))

    async def _stop_beating(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)

    async def _beat(self) -> None:
        """Offer the slots for another while, or take them back when the engine does not move."""
        if self._thread_ended.done() or self._thread.stalled_s() > self._stall_limit_s:
            if self._advertised:
                log.error("worker.not_ready", worker=self.worker, reason=self.not_ready())
                self._advertised = False
                await self._placement.withdraw(self.worker)
            return
        admission = self._admission
        admission.review(self._stats.open_calls, self._stats.context_share, self._clock())
        if admission.offered != self._advert.slots:
            log.info("worker.offers", worker=self.worker, slots=admission.offered, of=admission.slots)
            self._advert = replace(self._advert, slots=admission.offered)
        await self._placement.advertise(self._advert, ADVERT_TTL_S)
        self._advertised = True

    async def _withdraw(self) -> None:
        self._advertised = False
        try:
            await self._placement.withdraw(self.worker)
        except BusUnavailableError as error:
            log.warning("worker.not_withdrawn", worker=self.worker, error=str(error))  # the advert runs out by itself

    def _probe_lag(self, due: float) -> None:
        late_s = max(0.0, self._loop.time() - due)
        if self._lag_probe is not None:
            self._metrics.loop_lag.observe(late_s)
        due = max(due, self._loop.time()) + LAG_PROBE_S
        self._lag_probe = self._loop.call_at(due, self._probe_lag, due)
