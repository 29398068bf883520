"""How a Redis is reached: the one place that builds a client and names its faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from wire.bus.redis_address import UNREADABLE, Followed, parse
from wire.bus.redis_address import mask as mask
from wire.bus.redis_cluster import ask_for_owner
from wire.bus.redis_following import (
    QUESTION_TIMEOUT_S,
    Ask,
    Finder,
    FollowingConnection,
    FollowingPool,
    FollowingTlsConnection,
    fault_of,
)
from wire.bus.redis_following import UNREACHABLE as UNREACHABLE
from wire.bus.redis_sentinel import ask_for_master, greet_master
from wire.bus.seam import BusUnavailableError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 2.0  # a failover by Sentinel takes 2.3 to 3.0 s; a server silent for 2 s is gone
MAX_CONNECTIONS = 16  # of one client; hundreds of calls that end at once wait their turn of a millisecond


def connect(url: str, name: str, *, alone: bool = False) -> Redis:
    """A client for ``url`` (``redis_address`` lists the forms), not connected yet; ``name`` shows in ``CLIENT LIST``.

    ``alone``: for one command at a time, on one connection that no pool hands out and takes back, which costs
    a tenth less.

    Nothing is retried below us: the reader and the writer of the bus each know what is safe to do
    again. Nor is there a timeout on answers: whoever waits for one sets it with ``asyncio.timeout``.
    redis-py would use ``asyncio.wait_for``, a task for each command, which on Python 3.11 swallows a
    cancellation that meets its result (python/cpython#81839), so that ``close`` hung.
    RESP2 on purpose, so that answers have one shape with every server and release of redis-py.
    Raises BusUnavailableError for an address that is none.
    """
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": ANSWER_TIMEOUT_S,
        "client_name": name,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        **_no_retries(),
    }
    try:
        pool = _pool(url, options)
        return Redis(connection_pool=pool, single_connection_client=True) if alone else Redis.from_pool(pool)
    except ValueError as error:
        raise unavailable(url, error) from error


def _pool(url: str, options: dict[str, Any]) -> BlockingConnectionPool:
    if (followed := parse(url)) is not None:
        return _follow(followed, options)
    try:
        return BlockingConnectionPool.from_url(url, **options)
    except ValueError:
        if mask(url) != UNREADABLE:
            raise
        # redis-py quotes what it cannot read, and that may be a password.
        raise ValueError("are its ports numbers, its brackets closed, its password percent-encoded?") from None


def _follow(followed: Followed, options: dict[str, Any]) -> FollowingPool:
    ask: Ask = ask_for_owner if followed.master is None else partial(ask_for_master, name=followed.master)
    seed_options = {"socket_connect_timeout": QUESTION_TIMEOUT_S, **_no_retries(), **followed.seed_options}
    server_options = dict(followed.server_options)
    tls = server_options.pop("connection_class", None) is not None
    if followed.master is not None:
        server_options["redis_connect_func"] = greet_master
    return FollowingPool(
        finder=Finder(followed.seeds, ask, seed_options),
        connection_class=FollowingTlsConnection if tls else FollowingConnection,
        **options,
        **server_options,
    )


def _no_retries() -> dict[str, Any]:
    return {"protocol": 2, "retry": Retry(NoBackoff(), 0), "socket_timeout": None}


def unavailable(url: str, error: BaseException) -> BusUnavailableError:
    """The error for whoever runs this: which address, which setting, which fault."""
    return BusUnavailableError(
        f"no Redis at {mask(url)} ({fault_of(error)}); "
        "start one there, or set TWOWIRE_REDIS_URL to the address of yours (Redis 6.2 or later, or Valkey)"
    )


@asynccontextmanager
async def asking(url: str, timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncIterator[None]:
    """Wait for answers no longer than is sensible; raise BusUnavailableError in place of what the client raises."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except UNREACHABLE as error:
        raise unavailable(url, error) from error
