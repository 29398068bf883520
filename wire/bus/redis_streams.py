"""The bus over Redis Streams: one stream per process, one reader, one writer.

A stream belongs to one process, which alone reads it. Everything that is queued for a destination
within a few milliseconds leaves as one entry, a **super-frame** (docs/adr/0003). ``RedisBus`` joins
the two halves, ``redis_writer`` and ``redis_reader``, and keeps house between them.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial

import structlog

from wire import keys
from wire.bus.inbox import Inbox
from wire.bus.open import BusParts
from wire.bus.outbox import Outbox
from wire.bus.redis_connection import ANSWER_TIMEOUT_S, UNREACHABLE, asking, connect
from wire.bus.redis_placement import RedisPlacement, RedisTokens
from wire.bus.redis_reader import StreamReader
from wire.bus.redis_waiting_line import RedisWaitingLine
from wire.bus.redis_writer import StreamWriter
from wire.bus.seam import BusStats, BusUnavailableError, Deliver
from wire.ids import GatewayId, WorkerId
from wire.messages import AnyMessage

log = structlog.get_logger()

AUDIO_TTL_S = 5.0  # older speech answers a question nobody remembers; the shortest engine deadline is 0.4 s
OUTBOUND_LIMIT_BYTES = 16 * 1024 * 1024  # 5 s, the time to live, of 1,000 callers' µ-law (3.2 kB every 0.4 s), twice
MAX_ENTRIES = 10_000  # 5 s of what eight gateways write to one worker at 250 entries a second each
HOUSEKEEPING_S = 5.0
CLOSE_FLUSH_S = 2.0
RESTART_PAUSE_S = 1.0


class Side(Enum):
    """Which end of the wire a process is; it reads its own kind of stream and writes the other."""

    GATEWAY = "gateway"
    WORKER = "worker"

    def own_stream(self, address: str) -> str:
        return keys.gateway_stream(address) if self is Side.GATEWAY else keys.worker_stream(address)

    def peer_stream(self, address: str) -> str:
        return keys.worker_stream(address) if self is Side.GATEWAY else keys.gateway_stream(address)


class RedisBus:
    """``seam.Bus`` over Redis 6.2 or later, or Valkey.

    While Redis is away nothing raises: what is sent waits, bounded by ``outbound_limit_bytes``, and
    both halves come back by themselves. An entry is neither lost nor delivered twice as long as the
    server keeps its streams. To be built on the event loop it will run on. Raises BusUnavailableError
    here for a malformed ``url``; ``start`` raises it where nobody answers, and closes the bus.
    """

    def __init__(
        self,
        url: str,
        address: WorkerId | GatewayId,
        side: Side,
        *,
        audio_ttl_s: float = AUDIO_TTL_S,
        outbound_limit_bytes: int = OUTBOUND_LIMIT_BYTES,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self.stats = BusStats()
        self.client = connect(url, f"twowire-{address}")
        """For short commands, the placement's too. ``close`` closes it."""
        self._url = url
        self._side = side
        self._audio_ttl_s = audio_ttl_s
        self._own_stream = side.own_stream(address)
        self._reading = connect(url, f"twowire-{address}-reader", alone=True)
        self._writing = connect(url, f"twowire-{address}-writer", alone=True)
        outbox = Outbox(outbound_limit_bytes, audio_ttl_s, self.stats)
        # A new process under an old address must not look like a repetition of the old one.
        self._writer = StreamWriter(self._writing, f"{address}/{secrets.token_hex(4)}", outbox, self.stats, max_entries)
        self._reader: StreamReader | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, to: WorkerId | GatewayId, message: AnyMessage) -> None:
        """Queue a message for the next flush; see ``seam.Bus``. What is sent before ``start`` waits for it."""
        self._writer.send(self._side.peer_stream(to), message)

    def away_s(self) -> float:
        """See ``seam.Bus``."""
        return self._writer.waiting_s()

    async def start(self, deliver: Deliver) -> None:
        """Begin to receive what is written from now on. Raises BusUnavailableError."""
        self._reader = StreamReader(
            self._reading, self._own_stream, Inbox(deliver, self.stats, self._audio_ttl_s), self.stats
        )
        try:
            async with asking(self._url):
                await self._reader.start_at_the_end()
        except BusUnavailableError:
            await self.close()
            raise
        for name, work in (
            ("bus-reader", self._reader.run),
            ("bus-writer", self._writer.run),
            ("bus-housekeeping", partial(self._keep_house, self._reader)),
        ):
            self._tasks.append(asyncio.create_task(_keep_alive(name, work), name=name))

    async def close(self) -> None:
        """Flush what is queued, for 2 s at most, stop receiving and close every connection."""
        if self._tasks:
            try:
                async with asyncio.timeout(CLOSE_FLUSH_S):
                    await self._writer.drained()
            except TimeoutError:
                log.warning("bus.closed_unflushed")
        self._writer.abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for client in (self._reading, self._writing, self.client):
            await client.aclose()
            await client.connection_pool.disconnect()

    async def _keep_house(self, reader: StreamReader) -> None:
        """Calibrate the clock, and take what was read out of Redis: callers' voices are not kept there."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await reader.calibrate(self.client)
                    await reader.trim(self.client)
            except UNREACHABLE as error:  # the reader and the writer say so loudly enough
                log.debug("bus.housekeeping_failed", error=str(error))


def open_redis(url: str, address: WorkerId | GatewayId, side: Side) -> BusParts:
    """A bus, placement, tokens and waiting line on one Redis, not started yet.

    Raises BusUnavailableError for a bad URL.
    """
    bus = RedisBus(url, address, side)
    line = RedisWaitingLine(bus.client, url)
    return BusParts(bus, RedisPlacement(bus.client, url), RedisTokens(bus.client, url), line)


async def _keep_alive(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """None of the three ends by itself; if a fault of ours ends one, it says so and begins again: calls go on."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("bus.task_died", task=name)
            await asyncio.sleep(RESTART_PAUSE_S)
