"""Connections that ask where the server is: behind Sentinels, or in a cluster, it may be elsewhere the next time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from wire.bus.redis_address import HostPort

QUESTION_TIMEOUT_S = 0.5  # so that three frozen Sentinels leave a fourth the time to answer within two seconds

UNREACHABLE = (RedisError, OSError, TimeoutError)
"""What a command raises when the server, or the way to it, fails."""

Ask = Callable[[Redis, HostPort], Awaitable[HostPort]]
"""Asks one seed, at this address, where the server is."""

_ELSEWHERE = (ReadOnlyError, MovedError, ClusterDownError, MasterDownError)
"""What a server answers that is not, or no longer, the one to talk to."""


class Finder:
    """Asks one seed after the other where the server is."""

    def __init__(self, seeds: tuple[HostPort, ...], ask: Ask, options: dict[str, Any]) -> None:
        self.latest: HostPort | None = None
        """Where it was last; None when it turned out to be elsewhere."""
        self._seeds = list(seeds)
        self._ask = ask
        self._options = options

    async def find(self) -> HostPort:
        """Raises ConnectionError when no seed can say."""
        faults: list[str] = []
        for seed in tuple(self._seeds):
            try:
                async with asyncio.timeout(QUESTION_TIMEOUT_S):
                    self.latest = await self._ask_one(seed)
                return self.latest
            except UNREACHABLE as error:
                faults.append(f"{seed[0]}:{seed[1]}: {fault_of(error)}")
                self._seeds = [other for other in self._seeds if other != seed] + [seed]  # the next search asks it last
        raise ConnectionError(f"nobody says where the server is ({'; '.join(faults)})")

    def forget(self, address: HostPort) -> None:
        """The server is no longer at this address."""
        if self.latest == address:
            self.latest = None

    async def _ask_one(self, seed: HostPort) -> HostPort:
        # A connection for each question: they are rare, and none is left to be closed, or to a seed that froze.
        pool = ConnectionPool(host=seed[0], port=seed[1], **self._options)
        async with Redis.from_pool(pool) as client:
            return await self._ask(client, seed)


class FollowingConnection(Connection):
    """Asks where the server is whenever it connects, and ends when the server is no longer the one to talk to.

    SentinelManagedConnection of redis-py asks only when a pool connects it: a client that is ``alone`` would
    go back to the old master for ever.
    """

    def __init__(self, *, finder: Finder, **options: Any) -> None:
        super().__init__(**options)
        self._finder = finder

    @property
    def address(self) -> HostPort:
        return self.host, self.port

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if not self.is_connected:
            self.host, self.port = await self._finder.find()
        await super().connect_check_health(check_health, retry_socket_connect)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            # UNBLOCKED: what a blocking XREAD is told when its master becomes a replica.
            if not isinstance(error, _ELSEWHERE) and not str(error).startswith("UNBLOCKED"):
                raise
            self._finder.forget(self.address)
            await self.disconnect(nowait=True)
            raise ConnectionError(f"the server is no longer at {self.host}:{self.port} ({error})") from error


class FollowingTlsConnection(FollowingConnection, SSLConnection):
    """The same over TLS."""


class FollowingPool(BlockingConnectionPool):
    """A bounded pool, all of whose connections lead to where the server was found last."""

    def __init__(self, *, finder: Finder, **options: Any) -> None:
        super().__init__(finder=finder, **options)
        self._finder = finder

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        assert isinstance(connection, FollowingConnection), "this pool makes no others"
        if connection.address != self._finder.latest:
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


def fault_of(error: BaseException) -> str:
    """What an error says, or what it is."""
    return str(error) or type(error).__name__
