"""Calls that are over, kept for a while: what the console shows of the past. And the archive of one process."""

from typing import Protocol

from msgspec import Struct

from wire.ids import CallId

MAX_CALLS = 500
MAX_BYTES = 64 * 1024 * 1024  # an hour's call takes about half a megabyte, compressed


class ArchivedCall(Struct, frozen=True):
    """One call. Both texts are its gateway's, with numbers and words of people; an archive does not look into them."""

    call: CallId
    started_unix_s: float
    summary: bytes
    """What a list shows of it."""
    story: bytes
    """All that is kept."""


class CallArchive(Protocol):
    """Keeps calls until they are too old or too many. Methods raise BusUnavailableError where it cannot be reached."""

    async def put(self, past: ArchivedCall) -> None:
        """Keep a call; one of the same name is replaced."""

    async def get(self, call: CallId) -> bytes | None:
        """The story of a call; None when it is not kept, or no more."""

    async def newest(self, before_unix_s: float, limit: int) -> list[bytes]:
        """Summaries of at most ``limit`` calls that began before, the latest first."""

    async def close(self) -> None:
        """Let go of the server."""


class LocalArchive:
    """``CallArchive`` in the memory of one process; the calls that began first make room."""

    def __init__(self, max_calls: int = MAX_CALLS, max_bytes: int = MAX_BYTES) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._bytes = 0
        self._calls: dict[CallId, ArchivedCall] = {}

    async def put(self, past: ArchivedCall) -> None:
        self._forget(past.call)
        self._calls[past.call] = past
        self._bytes += _size(past)
        while self._calls and (len(self._calls) > self._max_calls or self._bytes > self._max_bytes):
            self._forget(min(self._calls.values(), key=_began).call)

    def _forget(self, call: CallId) -> None:
        if (past := self._calls.pop(call, None)) is not None:
            self._bytes -= _size(past)

    async def get(self, call: CallId) -> bytes | None:
        past = self._calls.get(call)
        return None if past is None else past.story

    async def newest(self, before_unix_s: float, limit: int) -> list[bytes]:
        listed = sorted(self._calls.values(), key=_began, reverse=True)
        return [past.summary for past in listed if past.started_unix_s < before_unix_s][:limit]

    async def close(self) -> None:
        self._calls.clear()
        self._bytes = 0


def _began(past: ArchivedCall) -> float:
    return past.started_unix_s


def _size(past: ArchivedCall) -> int:
    return len(past.summary) + len(past.story)
