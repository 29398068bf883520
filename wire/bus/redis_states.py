"""The states of live calls in Redis, which lets them expire by itself when their gateway is gone."""

from collections.abc import Mapping
from typing import Any

from wire import keys
from wire.bus.redis_connection import asking, connect
from wire.ids import CallId


class RedisStates:
    """``call_states.CallStates`` on a connection of its own. Raises BusUnavailableError for a malformed ``url``."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._client = connect(url, f"twowire-{name}-states")

    async def put(self, states: Mapping[CallId, bytes], ttl_s: float) -> None:
        async with asking(self._url), self._client.pipeline(transaction=False) as pipeline:
            for call, state in states.items():
                pipeline.set(keys.live_call(call), state, px=round(ttl_s * 1_000))
            await pipeline.execute()

    async def get(self, call: CallId) -> bytes | None:
        async with asking(self._url):
            state: Any = await self._client.get(keys.live_call(call))
        return state if isinstance(state, bytes) else None

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
