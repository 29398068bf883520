"""The one port on real sockets: whom it gives how long, and that it forgets whoever has gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.transports import front_door
from gateway.transports.front_door import FrontDoor, one_request
from tests.gateway.live import WAIT_S

PIECES = 400  # 26 MB: more than the buffers of any socket


class Door:
    """A server behind the door, with every connection's door at hand."""

    def __init__(self) -> None:
        self.doors: list[FrontDoor] = []
        self.port = 0
        self.written = 0
        self.go_on = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._hello),
            web.get("/ws", self._echo),
            web.get("/download", self._download),
            web.get("/big", self._big),
        ]

    async def _hello(self, _request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def _download(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await self.go_on.wait()
        await response.write(b" last")
        return response

    async def _big(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(PIECES):
            await response.write(bytes(1 << 16))
            self.written += 1
        return response


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    it = Door()
    app = web.Application()
    app.on_response_prepare.append(one_request)
    app.add_routes(it.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    http_server = runner.server
    assert http_server is not None

    def accept() -> FrontDoor:
        it.doors.append(FrontDoor(http_server, lambda request: None))
        return it.doors[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        await runner.cleanup()


class Timers:
    """Every timer of the doors: how long it was set for, and whether it still runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def note(delay_s: float, callback: Callable[..., Any], *args: Any, **context: Any) -> asyncio.TimerHandle:
            handle = call_later(delay_s, callback, *args, **context)
            name = getattr(callback, "__name__", "")
            if name in ("abort", "close") and "ransport" in type(getattr(callback, "__self__", None)).__name__:
                self.set.append((delay_s, callback, handle))
            return handle

        monkeypatch.setattr(loop, "call_later", note)

    def running(self) -> list[float]:
        return [delay_s for delay_s, _, handle in self.set if not handle.cancelled()]

    def fire(self) -> None:
        """Let the time of all that run come."""
        for _, callback, handle in self.set:
            if not handle.cancelled():
                handle.cancel()
                callback()


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - a lost connection tells nobody here
            await asyncio.sleep(0.005)


async def test_one_request_a_connection_and_no_timer_after_it(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it, aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.get(it.url) as response:
                assert response.headers["Connection"] == "close"
                assert await response.text() == "hello"
        assert len(it.doors) == 3
        await _until(lambda: timers.running() == [])


async def test_a_request_fed_by_the_byte_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        await _until(lambda: timers.running() == [front_door._REQUEST_S])
        timers.fire()
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        await _until(lambda: timers.running() == [front_door._SILENT_S])
        timers.fire()
        assert await reader.read() == b""
        writer.close()


async def test_a_websocket_lives_on(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it, aiohttp.ClientSession() as http, http.ws_connect(it.url + "/ws") as socket:
        await socket.send_str("one")
        assert await socket.receive_str() == "one"
        assert timers.running() == []
        timers.fire()
        await socket.send_str("two")
        assert await socket.receive_str() == "two"


async def test_a_download_gets_its_time_and_not_for_ever(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it, aiohttp.ClientSession() as http, http.get(it.url + "/download") as response:
        assert await response.content.readexactly(5) == b"first"
        assert timers.running() == [front_door._DOWNLOAD_S]
        it.go_on.set()
        assert await response.content.read() == b" last"
        await _until(lambda: timers.running() == [])


async def test_who_hangs_up_in_the_middle_leaves_no_timer(monkeypatch: pytest.MonkeyPatch):
    timers = Timers(monkeypatch)
    async with door() as it:
        for start in (b"", b"G", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"\x16\x03"):
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(start)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await _until(lambda: len(it.doors) == 5 and timers.running() == [])


async def test_a_handler_waits_for_a_slow_reader():
    async with door() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port, limit=1_024)
        writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await _until(lambda: it.written > 0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert it.written < PIECES  # the buffers are full, and the handler knows
        while await reader.read(1 << 16):
            pass
        assert it.written == PIECES
        writer.close()
