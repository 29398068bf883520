"""WebSocket connections of many sessions: a thread of their own, a queue towards the engine's.

The engine's thread opens, sends and polls and never waits. A connection that cannot be made is tried a second time
after a moment; a server to which several in a row could not be made is left alone for a while, so that its callers
learn at once that they have to be served elsewhere. A server that does not read what the caller says loses that
caller's connection and no other.
"""

import asyncio
import itertools
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import structlog

from model_worker.breaker import Breaker
from model_worker.duplex.remote.effects import Frame, Request, SessionFault
from model_worker.duplex.remote.seam import Connected, LinkEvent, LinkId, Lost, Received

log = structlog.get_logger()

CONNECT_LIMIT_S = 3.0  # of one attempt, there are two: name, TCP, TLS and the upgrade
RETRY_S = 0.2  # 0.1 to 0.3 s, so that calls whose connections broke together come back one by one
HEARTBEAT_S = 15.0  # a server that is gone without a word is noticed within a heartbeat and a half
MAX_FRAME_BYTES = 4 * 1024 * 1024  # half a minute of 24 kHz float sound in base64
MAX_UNSENT_BYTES = 2 * 1024 * 1024  # 25 s of 16 kHz float sound in base64
FRAME_COST_BYTES = 64  # of each, beside what it holds
MAX_FAILURES = 5
PAUSE_S = 10.0
CLOSE_LIMIT_S = 2.0

_FAULTS = {
    401: SessionFault.REFUSED,
    403: SessionFault.REFUSED,
    404: SessionFault.REFUSED,
    429: SessionFault.FULL,
    503: SessionFault.FULL,
}


class WebSocketLinks:
    """``Links`` over WebSockets (RFC 6455). ``tls``: how servers are checked; None: as the system does."""

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ids = itertools.count(1)
        self._events: queue.SimpleQueue[tuple[LinkId, LinkEvent]] = queue.SimpleQueue()
        self._open: set[LinkId] = set()
        self._wake: Callable[[], None] = lambda: None
        self._thread = _LinkThread(self._tell, tls, Breaker(MAX_FAILURES, PAUSE_S, clock), chance)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return not self._events.empty()

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def open(self, request: Request) -> LinkId:
        link = LinkId(next(self._ids))
        self._open.add(link)
        self._thread.tell(self._thread.begin, link, request)
        return link

    def send(self, link: LinkId, frame: Frame) -> None:
        if link in self._open:
            self._thread.tell(self._thread.send, link, frame)

    def close(self, link: LinkId) -> None:
        if link in self._open:
            self._open.discard(link)
            self._thread.tell(self._thread.close, link)

    def poll(self) -> list[tuple[LinkId, LinkEvent]]:
        events: list[tuple[LinkId, LinkEvent]] = []
        for _ in range(self._events.qsize()):  # what comes meanwhile is for the next time
            link, event = self._events.get_nowait()
            if link in self._open:
                events.append((link, event))
                if isinstance(event, Lost):
                    self._open.discard(link)
        return events

    def shutdown(self) -> None:
        self._open.clear()
        self._thread.end()
        self._thread.join(CLOSE_LIMIT_S + 1.0)

    def _tell(self, link: LinkId, event: LinkEvent) -> None:
        self._events.put((link, event))
        self._wake()


