"""Placement and one-time tokens in Redis.

Each step is one Lua script and so atomic; the scripts read the server's clock, so that hosts
need not agree on the time. They are in ``lua/``, the keys in ``wire.keys``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from wire import keys
from wire.bus.redis_connection import asking
from wire.bus.seam import ANYTHING, Lease, Wish, WorkerAdvert
from wire.ids import CallId, WorkerId

LEASE_TIMEOUT_S = 0.5  # a caller waits: better to ask again, by a new connection, than to wait for a frozen server

_LEASES_PREFIX = keys.worker_leases("")


@dataclass(slots=True)
class _Held:
    worker: WorkerId
    until: float


class RedisPlacement:
    """``seam.Placement``; every method raises BusUnavailableError when Redis cannot answer.

    It remembers the leases it was given: a renewal names the worker, and so brings back what a
    restarted, empty server lost. ``url`` is for error texts only.
    """

    def __init__(self, client: Redis, url: str, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._clock = clock
        self._held: dict[CallId, _Held] = {}
        self._advertise = script(client, "advertise")
        self._withdraw = script(client, "withdraw")
        self._lease = script(client, "lease")
        self._renew = script(client, "renew")
        self._release = script(client, "release")

    async def advertise(self, advert: WorkerAdvert, ttl_s: float) -> None:
        async with asking(self._url):
            await self._advertise([keys.HEARTBEATS, keys.ADVERTS], [advert.worker, msgspec.json.encode(advert), ttl_s])

    async def withdraw(self, worker: WorkerId) -> None:
        async with asking(self._url):
            await self._withdraw([keys.HEARTBEATS, keys.ADVERTS], [worker])

    async def lease(self, call: CallId, ttl_s: float, wish: Wish = ANYTHING) -> Lease | None:
        async with asking(self._url, LEASE_TIMEOUT_S):
            answer = await self._lease(
                [keys.HEARTBEATS, keys.ADVERTS, keys.CALL_LEASES],
                [_LEASES_PREFIX, call, ttl_s, msgspec.json.encode(wish)],
            )
        if answer is None:
            return None
        advert = msgspec.json.decode(answer[1], type=WorkerAdvert)
        self._held[call] = _Held(advert.worker, self._clock() + ttl_s)
        return Lease(call, advert.worker, advert.engine, advert.chunk_ms, advert.first_chunk_ms)

    async def renew(self, calls: Iterable[CallId], ttl_s: float) -> list[CallId]:
        now = self._clock()
        pairs: list[str] = []
        for call in calls:
            if (held := self._held.get(call)) is not None:
                held.until = now + ttl_s  # before the attempt: a call outlives an outage of any length
                pairs += (call, held.worker)
        # What is neither renewed nor released was abandoned by its door.
        self._held = {call: held for call, held in self._held.items() if held.until > now}
        if not pairs:
            return []
        async with asking(self._url):
            lost = await self._renew([keys.CALL_LEASES, keys.HEARTBEATS], [_LEASES_PREFIX, ttl_s, *pairs])
        return [CallId(call.decode()) for call in lost]

    async def release(self, call: CallId) -> None:
        self._held.pop(call, None)
        async with asking(self._url):
            await self._release([keys.CALL_LEASES], [_LEASES_PREFIX, call])


class RedisTokens:
    """``seam.OneTimeTokens``; raises BusUnavailableError when Redis cannot answer."""

    def __init__(self, client: Redis, url: str) -> None:
        self._client = client
        self._url = url

    async def spend(self, nonce: str, ttl_s: float) -> bool:
        async with asking(self._url):
            return bool(await self._client.set(keys.spent_token(nonce), b"1", nx=True, px=round(ttl_s * 1000)))


def script(client: Redis, name: str) -> AsyncScript:
    """A script of ``lua/``, by the name of its file."""
    source = files("wire.bus").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return client.register_script(source)
