"""What is kept of a call to run it again: everything its worker was told, and each decision, or nothing more."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter

from gateway.effects import NoteEnded, SendAgain, SendUp
from gateway.runner import call_recorder
from gateway.runner.call_recorder import CallRecorder
from tests.gateway.calls import CALL
from tests.gateway.records import chunk, decided, record
from wire.audio.codecs import Codec
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId, GatewayId, WorkerId
from wire.messages import AudioChunk, CallClosed, CallOpened, Decision, Past
from wire.recorded import read

RETENTION_S = 60.0


class Shelf:
    """Keeps what is written; may be away."""

    def __init__(self) -> None:
        self.data: dict[CallId, bytes] = {}
        self.away = False

    async def add(self, parts: Mapping[CallId, bytes], retention_s: float) -> None:
        if self.away:
            raise BusUnavailableError("away")
        assert retention_s == RETENTION_S
        for call, part in parts.items():
            self.data[call] = self.data.get(call, b"") + part

    async def close(self) -> None:
        self.away = True


class Studio:
    """One call, recorded on a shelf."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.registry = CollectorRegistry()
        truncated = Counter("truncated", "For this test.", registry=self.registry)
        self.recorder = CallRecorder(self.shelf, RETENTION_S, truncated)
        self.record = record()
        self.recorder.start()

    def tell(self, *effects: SendUp | SendAgain) -> None:
        for effect in effects:
            self.recorder.observe(self.record, effect)

    def cut_short(self) -> float:
        return self.registry.get_sample_value("truncated_total") or 0.0

    async def kept(self) -> list[object]:
        await self.recorder.close()
        return list(read(self.shelf.data[CALL])[1])


def opened(past: Past | None = None) -> SendUp:
    epoch = 0 if past is None else 1
    message = CallOpened(CALL, epoch, 0, GatewayId("g1"), Codec.PCMU, "front-desk", past=past)
    return SendUp(message, WorkerId("w1"))


async def test_a_call_is_kept_whole_and_in_order():
    studio = Studio()
    studio.tell(opened(), chunk(0))
    studio.recorder.observe(studio.record, decided(0))
    studio.tell(chunk(1))
    kept = await studio.kept()
    assert [type(message) for message in kept] == [CallOpened, AudioChunk, Decision, AudioChunk]
    header, _ = read(studio.shelf.data[CALL])
    assert (header.call, header.engine, header.chunk_ms) == (CALL, "rule", 400)


async def test_another_worker_is_no_part_of_the_call():
    studio = Studio()
    studio.tell(opened(), chunk(0), SendUp(CallClosed(CALL, 0, 2, "moved"), WorkerId("w1")), opened(Past(1)))
    studio.tell(SendAgain(chunk(0).message, WorkerId("w2")), chunk(1))
    assert [message.index for message in await studio.kept() if isinstance(message, AudioChunk)] == [0, 1]


async def test_what_begins_in_its_middle_is_not_kept():
    studio = Studio()
    studio.tell(opened(Past(7)), chunk(7))
    await studio.recorder.close()
    assert studio.shelf.data == {}


async def test_while_the_bus_is_away_it_is_kept_back_and_written_later():
    studio = Studio()
    studio.shelf.away = True
    studio.tell(opened(), chunk(0))
    await studio.recorder.flush()
    assert studio.shelf.data == {}
    studio.shelf.away = False
    studio.tell(chunk(1))
    assert len(await studio.kept()) == 3
    assert studio.cut_short() == 0


async def test_a_call_that_cannot_be_kept_whole_is_kept_up_to_there_and_counted(monkeypatch):
    monkeypatch.setattr(call_recorder, "MAX_PENDING_BYTES", 8_000)
    studio = Studio()
    studio.tell(opened(), *(chunk(index) for index in range(5)))
    assert studio.cut_short() == 1
    assert [message.index for message in await studio.kept() if isinstance(message, AudioChunk)] == [0, 1]


async def test_a_call_that_is_over_leaves_nothing_behind():
    studio = Studio()
    studio.tell(opened(), chunk(0))
    studio.recorder.observe(studio.record, NoteEnded("caller_hung_up", 1.0))
    studio.tell(chunk(1))
    assert len(await studio.kept()) == 2
