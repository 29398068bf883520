"""The reading half of the Redis bus: one blocking XREAD on the process's own stream."""

import asyncio
from collections import OrderedDict
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from wire.bus.inbox import Inbox
from wire.bus.redis_connection import ANSWER_TIMEOUT_S, UNREACHABLE
from wire.bus.redis_writer import STREAM_TTL_S, Backoff
from wire.bus.seam import BusStats
from wire.bus.server_clock import ServerClock
from wire.errors import WireError

log = structlog.get_logger()

BLOCK_S = 1.0  # one round trip a second while nothing comes, which also tells a dead server from a quiet one
_BLOCK_MS = round(BLOCK_S * 1_000)
_ENTRIES_A_READ = 64
_MAX_SENDERS = 4096  # incarnations of peers that are remembered; a fleet has tens
_BEGINNING = "0-0"


class StreamReader:
    """Read a stream in order, each entry once.

    ``client`` is the reader's own. The position survives a broken connection, so that what was
    written meanwhile is read after it.
    """

    def __init__(self, client: Redis, stream: str, inbox: Inbox, stats: BusStats) -> None:
        self._client = client
        self._stream = stream
        self._inbox = inbox
        self._stats = stats
        self._clock = ServerClock()
        self._loop = asyncio.get_running_loop()
        self._position = _BEGINNING
        self._trimmed_to = _BEGINNING
        self._last_numbers: OrderedDict[bytes, int] = OrderedDict()

    async def start_at_the_end(self) -> None:
        """Skip what is in the stream now; what is written after this returns will be read."""
        await self.calibrate(self._client)
        self._position = await self._last_id() or _BEGINNING

    async def run(self) -> None:
        """Read for ever. Needs ``start_at_the_end``."""
        backoff = Backoff()
        troubled = False
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await self._find_position()
                if troubled:
                    troubled, backoff = False, Backoff()
                    log.info("bus.read_resumed", stream=self._stream)
                while await self._read():
                    pass
            except UNREACHABLE as error:
                if not troubled:
                    troubled = True
                    log.warning("bus.read_failed", stream=self._stream, error=str(error) or type(error).__name__)
                await backoff.wait()

    async def calibrate(self, client: Redis) -> None:
        """Ask the server what time it is."""
        asked_at = self._loop.time()
        seconds, microseconds = await client.time()
        self._clock.offer(asked_at, self._loop.time(), seconds + microseconds / 1e6)

    async def trim(self, client: Redis) -> None:
        """Remove from the stream what was read, and let the stream live on."""
        if self._position != self._trimmed_to:
            position = self._position
            await client.xtrim(self._stream, minid=_after(position), approximate=False)
            self._trimmed_to = position
        await client.expire(self._stream, STREAM_TTL_S)

    async def _find_position(self) -> None:
        """Begin anew when the stream did: our position may lie ahead of all that a new server writes.

        Reading from the beginning is always safe, because entries that were read are known by their
        sender and number.
        """
        last = await self._last_id()
        if last is None or _order(last) < _order(self._position):
            self._position = _BEGINNING
            await self.calibrate(self._client)

    async def _last_id(self) -> str | None:
        """The id of the newest entry ever written to the stream; None when there is no stream."""
        try:
            answer: Any = await self._client.xinfo_stream(self._stream)
        except ResponseError as error:
            if "no such key" in str(error).lower():
                return None
            raise
        return _text(answer["last-generated-id"])

    async def _read(self) -> bool:
        """Wait for entries and take them; False when none came for a while."""
        async with asyncio.timeout(BLOCK_S + ANSWER_TIMEOUT_S):
            # Not by ``xread``, whose wrappers cost as much as the parsing.
            streams: Any = await self._client.execute_command(  # type: ignore[no-untyped-call]
                "XREAD",
                "COUNT",
                _ENTRIES_A_READ,
                "BLOCK",
                round(BLOCK_S * 1_000),
                "STREAMS",
                self._stream,
                self._position,
            )
        if not streams:
            return False
        for count, (entry_id, fields) in enumerate(streams[0][1]):
            if count:
                await asyncio.sleep(0)  # a backlog must not hold up the loop: the ticker of all calls runs on it
            self._position = _text(entry_id)
            self._take(fields)
        return True

    def _take(self, fields: dict[bytes, bytes]) -> None:
        superframe = fields.get(b"f")
        if superframe is None:
            self._inbox.count_damaged(WireError("an entry without a super-frame"))
            return
        if self._is_repeated(fields):
            return
        written_unix_ms = int(self._position.partition("-")[0])
        self._inbox.receive(superframe, self._clock.lag_s(written_unix_ms, self._loop.time()))

    def _is_repeated(self, fields: dict[bytes, bytes]) -> bool:
        """Whether this super-frame was taken already. An entry without sender and number never was."""
        sender, digits = fields.get(b"s"), fields.get(b"n", b"")
        if sender is None or not digits.isdigit() or len(digits) > 18:
            return False
        number = int(digits)
        last = self._last_numbers.get(sender)
        if last is not None:
            if number <= last:
                self._stats.repeated_superframes += 1
                return True
            self._stats.lost_superframes += number - last - 1
        self._last_numbers[sender] = number
        self._last_numbers.move_to_end(sender)
        if len(self._last_numbers) > _MAX_SENDERS:
            self._last_numbers.popitem(last=False)
        return False


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def _after(entry_id: str) -> str:
    """The smallest id after this one."""
    milliseconds, sequence = _order(entry_id)
    return f"{milliseconds}-{sequence + 1}"
