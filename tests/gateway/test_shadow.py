"""An engine that listens along: it gets what the other one gets, and what it would have done otherwise is told."""

import asyncio
from collections.abc import Coroutine

import pytest
from prometheus_client import CollectorRegistry

from gateway.effects import NoteEnded, SendUp
from gateway.metrics import GatewayMetrics
from gateway.runner.record import CallRecord
from gateway.runner.shadow import SUFFIX, ShadowPolicy, Shadows
from tests.gateway.calls import CALL
from tests.gateway.records import chunk, decided, record
from wire.audio.codecs import Codec
from wire.bus.local import LocalHub
from wire.bus.seam import BusStats, Deliver, WorkerAdvert
from wire.ids import CallId, GatewayId, WorkerId
from wire.messages import AnyMessage, AudioChunk, CallClosed, CallFailed, CallOpened, Decision, DecisionKind

SHADOW = CallId(CALL + SUFFIX)


class Wire:
    """A bus that keeps what is sent."""

    def __init__(self) -> None:
        self.stats = BusStats()
        self.sent: list[AnyMessage] = []

    def send(self, to: str, message: AnyMessage) -> None:
        assert to == "listener"
        self.sent.append(message)

    def away_s(self) -> float:
        return 0.0

    async def start(self, deliver: Deliver) -> None:
        raise AssertionError("the hub does that")

    async def close(self) -> None:
        raise AssertionError("the hub does that")


class Studio:
    """A call that one engine decides, while another one may listen."""

    def __init__(self, share: float = 1.0) -> None:
        self.wire = Wire()
        self.placement = LocalHub().placement
        self.registry = CollectorRegistry()
        self.work: list[Coroutine[None, None, None]] = []
        metrics = GatewayMetrics(self.registry, lambda: self.wire.stats)
        self.shadows = Shadows(
            ShadowPolicy("other", share),
            GatewayId("g1"),
            self.wire,
            self.placement,
            metrics,
            self.work.append,
            chance=lambda: 0.5,
        )
        self.record: CallRecord = record()

    async def listener(self, slots: int = 4) -> None:
        await self.placement.advertise(WorkerAdvert(WorkerId("listener"), "other", slots, 400, 400), 60.0)

    async def settle(self) -> None:
        while self.work:
            await self.work.pop(0)

    def opens(self) -> None:
        opened = CallOpened(CALL, 0, 0, GatewayId("g1"), Codec.PCMU, "front-desk")
        self.shadows.observe(self.record, SendUp(opened, WorkerId("w1")))

    def answers(self, index: int, kind: DecisionKind) -> None:
        self.shadows.deliver(Decision(SHADOW, 0, index, index, kind))

    def counted(self, result: str) -> float:
        return self.registry.get_sample_value("twowire_gateway_shadow_decisions_total", {"result": result}) or 0.0


@pytest.fixture
async def studio() -> Studio:
    studio = Studio()
    await studio.listener()
    return studio


async def test_it_hears_every_chunk_under_a_name_and_numbers_of_its_own(studio: Studio):
    studio.opens()
    studio.shadows.observe(studio.record, chunk(0))  # before it has a worker
    await studio.settle()
    studio.shadows.observe(studio.record, chunk(1))
    assert [message.call for message in studio.wire.sent] == [SHADOW] * 3
    assert [message.seq for message in studio.wire.sent] == [0, 1, 2]
    assert [one.index for one in studio.wire.sent if isinstance(one, AudioChunk)] == [0, 1]
    assert studio.shadows.leased() == [SHADOW]


async def test_what_it_would_have_done_otherwise_is_counted_and_listed(studio: Studio):
    studio.opens()
    await studio.settle()
    for index, kind in enumerate((DecisionKind.LISTEN, DecisionKind.SPEAK, DecisionKind.LISTEN)):
        studio.shadows.observe(studio.record, chunk(index))
        studio.shadows.observe(studio.record, decided(index))
        studio.answers(index, kind)
    assert (studio.counted("same"), studio.counted("shadow_speaks")) == (2, 1)
    told = studio.record.as_json()["shadow"]
    assert (told["engine"], told["decisions"]) == ("other", 3)
    assert [(one["index"], one["kind"], one["shadow_kind"]) for one in told["differences"]] == [(1, "listen", "speak")]


async def test_a_decision_that_one_side_never_makes_is_passed_over(studio: Studio):
    studio.opens()
    await studio.settle()
    for index in (0, 2):
        studio.shadows.observe(studio.record, decided(index))
    for index in (1, 2):
        studio.answers(index, DecisionKind.LISTEN)
    assert studio.counted("same") == 1


async def test_it_ends_with_the_call_and_gives_its_slot_back(studio: Studio):
    studio.opens()
    await studio.settle()
    studio.shadows.observe(studio.record, NoteEnded("caller_hung_up", 3.0))
    await studio.settle()
    assert isinstance(studio.wire.sent[-1], CallClosed)
    assert studio.shadows.leased() == []
    await studio.placement.advertise(WorkerAdvert(WorkerId("listener"), "other", 1, 400, 400), 60.0)
    assert await studio.placement.lease(CallId("c2"), 10.0) is not None


async def test_without_a_free_slot_nobody_listens_and_that_is_counted():
    studio = Studio()
    studio.opens()
    await studio.settle()
    studio.shadows.observe(studio.record, chunk(0))
    assert not studio.wire.sent
    assert studio.counted("no_slot") == 1


async def test_a_shadow_that_fails_is_counted_and_the_call_knows_nothing_of_it(studio: Studio):
    studio.opens()
    await studio.settle()
    studio.shadows.deliver(CallFailed(SHADOW, 0, 0, "engine_fault"))
    await studio.settle()
    sent = len(studio.wire.sent)
    studio.shadows.observe(studio.record, chunk(0))
    assert len(studio.wire.sent) == sent
    assert studio.counted("lost") == 1


async def test_a_share_of_the_calls_is_listened_to():
    studio = Studio(share=0.4)  # chance is 0.5 here
    await studio.listener()
    studio.opens()
    assert not studio.work


async def test_a_call_that_ended_before_its_shadow_had_a_worker_leaves_no_lease():
    studio = Studio()
    await studio.listener(slots=1)
    studio.opens()
    studio.shadows.observe(studio.record, NoteEnded("caller_hung_up", 0.1))
    await studio.settle()
    await asyncio.sleep(0)
    assert await studio.placement.lease(CallId("c2"), 10.0) is not None
