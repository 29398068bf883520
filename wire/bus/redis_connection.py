"""How a Redis is reached: the one place that builds a client and names its faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from wire.bus.seam import BusUnavailableError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 2.0  # a failover by Sentinel takes 2.3 to 3.0 s; a server silent for 2 s is gone
MAX_CONNECTIONS = 16  # of one client; hundreds of calls that end at once wait their turn of a millisecond

UNREACHABLE = (RedisError, OSError, TimeoutError)
"""What a command raises when the server, or the way to it, fails."""


def connect(url: str, name: str, *, alone: bool = False) -> Redis:
    """A client for ``url``, not connected yet; ``name`` shows in ``CLIENT LIST``.

    ``alone``: for one command at a time, on one connection that no pool hands out and takes back, which costs
    a tenth less.

    Nothing is retried below us: the reader and the writer of the bus each know what is safe to do
    again. Nor is there a timeout on answers: whoever waits for one sets it with ``asyncio.timeout``.
    redis-py would use ``asyncio.wait_for``, a task for each command, which on Python 3.11 swallows a
    cancellation that meets its result (python/cpython#81839), so that ``close`` hung.
    RESP2 on purpose, so that answers have one shape with every server and release of redis-py.
    Raises BusUnavailableError for an address that is none.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=ANSWER_TIMEOUT_S,
            protocol=2,
            client_name=name,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=None,
        )
        return Redis(connection_pool=pool, single_connection_client=True) if alone else Redis.from_pool(pool)
    except ValueError as error:
        raise unavailable(url, error) from error


def mask(url: str) -> str:
    """The address without whatever may hold a password: user, query and fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a slash in it ends the host too early
        return "an address that cannot be read"
    return f"{parts.scheme}://{host or ''}{f':{port}' if port else ''}{parts.path}"


def unavailable(url: str, error: BaseException) -> BusUnavailableError:
    """The error for whoever runs this: which address, which setting, which fault."""
    fault = str(error) or type(error).__name__
    return BusUnavailableError(
        f"no Redis at {mask(url)} ({fault}); "
        "start one there, or set TWOWIRE_REDIS_URL to the address of yours (Redis 6.2 or later, or Valkey)"
    )


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[None]:
    """Wait for answers no longer than is sensible; raise BusUnavailableError in place of what the client raises."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            yield
    except UNREACHABLE as error:
        raise unavailable(url, error) from error
