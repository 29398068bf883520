"""Which node of a cluster is ours.

All keys carry one hash tag (``wire.keys``) and so lie in one slot, on one node: there is no need for a
client that splits commands by slot.
"""

from redis.asyncio import Redis
from redis.exceptions import AskError, MovedError

from wire import keys
from wire.bus.redis_address import HostPort


async def ask_for_owner(node: Redis, address: HostPort) -> HostPort:
    """Which node serves our slot; ``address`` is that of the one asked. Raises RedisError when it cannot say.

    It is asked for a key of ours rather than for its table: what it redirects is what counts, and every
    release of Redis and Valkey redirects alike.
    """
    try:
        await node.exists(keys.ADVERTS)
    except MovedError as moved:
        return moved.host or address[0], moved.port  # no host: the one that was asked, behind another port
    except AskError:  # the slot is on its way to another node, but has not left
        pass
    return address
