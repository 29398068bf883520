"""Two carriers for the same promises: what holds in one process must hold over Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from wire import keys
from wire.bus.embedded import EmbeddedValkey
from wire.bus.local import LocalHub
from wire.bus.open import BusParts
from wire.bus.redis_connection import connect
from wire.bus.redis_streams import Side, open_redis
from wire.ids import GatewayId, WorkerId


@pytest.fixture(scope="session")
def own_server() -> Iterator[str]:
    """A server on which no other test's gateway or worker lives."""
    with EmbeddedValkey() as server:
        yield server.url


@pytest.fixture
def redis_url(own_server: str) -> str:
    """A server without data."""
    with BlockingRedis.from_url(own_server) as client:
        client.flushall()
    return own_server


@pytest.fixture
async def admin(redis_url: str) -> AsyncIterator[Redis]:
    """A client beside the bus, to look at the server and to trouble it."""
    client = connect(redis_url, "admin")
    yield client
    await client.aclose()


@dataclass
class Carrier:
    """Opens endpoints, and lets the time of leases and tokens pass."""

    gateway: Callable[[str], BusParts]
    worker: Callable[[str], BusParts]
    pass_time: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.redis)])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    opened: list[BusParts] = []

    def keep(parts: BusParts) -> BusParts:
        opened.append(parts)
        return parts

    if request.param == "local":
        clock = [1000.0]
        hub = LocalHub(lambda: clock[0])

        async def pass_time(seconds: float) -> None:
            clock[0] += seconds

        yield Carrier(
            lambda name: keep(hub.open(GatewayId(name))), lambda name: keep(hub.open(WorkerId(name))), pass_time
        )
    else:
        url: str = request.getfixturevalue("redis_url")
        admin = connect(url, "admin")

        yield Carrier(
            lambda name: keep(open_redis(url, GatewayId(name), Side.GATEWAY)),
            lambda name: keep(open_redis(url, WorkerId(name), Side.WORKER)),
            lambda seconds: _age(admin, seconds),
        )
        await admin.aclose()
    await asyncio.gather(*(parts.bus.close() for parts in opened))


async def _age(admin: Redis, seconds: float) -> None:
    """Make everything that is stored older: a test does not wait."""
    for key in await admin.keys("*"):
        name = key.decode() if isinstance(key, bytes) else key
        if name == keys.HEARTBEATS or name.startswith(keys.worker_leases("")):
            members: Any = await admin.zrange(name, 0, -1)
            for member in members:
                await admin.zincrby(name, -seconds, member)
        elif name.startswith(keys.spent_token("")):
            await admin.pexpire(name, await admin.pttl(name) - round(seconds * 1000))
