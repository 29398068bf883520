"""All live calls of one gateway: admission, attachment, delivery, the tick, the drain."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from time import monotonic, time
from typing import NoReturn

import structlog
from msgspec.structs import replace

from gateway.call import Call, CallLimits
from gateway.echo.guard import EchoGuard
from gateway.effects import NoteDecision
from gateway.events import BusAway, BusBack, CallEvent, GatewayStopping, Moved, OperatorSaid, WorkerGone, WorkerSaid
from gateway.metrics import GatewayMetrics
from gateway.resumption import Resumption
from gateway.runner.record import CallRecord
from gateway.runner.session import CallSession, Observer
from gateway.runner.shadow import SUFFIX, ShadowPolicy, Shadows
from gateway.runner.ticker import Ticker
from gateway.runner.worker_watch import WorkerWatch
from gateway.seams import CallSetup, Leg, LegQuality
from gateway.serving import DRAINING
from wire.audio.codecs import Codec
from wire.bus.seam import ANYTHING, Bus, BusUnavailableError, Lease, Placement, Wish
from wire.ids import CallId, GatewayId, WorkerId
from wire.logs import Pii
from wire.messages import AnyMessage, DownMessage, WorkerBeat

log = structlog.get_logger()

PENDING_LEASE_S = 60.0  # a call that was admitted must have media by then: the life of its token
LIVE_LEASE_S = 20.0
LATE_CALLS_S = 2.0  # from an answered webhook to its stream: a round trip or two of Twilio's
AFTER_CALL_S = 1.0  # from the end of the last stream to Twilio's question what comes next
WATCH_EVERY_S = 0.1
AWAY_AFTER_S = 0.25  # a server answers within milliseconds; what it owes longer it owes because it is away
SEEK_EVERY_S = 0.2
HAND_OVER_EVERY_S = 0.02  # calls of a worker that drains are moved one by one: no replay waits for another
SETUP_WAIT_S = 4.0  # new calls wait for a failover of Redis, which takes three seconds; callers hear it ring
FAREWELL_S = 5.0  # a sentence, and the decision before it
RENEW_EVERY_S = 5.0  # three renewals may be lost before a lease runs out
MAX_RECORDS = 256
NO_CLIPS: Mapping[Codec, bytes] = {}
STILL_SERVED = frozenset({"silent", "missed_decisions", DRAINING, "lease_lost"})
"""Why another worker is sought for a call which the one it has may still know; any other reason is its own word."""


class NoSlotError(Exception):
    """Every worker is full, or none is there, or this gateway takes no new calls. ``reason`` is its label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallHub:
    """The one place where calls begin and end. Everything runs on the event loop."""

    def __init__(
        self,
        gateway: GatewayId,
        bus: Bus,
        placement: Placement,
        metrics: GatewayMetrics,
        limits: CallLimits,
        on_decision: Callable[[NoteDecision], None],
        echo_guard: Callable[[Codec], EchoGuard] | None = None,
        line: Wish = ANYTHING,
        hold_clips: Mapping[Codec, bytes] = NO_CLIPS,
        farewell: str = "",
        engines: Sequence[str] = ("",),
    ) -> None:
        """``echo_guard`` makes one for each call whose line may echo; ``line`` is what every call asks of its worker.

        ``hold_clips``: what callers hear when nobody serves them for a while; ``farewell``: the agent's last words
        when this gateway must end a call. ``engines``: who serves calls, in order of preference; empty: any.
        """
        self.records: OrderedDict[CallId, CallRecord] = OrderedDict()
        self.draining = False
        self.observers: list[Observer] = []
        """Who sees the effects of calls that begin from now on."""
        self.on_ended: Callable[[CallRecord, LegQuality | None, Mapping[str, float]], None] = lambda *_: None
        """Told of every call that is over: its record, the last of its leg, the figures of its core."""
        self.shadows: Shadows | None = None
        """Engines that listen along, where there are such."""
        self._gateway = gateway
        self._bus = bus
        self._placement = placement
        self._metrics = metrics
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks(self._loop)))
        self._limits = limits
        self._on_decision = on_decision
        self._echo_guard = echo_guard
        self._line = line
        self._hold_clips = hold_clips
        self._farewell = farewell
        self._engines = tuple(engines)
        self._watch = WorkerWatch()
        self._bus_away = False
        self._hand_over = asyncio.Lock()
        self._sessions: dict[CallId, CallSession] = {}
        self._dialling: set[CallId] = set()
        self._held: set[CallId] = set()
        self._loop = asyncio.get_running_loop()
        self.ticker = Ticker(self._loop)
        self._chores: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def shadow(self, policy: ShadowPolicy) -> None:
        """Let a second engine listen to calls that begin from now on."""
        self.shadows = Shadows(policy, self._gateway, self._bus, self._placement, self._metrics, self._in_background)
        self.observers.append(self.shadows.observe)

    async def start(self) -> None:
        """Begin to receive from workers. Raises BusUnavailableError."""
        await self._bus.start(self._deliver)
        self._chores = [
            asyncio.create_task(self._renew_leases(), name="renew-leases"),
            asyncio.create_task(self._watch_workers(), name="watch-workers"),
        ]

    async def stop(self) -> None:
        """End every call and let go of the bus."""
        for session in list(self._sessions.values()):
            session.post(GatewayStopping())
        for call in list(self._dialling):
            self.abandon(call, GatewayStopping().reason)
        self.ticker.remove(self._on_tick)
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, *self._background, return_exceptions=True)
        await self._bus.close()

    async def drain(self, limit_s: float) -> None:
        """Take no new calls; return when the last one has ended, or after ``limit_s``.

        Calls that were answered a moment before still get their stream.
        """
        self.draining = True
        log.info("gateway.draining", calls=len(self._sessions), limit_s=limit_s)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(LATE_CALLS_S)
                await self._empty.wait()
                await asyncio.sleep(AFTER_CALL_S)
        except TimeoutError:
            if self._sessions:
                log.warning("gateway.drain_limit", calls=len(self._sessions))
                await self._say_farewell()

    async def _say_farewell(self) -> None:
        """Let the agent say that the call ends, where the caller does not come back to another gateway."""
        told = [session for session in self._sessions.values() if self._farewell and not session.record.setup.returns]
        for session in told:
            session.post(OperatorSaid(self._farewell))
        if told:
            await asyncio.sleep(FAREWELL_S)

    async def admit(self, call: CallId, agent: str, door: str, engine: str = "") -> Lease:
        """Hold a slot for a call before it is answered. Raises NoSlotError.

        A named ``engine``, and no other, is a step of the ladder: the call was counted as refused before that.
        """
        if self.draining:
            if engine:
                raise NoSlotError("draining")
            self._refuse(call, door, "draining")
        return await self.confirm(call, agent, door, engine)

    async def confirm(self, call: CallId, agent: str, door: str, engine: str = "") -> Lease:
        """The lease of a call that was admitted, by whichever gateway; a new one if it ran out. Raises NoSlotError."""
        if engine:
            try:
                wish = replace(self._line, agent=agent, engine=engine)
                lease = await self._placement.lease(call, PENDING_LEASE_S, wish)
            except BusUnavailableError:
                raise NoSlotError("bus_unavailable") from None
            if lease is None:
                raise NoSlotError("no_slot")
            self._metrics.fallbacks.labels(door, "engine").inc()
            return lease
        try:
            lease = await self.seek_slot(call, agent, door)
        except BusUnavailableError:
            self._refuse(call, door, "bus_unavailable")
        if lease is None:
            self._refuse(call, door, "no_slot")
        return lease

    async def seek_slot(self, call: CallId, agent: str, door: str) -> Lease | None:
        """A slot of the line's engine, or of one that will do where that is full; None when there is none.

        While the bus is away it waits for a while. Raises BusUnavailableError.
        """
        give_up_at = self._loop.time() + SETUP_WAIT_S
        while True:
            try:
                for number, engine in enumerate(self._engines):
                    wish = replace(self._line, agent=agent, engine=engine)
                    lease = await self._placement.lease(call, PENDING_LEASE_S, wish)
                    if lease is not None:
                        if number:
                            self._metrics.fallbacks.labels(door, "engine").inc()
                        return lease
                return None
            except BusUnavailableError:
                if self._loop.time() >= give_up_at:
                    raise
                await asyncio.sleep(SEEK_EVERY_S)

    def _refuse(self, call: CallId, door: str, reason: str) -> NoReturn:
        self._metrics.calls_refused.labels(door, reason).inc()
        log.warning("call.refused", call=call, door=door, reason=reason)
        raise NoSlotError(reason)

    def is_live(self, call: CallId) -> bool:
        return call in self._sessions

    def post(self, call: CallId, event: CallEvent) -> bool:
        """Tell a live call what happened; False when there is none of that name."""
        session = self._sessions.get(call)
        if session is not None:
            session.post(event)
        return session is not None

    def quality(self, call: CallId) -> LegQuality | None:
        """How well the leg of a live call does; None when it cannot tell, or there is no such call."""
        session = self._sessions.get(call)
        return None if session is None else session.quality()

    def expect(self, lease: Lease, setup: CallSetup) -> CallRecord:
        """An admitted call of ours is being placed: its slot is kept until ``attach`` or ``abandon``."""
        record = CallRecord(
            lease.call, setup, lease.worker, lease.engine, time(), state="dialling", direction="outbound"
        )
        self._dialling.add(lease.call)
        self._remember(record)
        self._empty.clear()
        return record

    def abandon(self, call: CallId, outcome: str) -> None:
        """A call of ours came to nothing. Does nothing to one that is not being placed."""
        if call not in self._dialling:
            return
        self._dialling.remove(call)
        record = self.records[call]
        record.state, record.outcome = "ended", outcome
        self._metrics.calls.labels(record.setup.door, outcome).inc()
        log.info("call.not_answered", call=call, door=record.setup.door, outcome=outcome)
        self.on_ended(record, None, {})
        self._note_empty()
        self.give_up(call)

    def hold_drain(self, call: CallId) -> None:
        """The door still serves a call whose agent has left: the drain waits until ``free_drain``."""
        self._held.add(call)
        self._empty.clear()

    def free_drain(self, call: CallId) -> None:
        self._held.discard(call)
        self._note_empty()

    def _note_empty(self) -> None:
        if not (self._sessions or self._dialling or self._held):
            self._empty.set()

    def live(self, call: CallId) -> CallSession | None:
        """A live call; None when there is none of that name."""
        return self._sessions.get(call)

    def attach(self, lease: Lease, setup: CallSetup, leg: Leg, resumed: Resumption | None = None) -> CallSession:
        """The leg of an admitted call has media: the call begins, or goes on here."""
        assert lease.call not in self._sessions, "a live call has its leg"
        record = CallRecord(lease.call, setup, lease.worker, lease.engine, started_unix_s=time())
        record.chunk_ms = lease.chunk_ms, lease.first_chunk_ms
        if lease.call in self._dialling:
            self._dialling.remove(lease.call)
            record.direction = self.records[lease.call].direction
        echo = self._echo_guard(setup.codec) if self._echo_guard is not None and setup.echoes else None
        session = CallSession(
            Call(
                lease,
                self._gateway,
                setup,
                monotonic(),
                self._limits,
                echo=echo,
                resumed=resumed,
                hold_clip=self._hold_clips.get(setup.codec, b""),
            ),
            leg,
            record,
            self._metrics,
            monotonic,
            self._bus.send,
            partial(self._seek, lease),
            self._on_decision,
            self._on_ended,
            self.observers,
        )
        self._sessions[lease.call] = session
        self._watch.expect(lease.worker, monotonic())
        self._remember(record)
        self._metrics.calls_active.set(len(self._sessions))
        self._empty.clear()
        self.ticker.add(self._on_tick, first=True)  # what it puts into a leg leaves with this tick
        if resumed is not None:
            self._metrics.calls_resumed.labels(setup.door).inc()
        log.info(
            "call.started" if resumed is None else "call.resumed",
            call=lease.call,
            door=setup.door,
            worker=lease.worker,
            caller=Pii(setup.caller),
        )
        session.start()
        return session

    def _remember(self, record: CallRecord) -> None:
        self.records[record.call] = record
        self.records.move_to_end(record.call)
        while len(self.records) > MAX_RECORDS + len(self._sessions) + len(self._dialling):
            oldest = next(iter(self.records))
            if oldest in self._sessions or oldest in self._dialling:
                self.records.move_to_end(oldest)
            else:
                del self.records[oldest]

    def _on_tick(self, late_s: float) -> None:
        now = monotonic()  # not the loop's clock: uvloop rounds it to milliseconds
        self._metrics.loop_lag.observe(late_s)
        for session in [s for s in self._sessions.values() if now >= s.due]:
            session.wake()
        if not self._sessions:
            self.ticker.remove(self._on_tick)

    def _deliver(self, message: AnyMessage, lag_s: float) -> None:
        self._metrics.bus_lag.observe(lag_s)
        if isinstance(message, WorkerBeat):
            self._watch.sign(message.worker, monotonic())
            return
        if self.shadows is not None and message.call.endswith(SUFFIX):
            self.shadows.deliver(message)
            return
        session = self._sessions.get(message.call)
        if session is None:
            # Speech that was on its way when the call ended is nothing unusual; the counter tells.
            self._metrics.dropped.labels("unknown_call").inc()
        elif isinstance(message, DownMessage):
            if message.epoch == session.call.epoch:
                self._watch.sign(session.call.worker, monotonic())
            session.post(WorkerSaid(message))
        else:
            self._metrics.dropped.labels("wrong_direction").inc()

    def _on_ended(self, session: CallSession) -> None:
        record = session.record
        self._sessions.pop(record.call, None)
        self._metrics.calls_active.set(len(self._sessions))
        self._metrics.calls.labels(record.setup.door, record.outcome).inc()
        self._note_empty()
        stats = session.call.stats()
        self.on_ended(record, session.quality(), stats)
        log.info(
            "call.ended",
            call=record.call,
            outcome=record.outcome,
            duration_s=record.duration_s,
            turns=len(record.turns),
            decisions=len(record.decisions),
            missing_decisions=stats["missing_decisions"],
        )
        self.give_up(record.call)

    def give_up(self, call: CallId) -> None:
        """Give the slot of a call back: it has ended, or it was admitted and never began."""
        self._in_background(self._release(call))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _release(self, call: CallId) -> None:
        try:
            await self._placement.release(call)
        except BusUnavailableError as error:
            log.warning("lease.not_released", call=call, error=str(error))  # it runs out by itself

    def _seek(self, first: Lease, session: CallSession, reason: str) -> None:
        self._in_background(self._find_worker(first, session, reason))

    async def _find_worker(self, first: Lease, session: CallSession, reason: str) -> None:
        """Another worker that can go on with what the first one began; until there is one, or the call wants none."""
        call = session.call
        wish = replace(
            self._line,
            agent=call.setup.agent,
            engine=first.engine,
            chunk_ms=first.chunk_ms,
            first_chunk_ms=first.first_chunk_ms,
            instead_of=call.worker,
            suspect=reason == "silent",
        )
        log.warning("call.seeks_worker", call=call.id, worker=call.worker, reason=reason)
        if reason == DRAINING:
            async with self._hand_over:
                await asyncio.sleep(HAND_OVER_EVERY_S)
        while call.seeking and not call.ended:
            lease = None if self._bus_away else await self._lease(call.id, wish)
            if lease is not None:
                self._watch.expect(lease.worker, monotonic())
                session.post(Moved(lease))  # also if the old worker found back meanwhile: the lease says who serves
                log.info("call.moved", call=call.id, worker=lease.worker, epoch=call.epoch)
                if not self.is_live(call.id):
                    self.give_up(call.id)  # it ended while we asked
                return
            await asyncio.sleep(SEEK_EVERY_S)
            if reason not in STILL_SERVED:  # it threw the call out and may have it back, if nobody else is there
                wish = replace(wish, instead_of=WorkerId(""), suspect=False)

    async def _lease(self, call: CallId, wish: Wish) -> Lease | None:
        try:
            return await self._placement.lease(call, LIVE_LEASE_S, wish)
        except BusUnavailableError:
            return None

    async def _watch_workers(self) -> None:
        """Tell calls whose worker shows no sign of life, and all of them that the bus is away."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            now = monotonic()
            away = self._bus.away_s() > AWAY_AFTER_S
            if away is not self._bus_away:
                self._bus_away = away
                self._metrics.bus_up.set(not away)
                log.warning("bus.away" if away else "bus.back", calls=len(self._sessions))
                self._watch.excuse(now)
                self._tell_all(BusAway() if away else BusBack())
            if not away:
                silent = self._watch.silent({session.call.worker for session in self._sessions.values()}, now)
                for session in [s for s in self._sessions.values() if s.call.worker in silent]:
                    session.post(WorkerGone("silent"))

    def _tell_all(self, event: CallEvent) -> None:
        for session in list(self._sessions.values()):
            session.post(event)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            held = [*self._sessions, *self._dialling, *(self.shadows.leased() if self.shadows is not None else ())]
            if held:
                try:
                    lost = await self._placement.renew(held, LIVE_LEASE_S)
                except BusUnavailableError as error:
                    log.warning("lease.not_renewed", calls=len(held), error=str(error))
                else:
                    for call in lost:
                        self.post(call, WorkerGone("lease_lost"))