class _LinkThread(threading.Thread):
    """Carries the connections, a task each. ``tell``, ``end`` and ``join`` are for other threads."""

    def __init__(
        self,
        report: Callable[[LinkId, LinkEvent], None],
        tls: ssl.SSLContext | None,
        breaker: Breaker[SessionFault],
        chance: Callable[[], float],
    ) -> None:
        super().__init__(name="links", daemon=True)
        self._report = report
        self._tls = tls
        self._breaker = breaker
        self._chance = chance
        self._closing = asyncio.Event()
        self._tasks: dict[LinkId, asyncio.Task[None]] = {}
        self._unsent: dict[LinkId, _Unsent] = {}
        self._session: aiohttp.ClientSession  # there before the first link's task, which is begun after _serve's
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def tell(self, do: Callable[..., None], *arguments: object) -> None:
        """Have something done on the loop, in the order of telling; nothing after ``end``."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do, *arguments)

    def end(self) -> None:
        self.tell(self._closing.set)

    def begin(self, link: LinkId, request: Request) -> None:
        self._unsent[link] = _Unsent()
        task = self._tasks[link] = self._loop.create_task(self._carry(link, request))
        task.add_done_callback(lambda _: self._forget(link))

    def send(self, link: LinkId, frame: Frame) -> None:
        unsent = self._unsent.get(link)
        if unsent is None:
            return
        if not unsent.put(frame):
            self._tasks[link].cancel()
            self._report(link, Lost(SessionFault.LOST, "the server does not read"))

    def close(self, link: LinkId) -> None:
        """What was sent before still goes out."""
        if (unsent := self._unsent.get(link)) is not None:
            unsent.end()

    def _forget(self, link: LinkId) -> None:
        del self._tasks[link], self._unsent[link]

    async def _serve(self) -> None:
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls),
        ) as self._session:
            await self._closing.wait()
            for unsent in self._unsent.values():
                unsent.end()
            tasks = list(self._tasks.values())
            if tasks:
                await asyncio.wait(tasks, timeout=CLOSE_LIMIT_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, link: LinkId, request: Request) -> None:
        """One link from its first attempt to its end, which is told whatever happens, unless it was closed by us."""
        try:
            socket = await self._connect(request)
        except _LinkError as error:
            log.warning("link.not_made", fault=error.lost.fault.value, reason=error.lost.reason)
            self._report(link, error.lost)
            return
        self._report(link, Connected())
        reading = self._loop.create_task(self._read(link, socket))
        try:
            await self._write(link, socket, reading)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await socket.close()

    async def _connect(self, request: Request) -> aiohttp.ClientWebSocketResponse:
        if (fault := self._breaker.refuses()) is not None:
            raise _LinkError(fault, "this server failed several calls in a row and is left alone for a while")
        try:
            try:
                socket = await self._attempt(request)
            except _LinkError as error:
                if error.lost.fault is not SessionFault.UNREACHABLE:
                    raise
                await asyncio.sleep(RETRY_S * (0.5 + self._chance()))
                socket = await self._attempt(request)
        except _LinkError as error:
            if self._breaker.failed(error.lost.fault):
                log.error("links.paused", fault=error.lost.fault.value)
            raise
        if self._breaker.succeeded():
            log.info("links.resumed")
        return socket

    async def _attempt(self, request: Request) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                return await self._session.ws_connect(
                    request.url,
                    headers=dict(request.headers),
                    protocols=request.subprotocols,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_FRAME_BYTES,
                    autoclose=True,
                )
        except aiohttp.WSServerHandshakeError as error:
            fault = _FAULTS.get(error.status, SessionFault.SERVER_ERROR)
            raise _LinkError(fault, f"status {error.status} instead of a WebSocket") from None
        except TimeoutError:
            raise _LinkError(SessionFault.UNREACHABLE, "no connection in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _LinkError(SessionFault.UNREACHABLE, type(error).__name__) from None

    async def _read(self, link: LinkId, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT or message.type is aiohttp.WSMsgType.BINARY:
                self._report(link, Received(message.data))
            else:
                break
        code = socket.close_code
        # 1013 try again later (the registry of RFC 6455), 1008 policy: how servers tell that they are full, or the key.
        fault = {1013: SessionFault.FULL, 1008: SessionFault.REFUSED}.get(code or 0, SessionFault.LOST)
        self._report(link, Lost(fault, f"closed by the server with code {code}"))

    async def _write(
        self, link: LinkId, socket: aiohttp.ClientWebSocketResponse, reading: "asyncio.Task[None]"
    ) -> None:
        unsent = self._unsent[link]
        while not reading.done():
            waiting = self._loop.create_task(unsent.get())
            await asyncio.wait([waiting, reading], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                return
            frame = waiting.result()
            if frame is None:
                return
            try:
                if isinstance(frame, str):
                    await socket.send_str(frame)
                else:
                    await socket.send_bytes(frame)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.wait([reading], timeout=CLOSE_LIMIT_S)  # the reader tells why
                if not reading.done():
                    self._report(link, Lost(SessionFault.LOST, "the connection takes nothing any more"))
                return


class _Unsent:
    """Frames on their way into one connection."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._size_bytes = 0

    def put(self, frame: Frame) -> bool:
        """False when too much is waiting already."""
        if self._size_bytes > MAX_UNSENT_BYTES:
            return False
        self._size_bytes += len(frame) + FRAME_COST_BYTES
        self._frames.put_nowait(frame)
        return True

    def end(self) -> None:
        """Nothing follows."""
        self._frames.put_nowait(None)

    async def get(self) -> Frame | None:
        """The next one; None when nothing follows."""
        frame = await self._frames.get()
        if frame is not None:
            self._size_bytes -= len(frame) + FRAME_COST_BYTES
        return frame


class _LinkError(Exception):
    def __init__(self, fault: SessionFault, reason: str) -> None:
        super().__init__(reason)
        self.lost = Lost(fault, reason)
