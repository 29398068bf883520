"""The bus over a master that dies, or freezes, and is replaced by its replica."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from tests.wire.bus.helpers import PATIENCE_S, Receiver, answered, said
from tests.wire.bus.servers import HOST, MASTER, PASSWORD, SentinelGroup
from wire.bus.redis_connection import connect
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import BusUnavailableError, Lease, Placement, WorkerAdvert
from wire.ids import CallId, GatewayId, WorkerId

pytestmark = pytest.mark.redis

GATEWAY, WORKER = GatewayId("g1"), WorkerId("w1")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path) as servers:
        yield servers


class Pair:
    """A started gateway and worker that number what they send."""

    def __init__(self, url: str) -> None:
        self.gateway = open_redis(url, GATEWAY, Side.GATEWAY)
        self.worker = open_redis(url, WORKER, Side.WORKER)
        self.at_gateway, self.at_worker = Receiver(), Receiver()
        self._sent = 0

    async def start(self) -> None:
        await self.gateway.bus.start(self.at_gateway)
        await self.worker.bus.start(self.at_worker)

    def send(self, count: int) -> None:
        for seq in range(self._sent, self._sent + count):
            self.gateway.bus.send(WORKER, said(seq))
            self.worker.bus.send(GATEWAY, answered(seq))
        self._sent += count

    async def have_all(self) -> None:
        """Wait until both have all that was sent, in order and once."""
        for receiver in (self.at_worker, self.at_gateway):
            await receiver.until(self._sent)
            assert receiver.seqs == list(range(self._sent))

    async def lease(self, call: str) -> Lease | None:
        """As a fleet does it: workers advertise every few seconds, and a call that found nobody tries again."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self.worker.placement.advertise(WorkerAdvert(WORKER, "scripted", 9, 400, 400), 60)
                    return await _lease(self.gateway.placement, call)
                except BusUnavailableError:
                    await asyncio.sleep(0.05)

    async def close(self) -> None:
        await asyncio.gather(self.gateway.bus.close(), self.worker.bus.close())


async def _lease(placement: Placement, call: str) -> Lease | None:
    return await placement.lease(CallId(call), 60)


@pytest.fixture
async def pair(group: SentinelGroup) -> AsyncIterator[Pair]:
    both = Pair(group.url)
    await both.start()
    yield both
    await both.close()


async def test_the_bus_follows_the_master_when_it_is_killed(group: SentinelGroup, pair: Pair):
    pair.send(100)
    await pair.have_all()
    assert await pair.lease("c1")

    await asyncio.to_thread(group.master.kill)
    pair.send(100)  # the dead acknowledges nothing: it all waits for the new master
    await pair.have_all()
    assert group.named() == group.replica.port
    pair.send(100)
    await pair.have_all()
    assert await pair.lease("c2")


async def test_the_bus_follows_the_master_when_it_freezes_and_does_not_return_with_it(group: SentinelGroup, pair: Pair):
    pair.send(100)
    await pair.have_all()
    assert await pair.lease("c1")

    group.master.freeze()
    try:
        pair.send(100)
        await pair.have_all()
        assert await pair.lease("c2")
    finally:
        group.master.thaw()
    pair.send(100)
    await asyncio.to_thread(group.master.until, lambda client: client.role()[0] == "slave")
    pair.send(100)
    await pair.have_all()
    assert await pair.lease("c3")


async def test_frozen_sentinels_do_not_hold_up_a_client_that_waits_for_2_s_and_are_asked_last_next_time(
    group: SentinelGroup,
):
    for sentinel in group.sentinels[:2]:
        sentinel.freeze()
    client = connect(group.url, "test")
    async with asyncio.timeout(2.0):
        await client.set("key", 1)
    await client.connection_pool.disconnect()
    async with asyncio.timeout(0.9):  # to ask the two first would take a second
        await client.set("key", 2)
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.mark.parametrize("alone", [True, False])
async def test_a_master_that_is_demoted_is_left_at_its_first_refusal(group: SentinelGroup, alone: bool):
    client = connect(group.url, "test", alone=alone)
    await client.set("key", 1)
    await asyncio.to_thread(_swap, group)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await client.set("key", 2)
                break
            except ConnectionError:
                pass
    assert group.replica.client.get("key") == "2"
    await client.aclose()
    await client.connection_pool.disconnect()


def _swap(group: SentinelGroup) -> None:
    """Make the replica the master behind the back of everybody's connections, then tell the Sentinels."""
    group.replica.client.replicaof("NO", "ONE")
    group.master.client.replicaof(HOST, group.replica.port)
    _rename(group, group.replica.port)


def _rename(group: SentinelGroup, port: int) -> None:
    """Make the Sentinels call the server on this port the master."""
    for sentinel in group.sentinels:
        sentinel.client.sentinel_remove(MASTER)
        sentinel.client.sentinel_monitor(MASTER, HOST, port, 2)
        sentinel.client.sentinel_set(MASTER, "auth-pass", PASSWORD)


async def test_a_reader_that_waits_on_a_demoted_master_is_turned_away(group: SentinelGroup):
    client = connect(group.url, "test", alone=True)
    blocking: Any = client.xread({"stream": "$"}, block=round(PATIENCE_S * 1000))
    reading = asyncio.create_task(blocking)
    await asyncio.to_thread(group.master.until, lambda master: master.info("clients")["blocked_clients"] == 1)
    await asyncio.to_thread(_swap, group)
    with pytest.raises(ConnectionError):
        await reading
    assert (await client.role())[0] == b"master"
    await client.aclose()
    await client.connection_pool.disconnect()


async def test_a_sentinel_that_still_names_a_replica_is_not_believed(group: SentinelGroup):
    await asyncio.to_thread(_rename, group, group.replica.port)
    client = connect(group.url, "test")
    with pytest.raises(ConnectionError, match="replica"):
        await client.set("key", 1)
    await client.aclose()
    await client.connection_pool.disconnect()


async def test_an_unknown_master_is_named_with_the_sentinels(group: SentinelGroup):
    gateway = open_redis(group.url.replace(MASTER, "other"), GATEWAY, Side.GATEWAY)
    with pytest.raises(BusUnavailableError, match="No such master") as caught:
        await gateway.bus.start(Receiver())
    assert str(group.sentinels[2].port) in str(caught.value)
