"""The whole worker on a fake bus: calls in, decisions out, heartbeat, drain, watchdog, faults."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from model_worker.duplex.script import LOAD_TEST
from model_worker.duplex.scripted import ScriptedEngine
from model_worker.engine import EngineLoop
from model_worker.engine.admission import LATE_REVIEWS, MIN_DECISIONS, Admission
from model_worker.metrics import WorkerMetrics
from model_worker.runner import Worker
from model_worker.runner.engine_thread import MAILBOX_CHUNKS_PER_SLOT
from model_worker.seams import Engine, EngineLostError, StepInput
from tests.model_worker.host.fakes import GATEWAY, Caller, Clock, FakeBus, FakeEngine, FakePlacement
from wire.audio import g711
from wire.bus.seam import BusUnavailableError, WorkerAdvert
from wire.ids import GatewayId, WorkerId
from wire.messages import (
    AnyMessage,
    CallFailed,
    Decision,
    DecisionKind,
    SpeechChunk,
    TurnDone,
    WorkerBeat,
    WorkerDraining,
)

ME = WorkerId("worker-1")


class Rig:
    """A worker with everything around it."""

    def __init__(self, engine: Engine) -> None:
        self.bus = FakeBus()
        self.placement = FakePlacement()
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.engine_loop = engine_loop = EngineLoop(engine, self.clock)
        self.admission = Admission(engine_loop.slots, 0.4)
        self.metrics = WorkerMetrics(self.registry, engine_loop.stats, self.admission, lambda: self.bus.stats)
        capabilities = engine.capabilities
        advert = WorkerAdvert(ME, capabilities.engine, engine_loop.slots, 400, 400)
        self.worker = Worker(
            advert, engine_loop, self.bus, self.placement, self.metrics, self.admission, 5.0, self.clock
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"twowire_worker_{name}", labels)


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Rig]:
    rig = Rig(engine)
    await rig.worker.start()
    try:
        yield rig
    finally:
        await rig.worker.stop()


def decided(count: int) -> Callable[[list[AnyMessage]], bool]:
    return lambda sent: sum(isinstance(message, Decision) for message in sent) >= count


def has(kind: type, count: int = 1) -> Callable[[list[AnyMessage]], bool]:
    return lambda sent: sum(isinstance(message, kind) for message in sent) >= count


async def test_a_hundred_chunks_get_a_hundred_decisions_in_order() -> None:
    async with running(ScriptedEngine(LOAD_TEST)) as rig:
        caller = Caller()
        quiet = caller.codec.silence * 3_040
        loud = g711.encode_ulaw(g711.decode_ulaw(b"\x00" * 160))
        rig.bus.arrive([caller.opens()])
        rig.bus.arrive(caller.speaks(quiet + (loud if n % 10 == 9 else b"\xff" * 160)) for n in range(100))
        sent = await rig.bus.wait_for(lambda sent: decided(100)(sent) and has(TurnDone, 10)(sent))
        decisions = [message for message in sent if isinstance(message, Decision)]
        assert [decision.index for decision in decisions] == list(range(100))
        assert [message.seq for message in sent] == list(range(len(sent)))
        assert [d.index for d in decisions if d.kind is DecisionKind.SPEAK] == list(range(9, 100, 10))
        assert sum(isinstance(message, SpeechChunk) for message in sent) == 10
        assert {to for to, _ in rig.bus.sent} == {GATEWAY}
        assert rig.value("decisions_total", decision="listen") == 90
        assert rig.value("decisions_total", decision="speak") == 10
        assert rig.value("chunk_age_seconds_count") == 100
        assert rig.value("bus_lag_seconds_count") == 101
        assert rig.value("slots", state="busy") == 1


async def test_twenty_calls_at_once_are_all_decided_on() -> None:
    async with running(ScriptedEngine(LOAD_TEST)) as rig:
        callers = [Caller(f"call-{n}") for n in range(20)]
        rig.bus.arrive(caller.opens() for caller in callers)
        for _ in range(10):
            rig.bus.arrive(caller.speaks() for caller in callers)
        sent = await rig.bus.wait_for(decided(200))
        for caller in callers:
            mine = [m.index for m in sent if isinstance(m, Decision) and m.call == caller.call]
            assert mine == list(range(10))
        assert rig.value("batch_size_sum") == 200


async def test_slots_are_offered_from_the_start_and_taken_back_at_the_end() -> None:
    async with running(FakeEngine(sessions=5)) as rig:
        ((advert, ttl_s),) = rig.placement.adverts
        assert (advert.worker, advert.slots, ttl_s) == (ME, 5, 5.0)
        assert rig.worker.not_ready() is None
        assert not rig.worker.died.is_set()
    assert rig.placement.withdrawn == [ME]
    assert rig.bus.closed
    assert not rig.worker.died.is_set()


async def test_a_worker_that_is_late_offers_less_and_shows_what_it_withholds() -> None:
    rig = Rig(FakeEngine(sessions=5))
    for second in range(LATE_REVIEWS):
        for _ in range(MIN_DECISIONS):
            rig.admission.observe(0.39)
        rig.admission.review(5, None, rig.clock.now + second)
    await rig.worker.start()
    try:
        ((advert, _),) = rig.placement.adverts
        assert advert.slots == 4
        assert [rig.value("slots", state=state) for state in ("busy", "free", "withheld")] == [0, 4, 1]
    finally:
        await rig.worker.stop()


async def test_a_worker_whose_context_memory_is_full_offers_nothing_beyond_its_calls() -> None:
    rig = Rig(FakeEngine(sessions=5))
    rig.engine_loop.stats.context_used, rig.engine_loop.stats.context_room = 95, 100
    rig.engine_loop.stats.open_calls = 2
    await rig.worker.start()
    try:
        ((advert, _),) = rig.placement.adverts
        assert advert.slots == 2
        assert [rig.value("slots", state=state) for state in ("busy", "free", "withheld")] == [2, 0, 3]
        assert [rig.value("context_positions", state=state) for state in ("used", "room")] == [95, 100]
    finally:
        await rig.worker.stop()


async def test_a_drain_ends_with_the_last_call() -> None:
    async with running(FakeEngine()) as rig:
        caller = Caller()
        rig.bus.arrive([caller.opens(), caller.speaks()])
        await rig.bus.wait_for(decided(1))
        drain = rig.worker.drain(limit_s=2.0)
        rig.bus.arrive([caller.speaks(), caller.closes()])
        await drain
        assert rig.placement.withdrawn == [ME]
        assert rig.worker.not_ready() == "draining"
        assert rig.value("slots", state="busy") == 0


async def test_calls_that_outlive_the_drain_are_told_and_then_given_up() -> None:
    async with running(FakeEngine()) as rig:
        rig.bus.arrive([Caller().opens()])
        await rig.worker.drain(limit_s=0.05)
    messages = [message for _, message in rig.bus.sent]
    assert [type(message) for message in messages] == [WorkerDraining, CallFailed]
    assert isinstance(messages[1], CallFailed)
    assert messages[1].reason == "worker_stopped"


async def test_an_engine_that_hangs_makes_the_worker_unready_and_audio_overflow() -> None:
    engine = FakeEngine(sessions=1)
    entered, release = threading.Event(), threading.Event()

    def hang(_inputs: Sequence[StepInput]) -> None:
        entered.set()
        assert release.wait(10)

    engine.on_step = hang
    async with running(engine) as rig:
        caller = Caller()
        rig.bus.arrive([caller.opens(), caller.speaks()])
        assert entered.wait(10)
        assert rig.worker.not_ready() is None
        rig.clock.now += 6
        assert rig.worker.not_ready() == "engine without progress for 6 s"
        rig.bus.arrive(caller.speaks() for _ in range(MAILBOX_CHUNKS_PER_SLOT + 5))
        assert rig.value("mailbox_overflow_chunks_total") == 5
        engine.on_step = lambda _inputs: None
        release.set()
        rig.bus.arrive([])
        await rig.bus.wait_for(decided(1 + MAILBOX_CHUNKS_PER_SLOT))
        rig.bus.arrive([caller.speaks()])  # the five that overflowed are made good with silence
        sent = await rig.bus.wait_for(decided(1 + MAILBOX_CHUNKS_PER_SLOT + 6))
        assert [m.index for m in sent if isinstance(m, Decision)] == list(range(MAILBOX_CHUNKS_PER_SLOT + 7))
        assert rig.worker.not_ready() is None
        assert rig.value("chunks_repaired_total", reason="lost") == 5


async def test_a_fault_of_the_engine_is_counted_and_the_worker_goes_on() -> None:
    engine = FakeEngine()

    def break_one(inputs: Sequence[StepInput]) -> None:
        if any(given.call == "bad" for given in inputs):
            raise RuntimeError("bad weights")

    engine.on_step = break_one
    async with running(engine) as rig:
        good, bad = Caller("good"), Caller("bad")
        rig.bus.arrive([good.opens(), bad.opens(), good.speaks(), bad.speaks()])
        await rig.bus.wait_for(lambda sent: decided(1)(sent) and has(CallFailed)(sent))
        assert rig.value("calls_failed_total", reason="engine_fault") == 1
        assert rig.worker.not_ready() is None


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_worker.runner.worker.BEAT_S", 0.02)


def beats(rig: Rig) -> list[tuple[str, WorkerBeat]]:
    return [(to, message) for to, message in rig.bus.sent if isinstance(message, WorkerBeat)]


@pytest.mark.usefixtures("quick_beats")
async def test_gateways_with_open_calls_are_shown_that_the_worker_lives_and_no_others() -> None:
    engine = FakeEngine()
    engine.agents = {"front-desk"}
    gone, refused, kept = GatewayId("gone"), GatewayId("refused"), GatewayId("kept")
    async with running(engine) as rig:
        over, unknown = Caller("over"), Caller("unknown")
        rig.bus.arrive([over.opens(gateway=gone), over.closes(), unknown.opens("nobody", refused)])
        await rig.bus.wait_for(has(CallFailed))
        rig.bus.sent.clear()
        rig.bus.arrive([Caller("one").opens(gateway=kept), Caller("two").opens(gateway=kept)])
        rig.bus.arrive([(third := Caller("three")).opens(gateway=GATEWAY)])
        await rig.bus.wait_for(has(WorkerBeat, 6))
        assert {to for to, _ in beats(rig)} == {kept, GATEWAY}
        assert [to for to, _ in beats(rig)].count(kept) == pytest.approx(3, abs=1)  # one for both its calls
        assert {(beat.call, beat.epoch, beat.worker) for _, beat in beats(rig)} == {("", 0, ME)}
        rig.bus.arrive([third.closes()])
        rig.bus.sent.clear()
        await rig.bus.wait_for(has(WorkerBeat, 3))
        assert {to for to, _ in beats(rig)} == {kept}


@pytest.mark.usefixtures("quick_beats")
async def test_a_call_that_moved_here_from_another_gateway_is_shown_to_the_new_one_only() -> None:
    async with running(FakeEngine()) as rig:
        rig.bus.arrive([Caller().opens(gateway=GatewayId("old"))])
        await rig.bus.wait_for(has(WorkerBeat))
        rig.bus.sent.clear()
        rig.bus.arrive([Caller(epoch=1).opens(gateway=GatewayId("new"))])
        await rig.bus.wait_for(has(WorkerBeat, 2))
        assert {to for to, _ in beats(rig)} == {GatewayId("new")}


async def test_an_engine_that_is_lost_ends_the_worker() -> None:
    """Its calls go on elsewhere at once, and none comes here any more."""
    engine = FakeEngine()

    def breaks(_inputs: Sequence[StepInput]) -> None:
        raise EngineLostError("its process ended")

    engine.on_step = breaks
    async with running(engine) as rig:
        caller = Caller()
        rig.bus.arrive([caller.opens(), caller.speaks()])
        await rig.worker.died.wait()
        assert rig.worker.not_ready() == "engine thread ended"


async def test_a_fault_of_the_loop_itself_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_given: object) -> None:
        raise RuntimeError("broken invariant")

    monkeypatch.setattr(EngineLoop, "receive", breaks)
    async with running(FakeEngine()) as rig:
        rig.bus.arrive([Caller().opens()])
        await rig.worker.died.wait()
        assert rig.worker.not_ready() == "engine thread ended"


async def test_a_worker_that_cannot_offer_its_slots_does_not_start() -> None:
    rig = Rig(FakeEngine())
    rig.placement.away = True
    with pytest.raises(BusUnavailableError):
        await rig.worker.start()
    assert rig.bus.closed


async def test_every_family_has_a_unit_or_a_count_and_help() -> None:
    async with running(FakeEngine()) as rig:
        rig.bus.stats.damaged_frames = {"short": 2}
        text = generate_latest(rig.registry).decode()
        assert 'twowire_worker_wire_damaged_frames_total{reason="short"} 2.0' in text
        for family in rig.registry.collect():
            assert family.name.startswith("twowire_worker_")
            assert family.documentation.endswith(".")
            if family.type == "histogram" and family.name != "twowire_worker_batch_size":
                assert family.name.endswith("_seconds")
