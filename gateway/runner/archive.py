"""Calls that are over, as they are kept: a summary for lists, and the whole story, compressed.

The story is one JSON object ``{"summary", "detail", "events"}``; docs/CALL_RECORDS.md and docs/CONSOLE.md have the
fields. It holds numbers and words of people, and is kept for as long as the configuration says.
"""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from wire.bus.archive import ArchivedCall, CallArchive
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

log = structlog.get_logger()

MAX_STORY_BYTES = 64_000_000  # as JSON; an hour takes about 5 MB

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call out of the archive."""

    summary: Json
    detail: Json | None
    events: list[Json]


def pack(call: CallId, started_unix_s: float, past: PastCall) -> ArchivedCall:
    """Takes some 60 ms for an hour: not to be called on the event loop."""
    story = {"summary": past.summary, "detail": past.detail, "events": past.events}
    return ArchivedCall(
        call, started_unix_s, msgspec.json.encode(past.summary), zlib.compress(msgspec.json.encode(story))
    )


def unpack(story: bytes) -> PastCall:
    """The other way; raises ValueError for what no gateway has packed."""
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(story, MAX_STORY_BYTES)
    except zlib.error as error:
        raise ValueError(f"expected a compressed story: {error}") from None
    if not inflate.eof:
        raise ValueError(f"expected a whole story of at most {MAX_STORY_BYTES} bytes")
    return msgspec.json.decode(text, type=PastCall)


class PastCalls:
    """Reads the archive for the console. One that cannot be reached, or read, has no calls: the log tells."""

    def __init__(self, archive: CallArchive) -> None:
        self._archive = archive

    async def newest(self, before_unix_s: float, limit: int) -> list[Json]:
        """Summaries of at most ``limit`` calls that began before, the latest first."""
        try:
            summaries = await self._archive.newest(before_unix_s, limit)
            return [msgspec.json.decode(summary, type=Json) for summary in summaries]
        except (BusUnavailableError, ValueError) as error:
            log.warning("archive.not_read", error=str(error))
            return []

    async def get(self, call: CallId) -> PastCall | None:
        try:
            story = await self._archive.get(call)
            return None if story is None else await asyncio.to_thread(unpack, story)
        except (BusUnavailableError, ValueError) as error:
            log.warning("archive.not_read", call=call, error=str(error))
            return None
