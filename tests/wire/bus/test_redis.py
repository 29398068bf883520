"""The bus over a real server: what goes wrong between here and there."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.wire.bus.helpers import PATIENCE_S, Receiver, answered, heard, said
from wire import keys
from wire.bus.embedded import EmbeddedValkey
from wire.bus.redis_connection import mask
from wire.bus.redis_streams import RedisBus, Side, open_redis
from wire.bus.seam import BusUnavailableError, WorkerAdvert
from wire.codec import encode
from wire.ids import CallId, GatewayId, WorkerId

pytestmark = pytest.mark.redis

GATEWAY, WORKER = GatewayId("g1"), WorkerId("w1")
TO_WORKER = keys.worker_stream(WORKER)


class Pair:
    """A started gateway and worker."""

    def __init__(self, url: str) -> None:
        self.gateway = RedisBus(url, GATEWAY, Side.GATEWAY)
        self.worker = RedisBus(url, WORKER, Side.WORKER)
        self.at_gateway, self.at_worker = Receiver(), Receiver()

    async def start(self) -> None:
        await self.gateway.start(self.at_gateway)
        await self.worker.start(self.at_worker)

    async def close(self) -> None:
        await asyncio.gather(self.gateway.close(), self.worker.close())


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Pair]:
    both = Pair(redis_url)
    await both.start()
    yield both
    await both.close()


async def test_killed_connections_neither_lose_nor_double_a_message(pair: Pair, admin: Redis):
    for burst in range(1, 21):
        for seq in range((burst - 1) * 100, burst * 100):
            pair.gateway.send(WORKER, said(seq))
        # Some kills meet a batch in flight, some an entry being read, some nothing.
        if burst % 3:
            await pair.at_worker.until((burst - 1) * 100 + 1)
        await admin.client_kill_filter(_type="normal", skipme=True)
    await pair.at_worker.until(2000)
    pair.worker.send(GATEWAY, answered(0))
    await pair.at_gateway.until(1)
    assert pair.at_worker.seqs == list(range(2000))
    assert pair.worker.stats.lost_superframes == 0


async def test_a_superframe_that_was_written_twice_is_delivered_once(pair: Pair, admin: Redis):
    for number, seq in ((1, 0), (2, 1), (1, 0), (2, 1), (4, 3)):
        await admin.xadd(TO_WORKER, {"s": "g9/1", "n": number, "f": encode(said(seq))})
    await pair.at_worker.until(3)
    assert pair.at_worker.seqs == [0, 1, 3]
    assert (pair.worker.stats.repeated_superframes, pair.worker.stats.lost_superframes) == (2, 1)


async def test_a_peer_that_numbers_nothing_is_heard(pair: Pair, admin: Redis):
    await admin.xadd(TO_WORKER, {"f": encode(said(0))})
    await admin.xadd(TO_WORKER, {"f": encode(said(1)), "s": "g9", "n": "seven"})
    await pair.at_worker.until(2)
    assert pair.at_worker.seqs == [0, 1]


async def test_damaged_entries_are_counted_by_reason_and_the_rest_is_delivered(pair: Pair, admin: Redis):
    whole = encode(said(0))
    broken_body = whole[:-1] + b"?"
    await admin.xadd(TO_WORKER, {"f": encode(said(0)) + broken_body + encode(said(1))})
    await admin.xadd(TO_WORKER, {"f": whole[:5]})
    await admin.xadd(TO_WORKER, {"f": whole[:1] + b"\x09" + whole[2:]})
    await admin.xadd(TO_WORKER, {"g": "no superframe"})
    await admin.xadd(TO_WORKER, {"f": encode(said(2))})
    await pair.at_worker.until(3)
    assert pair.at_worker.seqs == [0, 1, 2]
    assert pair.worker.stats.damaged_frames == {"damaged": 1, "short": 1, "version": 1, "malformed": 1}


async def test_old_audio_is_dropped_and_old_control_messages_are_not(pair: Pair, admin: Redis):
    # The server stamps an entry unless it is given an id: this one is a minute old.
    seconds, _ = await admin.time()
    await admin.delete(TO_WORKER)
    await admin.xadd(TO_WORKER, {"f": encode(heard(0)) + encode(said(1))}, id=f"{(seconds - 60) * 1000}-0")
    pair.gateway.send(WORKER, heard(2))
    await pair.at_worker.until(2)
    assert pair.at_worker.seqs == [1, 2]
    assert pair.worker.stats.stale_messages == 1
    assert pair.at_worker.lags_s[0] == pytest.approx(60, abs=PATIENCE_S)
    assert pair.at_worker.lags_s[1] < 5


async def test_a_stream_that_nobody_reads_stays_bounded_and_has_an_end(
    redis_url: str, admin: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("wire.bus.redis_writer.BATCH_BYTES", 1)  # an entry for every message
    gateway = RedisBus(redis_url, GATEWAY, Side.GATEWAY, max_entries=200)
    await gateway.start(Receiver())
    for seq in range(1000):
        gateway.send(WorkerId("dead"), said(seq))
    async with asyncio.timeout(PATIENCE_S):
        while gateway.stats.sent_superframes < 1000:
            await admin.ping()
    await gateway.close()
    # "~" removes whole nodes only, of 100 entries at most.
    assert 200 <= await admin.xlen(keys.worker_stream("dead")) <= 300
    assert 0 < await admin.ttl(keys.worker_stream("dead")) <= 30


async def test_what_was_read_is_taken_out_of_redis(redis_url: str, admin: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wire.bus.redis_streams.HOUSEKEEPING_S", 0.01)
    pair = Pair(redis_url)
    await pair.start()
    for seq in range(10):
        pair.gateway.send(WORKER, heard(seq))
    await pair.at_worker.until(10)
    async with asyncio.timeout(PATIENCE_S):
        while await admin.xlen(TO_WORKER):  # each look is a round trip: the loop turns meanwhile
            pass
    pair.gateway.send(WORKER, heard(10))
    await pair.at_worker.until(11)
    assert 0 < await admin.ttl(TO_WORKER) <= 30
    await pair.close()


async def test_a_server_that_refuses_for_a_while_loses_nothing(pair: Pair, admin: Redis):
    await admin.config_set("maxmemory", "1")
    try:
        for seq in range(20):
            pair.gateway.send(WORKER, said(seq))
        await admin.ping()
    finally:
        await admin.config_set("maxmemory", "0")
    await pair.at_worker.until(20)
    assert pair.at_worker.seqs == list(range(20))


async def test_a_destination_that_is_no_stream_does_not_hold_up_the_others(pair: Pair, admin: Redis):
    await admin.set(keys.worker_stream("w9"), "not a stream")
    pair.gateway.send(WorkerId("w9"), said(0))
    pair.gateway.send(WORKER, said(1))
    await pair.at_worker.until(1)
    assert pair.at_worker.seqs == [1]


async def test_the_bus_comes_back_with_a_restarted_empty_server():
    with EmbeddedValkey() as server:
        pair = Pair(server.url)
        parts = open_redis(server.url, GatewayId("g2"), Side.GATEWAY)
        await pair.start()
        await parts.placement.advertise(WorkerAdvert(WORKER, "scripted", 1, 400, 400), 60)
        assert await parts.placement.lease(CallId("c1"), 60) is not None
        pair.gateway.send(WORKER, said(0))
        await pair.at_worker.until(1)

        await asyncio.to_thread(server.stop)
        with pytest.raises(BusUnavailableError, match="TWOWIRE_REDIS_URL"):
            await parts.placement.lease(CallId("c2"), 60)
        for seq in range(1, 50):
            pair.gateway.send(WORKER, said(seq))
        await asyncio.to_thread(server.start)

        await pair.at_worker.until(50)
        assert pair.at_worker.seqs == list(range(50))
        pair.worker.send(GATEWAY, answered(0))
        await pair.at_gateway.until(1)

        # The call ran on; its lease is there again before the slot can be given away.
        await parts.placement.renew([CallId("c1")], 60)
        await parts.placement.advertise(WorkerAdvert(WORKER, "scripted", 1, 400, 400), 60)
        assert await parts.placement.lease(CallId("c2"), 60) is None
        await pair.close()
        await parts.bus.close()


async def test_what_waits_for_a_server_that_is_away_is_bounded():
    with EmbeddedValkey() as server:
        bus = RedisBus(server.url, GATEWAY, Side.GATEWAY, outbound_limit_bytes=40_000)
        await bus.start(Receiver())
        await asyncio.to_thread(server.stop)
        for seq in range(100):
            bus.send(WORKER, heard(seq))
        assert bus.stats.unsent_messages >= 100 - 40_000 // 3200
        await bus.close()  # nobody is there: what is left counts as unsent, and close returns
        assert bus.stats.sent_superframes == 0


async def test_a_server_that_is_not_there_is_named_without_its_password():
    bus = RedisBus("redis://user:s3cret@127.0.0.1:1/0", GATEWAY, Side.GATEWAY)
    with pytest.raises(BusUnavailableError) as caught:
        await bus.start(Receiver())
    assert "redis://127.0.0.1:1/0" in str(caught.value)
    assert "TWOWIRE_REDIS_URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(BusUnavailableError, match="TWOWIRE_REDIS_URL"):
        RedisBus("localhost:6379", GATEWAY, Side.GATEWAY)


async def clients(admin: Redis) -> set[str]:
    """The numbers of the connections that the server has."""
    return {client["id"] for client in await admin.client_list()}


async def test_a_closed_bus_leaves_no_connection_and_no_task(redis_url: str, admin: Redis):
    tasks, before = asyncio.all_tasks(), await clients(admin)
    pair = Pair(redis_url)
    await pair.start()
    pair.gateway.send(WORKER, said(0))
    await pair.at_worker.until(1)
    assert await clients(admin) > before
    await pair.close()
    async with asyncio.timeout(PATIENCE_S):
        while await clients(admin) - before:  # the server notices a closed socket in its own time
            pass
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cret@h:6379/0", "redis://h:6379/0?password=s3cret", "redis://:s3/cret@h", "redis://u:s3cret@[::1"],
)
def test_no_form_of_address_gives_a_password_away(url: str):
    assert "s3" not in mask(url)
