"""The waiting line in Redis, shared by all gateways."""

from redis.asyncio import Redis

from wire import keys
from wire.bus.redis_connection import asking
from wire.bus.redis_placement import LEASE_TIMEOUT_S, script
from wire.bus.waiting_line import GONE_AFTER_S
from wire.ids import CallId


class RedisWaitingLine:
    """``waiting_line.WaitingLine``; every method raises BusUnavailableError when Redis cannot answer."""

    def __init__(self, client: Redis, url: str) -> None:
        self._client = client
        self._url = url
        self._wait = script(client, "wait")

    async def ask(self, call: CallId) -> int:
        return (await self._ask(call))[0]

    async def length(self) -> int:
        return (await self._ask(""))[1]

    async def leave(self, call: CallId) -> None:
        async with asking(self._url, LEASE_TIMEOUT_S), self._client.pipeline(transaction=False) as pipeline:
            pipeline.zrem(keys.WAITING, call)
            pipeline.zrem(keys.WAITING_ASKED, call)
            await pipeline.execute()

    async def _ask(self, call: str) -> tuple[int, int]:
        async with asking(self._url, LEASE_TIMEOUT_S):
            place, length = await self._wait([keys.WAITING, keys.WAITING_ASKED], [call, GONE_AFTER_S])
        return int(place), int(length)
