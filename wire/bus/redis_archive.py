"""The archive of past calls in Redis, shared by all gateways: one hash per call, which the server lets expire."""

from typing import Any

from wire import keys
from wire.bus.archive import ArchivedCall
from wire.bus.redis_connection import asking, connect
from wire.ids import CallId

MAX_LISTED = 100_000  # a week of a call every six seconds; older ones are still found by name


class RedisArchive:
    """``archive.CallArchive`` on a connection of its own, so that a long story never delays a lease.

    Raises BusUnavailableError here for a malformed ``url``, and from every method when Redis cannot answer.
    """

    def __init__(self, url: str, name: str, retention_s: float, max_listed: int = MAX_LISTED) -> None:
        self._url = url
        self._client = connect(url, f"twowire-{name}-archive")
        self._retention_s = retention_s
        self._max_listed = max_listed

    async def put(self, past: ArchivedCall) -> None:
        key = keys.past_call(past.call)
        async with asking(self._url), self._client.pipeline(transaction=True) as transaction:
            transaction.hset(key, mapping={"summary": past.summary, "story": past.story})
            transaction.pexpire(key, round(self._retention_s * 1_000))
            transaction.zadd(keys.PAST_CALLS, {past.call: past.started_unix_s})
            # By the gateway's clock, the only one that knows when calls begin; the list is all that it trims.
            transaction.zremrangebyscore(keys.PAST_CALLS, "-inf", past.started_unix_s - self._retention_s)
            transaction.zremrangebyrank(keys.PAST_CALLS, 0, -self._max_listed - 1)
            transaction.pexpire(keys.PAST_CALLS, round(self._retention_s * 1_000))
            await transaction.execute()

    async def get(self, call: CallId) -> bytes | None:
        async with asking(self._url):
            story: Any = await self._client.hget(keys.past_call(call), "story")
        return story if isinstance(story, bytes) else None

    async def newest(self, before_unix_s: float, limit: int) -> list[bytes]:
        async with asking(self._url):
            calls: Any = await self._client.zrevrangebyscore(
                keys.PAST_CALLS, f"({before_unix_s!r}", "-inf", start=0, num=limit
            )
            async with self._client.pipeline(transaction=False) as pipeline:
                for call in calls:
                    pipeline.hget(keys.past_call(call.decode()), "summary")
                summaries = await pipeline.execute()
        return [summary for summary in summaries if summary is not None]  # some may expire before the list is trimmed

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
