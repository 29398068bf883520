"""The console's WebSockets: what happens, and what is heard, pushed to a page that may be slow or gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from gateway.runner.feed import LiveFeed, Sounds, Subscription
from gateway.runner.record import CallRecord
from gateway.runner.story import Event, iter_events
from gateway.runner.watch_queue import WatchQueue
from wire.messages import Voice

log = structlog.get_logger()

HEARTBEAT_S = 20.0
SEND_S = 10.0  # a page that has not taken a batch by then is cut off; it comes back and asks for the whole story
STORY_SLICE = 100  # events per turn of the event loop: under half a millisecond of it
MAX_SOCKETS = 64
_MAX_MESSAGE_BYTES = 1_024  # the page has nothing to say
LOGGED_OUT = 4401
_VOICE_OCTET = {Voice.CALLER: b"\0", Voice.AGENT: b"\1"}

Batches = AsyncGenerator[list[str | bytes], None]
"""Messages to send, text or binary; between batches the session is looked at again."""


class ConsoleSockets:
    """``/console/api/live`` and ``/console/api/listen``."""

    def __init__(self, feed: LiveFeed, may_stay: Callable[[web.Request], bool]) -> None:
        self._feed = feed
        self._may_stay = may_stay
        self._open = 0

    async def live(self, request: web.Request, record: CallRecord | None) -> web.WebSocketResponse:
        """Events of one call, its story so far first; of the list without one."""
        events = self._feed.subscribe(record.call if record is not None else None)
        first = events.drain_nowait()  # the call or the list as it is now
        story = iter_events(record) if record is not None else iter(())
        return await self._serve(request, events, _event_batches(events, first, story))

    async def listen(self, request: web.Request, record: CallRecord) -> web.WebSocketResponse:
        """Both voices of one call as they are."""
        sounds = self._feed.listen(record.call)
        rate_hz = record.setup.codec.sample_rate_hz
        return await self._serve(request, sounds, _sound_batches(sounds, rate_hz))

    async def _serve(
        self, request: web.Request, subscription: WatchQueue[Any], batches: Batches
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, timeout=SEND_S / 2, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
        )
        self._open += 1
        sender: asyncio.Task[None] | None = None
        try:
            if self._open > MAX_SOCKETS:
                raise web.HTTPServiceUnavailable(text="too many open consoles\n", headers={"Retry-After": "10"})
            await socket.prepare(request)
            sender = asyncio.create_task(self._send(request, socket, batches))
            while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass
        finally:
            self._open -= 1
            subscription.close()
            if sender is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        return socket

    async def _send(self, request: web.Request, socket: web.WebSocketResponse, batches: Batches) -> None:
        code: int = WSCloseCode.OK
        try:
            async with aclosing(batches):
                async for batch in batches:
                    if not self._may_stay(request):
                        code = LOGGED_OUT
                        break
                    async with asyncio.timeout(SEND_S):
                        for message in batch:
                            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            return  # the page has gone; whoever reads from the socket notices too
        except Exception:
            log.exception("console.fault")
            code = WSCloseCode.INTERNAL_ERROR
        await socket.close(code=code)


async def slices(events: Iterator[Event]) -> AsyncIterator[list[Event]]:
    """A story in pieces; between them the calls have their turn of the event loop."""
    while piece := list(islice(events, STORY_SLICE)):
        yield piece
        await asyncio.sleep(0)


async def _event_batches(events: Subscription, first: list[Event], story: Iterator[Event]) -> Batches:
    yield _as_text(first)
    async for piece in slices(story):
        yield _as_text(piece)
    while not events.over:
        yield _as_text(await events.get())


async def _sound_batches(sounds: Sounds, rate_hz: int) -> Batches:
    yield _as_text([{"rate_hz": rate_hz}])
    while not sounds.over:
        yield [_VOICE_OCTET[sound.voice] + sound.pcm() for sound in await sounds.get()]


def _as_text(objects: list[Event]) -> list[str | bytes]:
    return [msgspec.json.encode(one).decode() for one in objects]
