"""The writing half of the Redis bus: gather, write in one go, write again until it is acknowledged."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from wire.bus.outbox import Outbox
from wire.bus.redis_connection import ANSWER_TIMEOUT_S, UNREACHABLE
from wire.bus.seam import BusStats
from wire.messages import AnyMessage

log = structlog.get_logger()

FLUSH_INTERVAL_S = 0.004  # 250 entries a second and destination at most; idle, a message leaves at once
BATCH_BYTES = 1024 * 1024  # after an outage the backlog leaves in bites that no socket buffer chokes on
STREAM_TTL_S = 30  # the stream of a dead process, and the voices in it, are gone this soon
_TTL_RENEWAL_S = 10.0
_FIRST_PAUSE_S = 0.05  # a killed connection is back at once, a restarted server after 0.13 s
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    stream: str
    number: int
    superframe: bytes


class Backoff:
    """Pauses between attempts: doubling from 50 ms to 1 s, scattered so that processes do not return in step."""

    def __init__(self) -> None:
        self._pause_s = _FIRST_PAUSE_S

    async def wait(self) -> None:
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


class StreamWriter:
    """Write super-frames, one batch in flight at a time.

    Each entry carries the sender and a number that grows by one per stream (``s``, ``n``). A batch
    whose answer is lost is written again under the same numbers, and the reader drops what it has:
    so a broken connection neither loses nor doubles.
    """

    def __init__(self, client: Redis, sender: str, outbox: Outbox, stats: BusStats, max_entries: int) -> None:
        self._client = client
        self._sender = sender
        self._outbox = outbox
        self._stats = stats
        self._max_entries = max_entries
        self._numbers: dict[str, int] = {}
        self._ttl_set_at: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._unanswered_since: float | None = None

    def waiting_s(self) -> float:
        """For how long a batch has been under way; 0 while none is."""
        since = self._unanswered_since
        return 0.0 if since is None else self._loop.time() - since

    def send(self, stream: str, message: AnyMessage) -> None:
        """Queue a message. Raises ValueError when it is larger than any message may be."""
        self._outbox.put(stream, message, self._loop.time())
        self._idle.clear()
        self._work.set()

    async def drained(self) -> None:
        """Return once everything queued so far was acknowledged."""
        await self._idle.wait()

    def abandon(self) -> None:
        """Count what is still queued as unsent."""
        self._outbox.abandon()

    async def run(self) -> None:
        """Flush for ever."""
        next_flush_at = 0.0
        while True:
            await self._work.wait()
            if (pause_s := next_flush_at - self._loop.time()) > 0:
                await asyncio.sleep(pause_s)
            now = self._loop.time()
            next_flush_at = now + FLUSH_INTERVAL_S
            entries = [self._number(*item) for item in self._outbox.take(now, BATCH_BYTES).items()]
            if not self._outbox:
                self._work.clear()
            else:
                next_flush_at = now  # a backlog: go on at once
            self._unanswered_since = now
            await self._write(entries)
            self._unanswered_since = None
            if not self._outbox:
                self._idle.set()

    def _number(self, stream: str, superframe: bytes) -> _Entry:
        number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
        return _Entry(stream, number, superframe)

    async def _write(self, entries: list[_Entry]) -> None:
        backoff = Backoff()
        troubled = False
        while entries:
            error: BaseException | None
            try:
                entries, error = await self._attempt(entries)
            except UNREACHABLE as failure:
                error = failure
            if error is not None:
                if not troubled:
                    troubled = True
                    log.warning("bus.write_failed", error=str(error) or type(error).__name__)
                self._ttl_set_at.clear()  # it may be another server that answers next
                await backoff.wait()
        if troubled:
            log.info("bus.write_resumed", queued_bytes=self._outbox.queued_bytes)

    async def _attempt(self, entries: list[_Entry]) -> tuple[list[_Entry], RedisError | None]:
        """Write a batch in one go. The value is what the server will perhaps take later, and why not now."""
        now = self._loop.time()
        expiring = sorted({entry.stream for entry in entries if now - self._ttl_of(entry.stream) > _TTL_RENEWAL_S})
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            if len(entries) == 1 and not expiring:  # most batches of a small fleet; half the cost of a pipeline
                answers = [await self._write_one(entries[0])]
            else:
                answers = await self._write_many(entries, expiring)

        refused: list[_Entry] = []
        reason: RedisError | None = None
        for entry, answer in zip(entries, answers, strict=False):  # the answers to EXPIRE follow
            if not isinstance(answer, RedisError):
                self._stats.sent_superframes += 1
            elif _is_permanent(answer):
                log.error("bus.entry_refused", stream=entry.stream, error=str(answer))
            else:
                refused.append(entry)
                reason = answer
        for stream in expiring:
            self._ttl_set_at[stream] = now
        return refused, reason

    async def _write_one(self, entry: _Entry) -> Any:
        try:
            return await self._client.execute_command(*self._xadd(entry))  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return error

    async def _write_many(self, entries: list[_Entry], expiring: list[str]) -> list[Any]:
        # No transaction: the entries of different destinations owe each other nothing.
        pipeline = self._client.pipeline(transaction=False)
        for entry in entries:
            pipeline.execute_command(*self._xadd(entry))
        for stream in expiring:
            pipeline.execute_command("EXPIRE", stream, STREAM_TTL_S)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    def _xadd(self, entry: _Entry) -> tuple[str | int | bytes, ...]:
        head = ("XADD", entry.stream, "MAXLEN", "~", self._max_entries, "*")
        return (*head, "s", self._sender, "n", entry.number, "f", entry.superframe)

    def _ttl_of(self, stream: str) -> float:
        return self._ttl_set_at.get(stream, float("-inf"))


def _is_permanent(error: RedisError) -> bool:
    """A refusal that will be the same next time. Others (full, read-only, loading, moved) pass."""
    return isinstance(error, NoPermissionError) or (
        isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")
    )
