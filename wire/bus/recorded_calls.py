"""Recorded calls on the bus: parts are added while a call lives, and all of it expires after the retention."""

from collections.abc import Mapping
from typing import Any

from wire import keys
from wire.bus.redis_connection import asking, connect
from wire.ids import CallId


class RecordedCalls:
    """On a connection of its own. Methods raise BusUnavailableError; so does this for a malformed ``url``."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._client = connect(url, f"twowire-{name}-recorded")

    async def add(self, parts: Mapping[CallId, bytes], retention_s: float) -> None:
        """Append to each call's recording; it is kept for ``retention_s`` after this."""
        async with asking(self._url), self._client.pipeline(transaction=False) as pipeline:
            for call, part in parts.items():
                pipeline.rpush(keys.recorded_call(call), part)
                pipeline.pexpire(keys.recorded_call(call), round(retention_s * 1_000))
            await pipeline.execute()

    async def get(self, call: CallId) -> bytes | None:
        """All of a recording; None when there is none, or no more."""
        async with asking(self._url):
            parts: Any = await self._client.lrange(keys.recorded_call(call), 0, -1)
        return b"".join(parts) if parts else None

    async def delete(self, call: CallId) -> bool:
        """Forget a recording; False when there was none."""
        async with asking(self._url):
            return bool(await self._client.delete(keys.recorded_call(call)))

    async def close(self) -> None:
        """Let go of the server."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
