"""Where the master is, by the word of a Sentinel and of the server itself."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError

from wire.bus.redis_address import HostPort


async def ask_for_master(sentinel: Redis, _: HostPort, name: str) -> HostPort:
    """Where the master of this name is. Raises RedisError when it is unknown, or down as far as this Sentinel knows."""
    state: Any = await sentinel.sentinel_master(name)
    if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        raise ConnectionError(f"the master {name!r} is down")
    return state["ip"], state["port"]


async def greet_master(connection: AbstractConnection) -> None:
    """Log in, and make sure that this is a master: a Sentinel may not have heard of a failover yet.

    By HELLO, which says so to every user; ROLE and INFO are for administrators. Raises ConnectionError.
    """
    await connection.on_connect()
    await connection.send_command("HELLO", "2", check_health=False)
    answer: Any = await connection.read_response()
    role = dict(zip(answer[::2], answer[1::2], strict=True)).get(b"role", b"server without a role")
    if role != b"master":
        raise ConnectionError(f"the server that a Sentinel calls the master is a {role.decode()}")
