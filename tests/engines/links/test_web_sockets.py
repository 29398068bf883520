"""Links over real WebSockets on loopback."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import WSMsgType, web

from model_worker.duplex.remote.effects import Request, SessionFault
from model_worker.duplex.remote.seam import Connected, LinkEvent, LinkId, Lost, Received
from model_worker.links.web_sockets import MAX_FAILURES, MAX_UNSENT_BYTES, PAUSE_S, WebSocketLinks

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATIENCE_S = 20.0


@contextmanager
def server(handler: Handler) -> Iterator[str]:
    """An HTTP server on loopback in a thread of its own; gives its WebSocket URL."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()
    found: list[int] = []

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/session", handler)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found.append(runner.addresses[0][1])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield f"ws://127.0.0.1:{found[0]}/session"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


class Watch:
    """Links, and what they told, waited for."""

    def __init__(self, links: WebSocketLinks) -> None:
        self.links = links
        self.told: list[tuple[LinkId, LinkEvent]] = []
        self._woken = threading.Event()
        links.on_ready(self._woken.set)

    def until(self, enough: Callable[[list[tuple[LinkId, LinkEvent]]], bool]) -> list[tuple[LinkId, LinkEvent]]:
        while not enough(self.told):
            assert self._woken.wait(PATIENCE_S), f"nothing more came after {self.told}"
            self._woken.clear()
            self.told += self.links.poll()
        return self.told

    def lost(self, link: LinkId) -> Lost:
        self.until(lambda told: any(of == link and isinstance(event, Lost) for of, event in told))
        return next(event for of, event in self.told if of == link and isinstance(event, Lost))


@pytest.fixture
def watch() -> Iterator[Watch]:
    links = WebSocketLinks(clock=lambda: 0.0, chance=lambda: 0.0)
    yield Watch(links)
    links.shutdown()


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(request.headers.get("Authorization", "nobody"))
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def test_frames_go_and_come_in_order_and_the_key_with_the_request(watch: Watch) -> None:
    with server(echo) as url:
        link = watch.links.open(Request(url, (("Authorization", "Bearer secret"),)))
        watch.until(lambda told: any(isinstance(event, Connected) for _, event in told))
        for frame in ("one", b"\x00\x01", "three"):
            watch.links.send(link, frame)
        watch.until(lambda told: len(told) == 5)
    assert [event for _, event in watch.told[1:]] == [
        Received(frame) for frame in ("Bearer secret", "one", b"\x00\x01", "three")
    ]
    assert "secret" not in repr(Request(url, (("Authorization", "Bearer secret"),)))


def test_what_was_sent_before_a_close_still_goes_out(watch: Watch) -> None:
    got: list[str] = []
    gone = threading.Event()

    async def keep(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        got.extend([message.data async for message in socket])
        gone.set()
        return socket

    with server(keep) as url:
        link = watch.links.open(Request(url))
        watch.until(lambda told: len(told) == 1)
        watch.links.send(link, "last words")
        watch.links.close(link)
        assert gone.wait(PATIENCE_S)
    assert got == ["last words"]
    assert watch.links.poll() == [], "a link that was closed tells nothing more"


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, SessionFault.REFUSED),
        (404, SessionFault.REFUSED),
        (503, SessionFault.FULL),
        (500, SessionFault.SERVER_ERROR),
    ],
)
def test_a_server_that_refuses_the_upgrade_says_why_by_its_status(
    watch: Watch, status: int, fault: SessionFault
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="the key sk-123 is wrong")

    with server(refuse) as url:
        lost = watch.lost(watch.links.open(Request(url)))
    assert lost.fault is fault
    assert "sk-123" not in lost.reason


@pytest.mark.parametrize(
    ("code", "fault"), [(1013, SessionFault.FULL), (1008, SessionFault.REFUSED), (1011, SessionFault.LOST)]
)
def test_a_server_that_hangs_up_says_why_by_its_code(watch: Watch, code: int, fault: SessionFault) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=code, message=b"caller said secrets")
        return socket

    with server(hang_up) as url:
        lost = watch.lost(watch.links.open(Request(url)))
    assert lost.fault is fault
    assert "secrets" not in lost.reason


def test_nobody_there_is_told_and_after_some_the_server_is_left_alone(watch: Watch) -> None:
    with server(echo) as url:
        pass
    for _ in range(MAX_FAILURES):
        assert watch.lost(watch.links.open(Request(url))).fault is SessionFault.UNREACHABLE
    lost = watch.lost(watch.links.open(Request(url)))
    assert (lost.fault, "left alone" in lost.reason) == (SessionFault.UNREACHABLE, True)
    assert PAUSE_S > 0


def test_a_server_that_does_not_read_loses_that_link_and_no_other(watch: Watch) -> None:
    async def deaf(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await asyncio.Event().wait()
        return socket

    with server(deaf) as silent, server(echo) as kind:
        other = watch.links.open(Request(kind))
        link = watch.links.open(Request(silent))
        watch.until(lambda told: sum(isinstance(event, Connected) for _, event in told) == 2)
        for _ in range(100 * MAX_UNSENT_BYTES // 100_000):
            watch.links.send(link, bytes(100_000))
            watch.told += watch.links.poll()
            if any(of == link and isinstance(event, Lost) for of, event in watch.told):
                break
        assert watch.lost(link).fault is SessionFault.LOST
        watch.links.send(other, "still here")
        watch.until(lambda told: (other, Received("still here")) in told)


def test_many_small_frames_at_once_are_no_sign_of_a_server_that_does_not_read(watch: Watch) -> None:
    """Half a minute that a recognizer of 60 ms messages is given once more."""
    got: list[bytes] = []
    whole = threading.Event()

    async def keep(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            got.append(message.data)
            if len(got) == 500:
                whole.set()
        return socket

    with server(keep) as url:
        link = watch.links.open(Request(url))
        for _ in range(500):
            watch.links.send(link, bytes(1_920))
        assert whole.wait(PATIENCE_S)
        assert watch.links.poll() == [(link, Connected())]


def test_a_connection_that_breaks_while_something_is_sent_is_told_of(watch: Watch) -> None:
    async def reset(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return socket

    with server(reset) as url:
        for _ in range(20):
            link = watch.links.open(Request(url))
            watch.until(lambda told, link=link: (link, Connected()) in told)  # type: ignore[misc]
            for _ in range(50):
                watch.links.send(link, bytes(10_000))
            assert watch.lost(link).fault is SessionFault.LOST
