"""A console on a real hub, with a worker that answers by rule and legs that only remember: what its tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.call import CallLimits
from gateway.metrics import GatewayMetrics
from gateway.runner.archive import PastCalls
from gateway.runner.feed import LiveFeed
from gateway.runner.hub import CallHub
from gateway.runner.session import CallSession
from gateway.seams import CallSetup, LegQuality
from gateway.transports.front_door import FrontDoor, one_request
from gateway.web.console import Console
from gateway.web.console_guard import ConsoleGuard
from gateway.web.pages import Pages
from tests.gateway.calls import RTP_LIKE
from tests.gateway.live import WAIT_S, RuleWorker
from wire.audio.codecs import Codec
from wire.bus.local import LocalHub
from wire.bus.seam import BusStats, WorkerAdvert
from wire.ids import CallId, GatewayId

CONSOLE_TOKEN = "console-token-of-the-tests"
CHUNK = b"\xff" * 3_200
GOOD_LINE = LegQuality(received=990, lost=10, jitter_s=0.004, buffer_s=0.04, round_trip_s=0.08, mos=4.2)
FILES = {"index.html": b"<!doctype html>talk", "console.html": b"<!doctype html>console", "assets/a-1.js": b"a()" * 99}


class QuietLeg:
    """Takes everything, says nothing."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.ended: list[tuple[str, dict[str, str]]] = []

    def send_audio(self, payload: bytes) -> None:
        self.sent_bytes += len(payload)

    def send_mark(self, name: str) -> None: ...

    def send_keys(self, keys: str) -> None: ...

    def clear(self) -> None: ...

    def end(self, action: str, arguments: Mapping[str, str]) -> None:
        self.ended.append((action, dict(arguments)))

    def quality(self) -> LegQuality | None:
        return None


class Bench:
    """The hub, its feed, the console's server and a browser of it."""

    def __init__(self, hub: CallHub, feed: LiveFeed, worker: RuleWorker, http: aiohttp.ClientSession, url: str) -> None:
        self.hub = hub
        self.feed = feed
        self.worker = worker
        self.http = http
        self.url = url
        self.legs: dict[str, QuietLeg] = {}
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def call(self, name: str = "CA1", chunks: int = 0) -> CallSession:
        """A live call that has said this many chunks of silence; the agent speaks after the second."""
        call = CallId(name)
        lease = await self.hub.admit(call, "front-desk", "sip")
        setup = CallSetup("sip", Codec.PCMU, RTP_LIKE, "front-desk", caller="+15550100")
        self.legs[name] = QuietLeg()
        session = self.hub.attach(lease, setup, self.legs[name])
        for _ in range(chunks):
            session.receive_media(CHUNK)
        await until(lambda: len(session.record.decisions) == chunks)
        return session

    async def log_in(self, token: str = CONSOLE_TOKEN) -> int:
        headers = {"Origin": self.url}
        async with self.http.post(f"{self.url}/console/login", json={"token": token}, headers=headers) as response:
            return response.status

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path) as response:
            return response.status, await response.json(content_type=None)

    async def act(self, call: str, **action: Any) -> int:
        url = f"{self.url}/console/api/calls/{call}/actions"
        async with self.http.post(url, json=action, headers={"Origin": self.url}) as response:
            return response.status

    async def socket(self, path: str) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(f"{self.url}/console/api/{path}", headers={"Origin": self.url})
        self._sockets.append(socket)
        return socket

    async def close(self) -> None:
        """The browser goes away."""
        for socket in self._sockets:
            await socket.close()
        await self.http.close()


async def until(true: Callable[[], bool]) -> None:
    """Let the others work until it is so."""
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - of things that tell nobody when they change
            await asyncio.sleep(0.005)


async def hear(socket: aiohttp.ClientWebSocketResponse, event: str) -> dict[str, Any]:
    """The next event of this kind; others are passed over."""
    async with asyncio.timeout(WAIT_S):
        while True:
            message: dict[str, Any] = await socket.receive_json()
            if message["event"] == event:
                return message


@asynccontextmanager
async def console(past: PastCalls | None = None, recordings: Mapping[str, Path] | None = None) -> AsyncIterator[Bench]:
    local = LocalHub()
    worker = RuleWorker(local)
    await worker.start()
    await local.placement.advertise(WorkerAdvert(worker.id, "rule", 8, 400, 400), ttl_s=60)
    bus, placement, *_ = local.open(GatewayId("g1"))
    metrics = GatewayMetrics(CollectorRegistry(), BusStats)
    hub = CallHub(GatewayId("g1"), bus, placement, metrics, CallLimits(), lambda note: None)
    feed = LiveFeed(hub.records, lambda call: GOOD_LINE)
    hub.observers.append(feed.observe)
    await hub.start()
    known = recordings or {}
    guard = ConsoleGuard(CONSOLE_TOKEN, "https://voice.example.com")
    api = Console(hub, feed, guard, past, lambda call: known.get(call))
    app = web.Application()
    app.on_response_prepare.append(one_request)
    app.add_routes(api.routes() + Pages(FILES).routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    http_server = runner.server
    server = await asyncio.get_running_loop().create_server(
        lambda: FrontDoor(http_server, lambda request: None), "127.0.0.1", 0
    )
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    bench = Bench(hub, feed, worker, http, url)
    try:
        yield bench
    finally:
        await hub.stop()
        feed.close()
        await bench.close()
        server.close()
        await runner.cleanup()
        await worker.close()
