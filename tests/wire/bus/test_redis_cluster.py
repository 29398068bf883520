"""The bus on a cluster, where everything is on the one node that has our slot."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError, MovedError

from tests.wire.bus.helpers import Receiver, answered, said
from tests.wire.bus.servers import HOST, Cluster, Server, free_port
from wire import keys
from wire.bus.archive import ArchivedCall
from wire.bus.redis_archive import RedisArchive
from wire.bus.redis_connection import connect
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import BusUnavailableError, WorkerAdvert
from wire.ids import CallId, GatewayId, WorkerId

pytestmark = pytest.mark.redis

GATEWAY, WORKER = GatewayId("g1"), WorkerId("w1")
OUR_SLOT = key_slot(keys.ADVERTS.encode())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def cluster(servers: Cluster) -> Cluster:
    """The servers without data. It takes a new cluster 2 s to serve, so all tests share one."""
    for node in servers.nodes:
        node.client.flushall()
    return servers


def owner_and_other(cluster: Cluster) -> tuple[Server, Server]:
    first, second = cluster.nodes
    try:
        first.client.exists(keys.ADVERTS)
    except MovedError:
        return second, first
    return first, second


async def test_every_use_of_redis_works_through_whichever_node_is_named(cluster: Cluster):
    first, second = (f"redis+cluster://{node.address}" for node in cluster.nodes)
    gateway, worker = open_redis(first, GATEWAY, Side.GATEWAY), open_redis(second, WORKER, Side.WORKER)
    at_gateway, at_worker = Receiver(), Receiver()
    await gateway.bus.start(at_gateway)
    await worker.bus.start(at_worker)
    for seq in range(100):
        gateway.bus.send(WORKER, said(seq))
        worker.bus.send(GATEWAY, answered(seq))
    await at_worker.until(100)
    await at_gateway.until(100)
    assert at_worker.seqs == at_gateway.seqs == list(range(100))

    for parts in (gateway, worker):
        call = CallId(f"c{id(parts)}")
        await parts.placement.advertise(WorkerAdvert(WORKER, "scripted", 9, 400, 400), 60)
        assert await parts.placement.lease(call, 60)
        await parts.placement.renew([call], 60)
        await parts.placement.release(call)
        await parts.placement.withdraw(WORKER)
        assert await parts.tokens.spend(call, 60)
        assert not await parts.tokens.spend(call, 60)
    for url in (first, second):
        archive = RedisArchive(url, "g1", 60)
        await archive.put(ArchivedCall(CallId(url), 1.0, b"summary", b"story"))
        assert await archive.get(CallId(url)) == b"story"
        assert (await archive.newest(2.0, 1)) == [b"summary"]
        await archive.close()
    await asyncio.gather(gateway.bus.close(), worker.bus.close())


async def test_the_bus_follows_its_slot_to_another_node_and_neither_loses_nor_doubles_a_message(cluster: Cluster):
    owner, other = owner_and_other(cluster)
    url = f"redis+cluster://{owner.address},{other.address}"
    gateway, worker = open_redis(url, GATEWAY, Side.GATEWAY), open_redis(url, WORKER, Side.WORKER)
    at_gateway, at_worker = Receiver(), Receiver()
    await gateway.bus.start(at_gateway)
    await worker.bus.start(at_worker)

    sent = 0
    for source, target in ((owner, other), (other, owner), (owner, other)):
        moving = asyncio.create_task(asyncio.to_thread(cluster.move_slot, OUR_SLOT, source, target))
        while sent % 100 or not moving.done():
            gateway.bus.send(WORKER, said(sent))
            worker.bus.send(GATEWAY, answered(sent))
            sent += 1
            await asyncio.sleep(0)  # the bus and the thread take their turns
        await moving
        await at_worker.until(sent)
        await at_gateway.until(sent)
    assert at_worker.seqs == at_gateway.seqs == list(range(sent))
    assert (gateway.bus.stats.lost_superframes, worker.bus.stats.lost_superframes) == (0, 0)
    assert owner.client.execute_command("CLUSTER COUNTKEYSINSLOT", OUR_SLOT) == 0
    assert other.client.execute_command("CLUSTER COUNTKEYSINSLOT", OUR_SLOT) > 0
    await asyncio.gather(gateway.bus.close(), worker.bus.close())


async def test_one_refusal_turns_all_connections_of_a_client_to_the_new_node(cluster: Cluster):
    owner, other = owner_and_other(cluster)
    client = connect(f"redis+cluster://{owner.address}", "test")
    await asyncio.gather(*(client.hset(keys.ADVERTS, "a", "b") for _ in range(5)))  # on five connections
    await asyncio.to_thread(cluster.move_slot, OUR_SLOT, owner, other)
    with pytest.raises(ConnectionError, match="no longer at"):
        await client.hget(keys.ADVERTS, "a")
    assert await asyncio.gather(*(client.hget(keys.ADVERTS, "a") for _ in range(5))) == [b"b"] * 5
    await client.aclose()
    await client.connection_pool.disconnect()


async def test_a_transaction_and_a_batch_that_are_refused_say_so(cluster: Cluster):
    owner, other = owner_and_other(cluster)
    client = connect(f"redis+cluster://{owner.address}", "test")
    for transaction, source, target in ((True, owner, other), (False, other, owner)):
        await client.hset(keys.ADVERTS, "a", "b")
        await asyncio.to_thread(cluster.move_slot, OUR_SLOT, source, target)
        for outcome in ("refused", "done"):
            pipeline = client.pipeline(transaction=transaction)
            pipeline.hset(keys.ADVERTS, "c", outcome)
            pipeline.hget(keys.ADVERTS, "a")
            if outcome == "refused":
                with pytest.raises(ConnectionError, match="no longer at"):
                    await pipeline.execute()
            else:
                assert (await pipeline.execute())[1] == b"b"
    await client.aclose()
    await client.connection_pool.disconnect()


async def test_a_client_looks_for_its_node_again_when_that_dies(tmp_path: Path):
    with Cluster(tmp_path) as cluster:
        owner, other = owner_and_other(cluster)
        clients = [
            connect(f"redis+cluster://{owner.address},{other.address}", "test", alone=alone) for alone in (False, True)
        ]
        for client in clients:
            await client.hset(keys.ADVERTS, "a", "b")
        await asyncio.to_thread(owner.kill)
        me = other.client.execute_command("CLUSTER MYID")
        other.client.execute_command("CLUSTER SETSLOT", OUR_SLOT, "NODE", me)  # as its replica would
        for client in clients:
            with suppress(ConnectionError):  # of a connection the end may be found before a command, or by one
                await client.hset(keys.ADVERTS, "a", "c")
            await client.hset(keys.ADVERTS, "a", "d")
            assert other.client.hget(keys.ADVERTS, "a") == "d"
            await client.aclose()
            await client.connection_pool.disconnect()


async def test_a_dead_node_among_those_named_does_no_harm(cluster: Cluster):
    client = connect(f"redis+cluster://{HOST}:{free_port()},{cluster.nodes[0].address}", "test")
    await client.hset(keys.ADVERTS, "a", "b")
    await client.aclose()
    await client.connection_pool.disconnect()


async def test_a_cluster_of_which_nobody_answers_is_named():
    addresses = f"{HOST}:{free_port()},{HOST}:{free_port()}"
    gateway = open_redis(f"redis+cluster://:s3cret@{addresses}", GATEWAY, Side.GATEWAY)
    with pytest.raises(BusUnavailableError, match=f"at redis.cluster://{addresses} ") as caught:
        await gateway.bus.start(Receiver())
    assert "s3cret" not in str(caught.value)
