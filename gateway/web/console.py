"""The API of the operator console: calls live and past, what may be done to them, and what can be taken away.

Everything under ``/console/api`` is for who has logged in; docs/CONSOLE.md has the bodies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Annotated, Literal, Protocol

import msgspec
import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from gateway.events import CallEvent, OperatorEnded, OperatorMuted, OperatorSaid
from gateway.runner.archive import PastCalls
from gateway.runner.feed import LiveFeed
from gateway.runner.record import CallRecord
from gateway.runner.story import Event, iter_events, summary_of
from gateway.web.console_files import write_test_case
from gateway.web.console_guard import ConsoleGuard
from gateway.web.console_socket import ConsoleSockets, slices
from wire.ids import CallId
from wire.messages import MAX_SAY_CHARS

log = structlog.get_logger()

MAX_LISTED = 200
_PIECE_BYTES = 1 << 18

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SAY_CHARS)]


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Say(_Action):
    action: Literal["say"]
    text: Line

    def event(self) -> CallEvent:
        return OperatorSaid(self.text)


class _Mute(_Action):
    action: Literal["mute"]
    on: bool

    def event(self) -> CallEvent:
        return OperatorMuted(self.on)


class _Transfer(_Action):
    action: Literal["transfer"]
    to: Annotated[Line, StringConstraints(max_length=512)]

    def event(self) -> CallEvent:
        return OperatorEnded("transfer", {"to": self.to})


class _Hangup(_Action):
    action: Literal["hangup"]

    def event(self) -> CallEvent:
        return OperatorEnded("hangup", {})


_ACTION: TypeAdapter[_Say | _Mute | _Transfer | _Hangup] = TypeAdapter(
    Annotated[_Say | _Mute | _Transfer | _Hangup, Field(discriminator="action")]
)


class LiveCalls(Protocol):
    """The hub, as the console knows it."""

    @property
    def records(self) -> Mapping[CallId, CallRecord]: ...

    def post(self, call: CallId, event: CallEvent) -> bool: ...


Recordings = Callable[[CallId], Path | None]
"""The finished recording of a call, if there is one; may look at the disk."""


class Console:
    """The routes of ``/console``, except the page itself (``pages``)."""

    def __init__(
        self,
        calls: LiveCalls,
        feed: LiveFeed,
        guard: ConsoleGuard,
        past: PastCalls | None = None,
        recordings: Recordings = lambda call: None,
    ) -> None:
        self._calls = calls
        self._guard = guard
        self._past = past
        self._recordings = recordings
        self._sockets = ConsoleSockets(feed, guard.is_logged_in)

    def routes(self) -> list[web.RouteDef]:
        """These must come before the routes of the page, which takes all that is left of ``/console``."""
        api = "/console/api"
        return [
            *self._guard.routes(),
            web.get(f"{api}/calls", self._list),
            web.get(f"{api}/calls/{{call}}", self._call),
            web.post(f"{api}/calls/{{call}}/actions", self._act),
            web.get(f"{api}/calls/{{call}}/test-case", self._test_case),
            web.get(f"{api}/calls/{{call}}/recording.wav", self._recording),
            web.get(f"{api}/live", self._live),
            web.get(f"{api}/listen", self._listen),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """Live calls and past ones in one list, the newest first."""
        self._guard.check(request)
        try:
            before_unix_s = float(request.query.get("before", "inf"))
            limit = int(request.query.get("limit", "50"))
        except ValueError:
            return _refusal(400, "expected numbers: before, limit")
        limit = min(max(limit, 1), MAX_LISTED)
        now_unix_s = time()
        found = {
            record.call: summary_of(record, now_unix_s)
            for record in self._calls.records.values()
            if record.started_unix_s < before_unix_s
        }
        if self._past is not None:
            for summary in await self._past.newest(min(before_unix_s, now_unix_s + 1.0), limit):
                found.setdefault(summary["call"], summary)
        calls = sorted(found.values(), key=lambda summary: summary["started_unix_s"], reverse=True)
        return web.json_response({"calls": calls[:limit]}, headers={"Cache-Control": "no-store"})

    async def _call(self, request: web.Request) -> web.StreamResponse:
        """One call, whole; written in pieces, for an hour of it is megabytes."""
        self._guard.check(request)
        call = await self._find(request)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
        await response.prepare(request)
        head = msgspec.json.encode({"call": call.summary, "detail": call.detail})
        await response.write(head[:-1] + b',"events":[')
        separator = b""
        async for piece in call.pieces():
            await response.write(separator + b",".join(map(msgspec.json.encode, piece)))
            separator = b","
        await response.write(b"]}")
        return response

    async def _act(self, request: web.Request) -> web.Response:
        self._guard.check_own_page(request)
        call = CallId(request.match_info["call"])
        try:
            action = _ACTION.validate_json(await request.read())
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            return _refusal(422, "; ".join(fault["msg"] for fault in faults))
        if not self._calls.post(call, action.event()):
            return _refusal(404, "no such live call")
        log.info("console.action", call=call, action=action.action)
        return web.json_response({"call": call, "action": action.action}, status=202)

    async def _test_case(self, request: web.Request) -> web.StreamResponse:
        self._guard.check(request)
        call = await self._find(request)
        events = [event async for piece in call.pieces() for event in piece]
        facts = {"call": call.summary, "detail": call.detail}
        recording = await asyncio.to_thread(self._recordings, call.id)
        file = await asyncio.to_thread(write_test_case, facts, events, recording)
        with file:
            response = web.StreamResponse(headers=_as_download(f"{call.id}.zip", "application/zip"))
            await response.prepare(request)
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                await response.write(piece)
        return response

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        """The recording of a call; a player may ask for parts of it."""
        self._guard.check(request)
        call = CallId(request.match_info["call"])
        path = await asyncio.to_thread(self._recordings, call)
        if path is None:
            return _refusal(404, "this call was not recorded")
        return web.FileResponse(path, headers=_as_download(f"{call}.wav", "audio/wav"))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        self._guard.check_own_page(request)
        if "call" not in request.query:
            return await self._sockets.live(request, None)
        return await self._sockets.live(request, self._record(request))

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self._guard.check_own_page(request)
        return await self._sockets.listen(request, self._record(request))

    def _record(self, request: web.Request) -> CallRecord:
        record = self._calls.records.get(CallId(request.query.get("call", "")))
        if record is None:
            raise web.HTTPNotFound(text='{"error": "no such call"}', content_type="application/json")
        return record

    async def _find(self, request: web.Request) -> "_Found":
        """A live call from its record, one that is over from the archive, which knows more. Raises HTTPNotFound."""
        call = CallId(request.match_info["call"])
        record = self._calls.records.get(call)
        if self._past is not None and (record is None or record.state == "ended"):
            past = await self._past.get(call)
            if past is not None:
                return _Found(call, past.summary, past.detail, past.events)
        if record is None:
            raise web.HTTPNotFound(text='{"error": "no such call"}', content_type="application/json")
        return _Found(call, summary_of(record, time()), None, record)


@dataclass(frozen=True, slots=True)
class _Found:
    """A call, wherever it was."""

    id: CallId
    summary: Event
    detail: Event | None
    story: list[Event] | CallRecord

    def pieces(self) -> AsyncIterator[list[Event]]:
        return slices(iter_events(self.story) if isinstance(self.story, CallRecord) else iter(self.story))


def _as_download(name: str, content_type: str) -> dict[str, str]:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name if c.isascii())
    return {
        "Content-Type": content_type,
        "Content-Disposition": f'attachment; filename="{safe}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
