"""An echo on bare aiortc, in a process of its own: what a browser call costs without a media path of one's own.

Each call's received track is its sent track, through aiortc's jitter buffer, decoder, encoder and pacing. Signalling is
the same as the gateway's: POST an offer, DELETE the session. ``python -m load_tests.bare_aiortc --port N``.
"""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import uvloop
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from load_tests.webrtc_peer import OFFER_TYPE
from wire.bus.embedded import HOST

WHIP_PATH = "/whip"


class BareEcho:
    """The routes, and the calls behind them."""

    def __init__(self) -> None:
        self._calls: dict[str, RTCPeerConnection] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/readyz", self._ready),
            web.post(WHIP_PATH, self._open),
            web.delete(WHIP_PATH + "/{session}", self._close),
        ]

    async def stop(self) -> None:
        await asyncio.gather(*(call.close() for call in self._calls.values()))

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _open(self, request: web.Request) -> web.Response:
        call = RTCPeerConnection()

        def on_track(track: MediaStreamTrack) -> None:
            call.addTrack(track)

        call.on("track", on_track)
        await call.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await call.setLocalDescription(await call.createAnswer())
        session = secrets.token_hex(8)
        self._calls[session] = call
        headers = {"Location": f"{WHIP_PATH}/{session}"}
        return web.Response(
            status=201, text=call.localDescription.sdp, content_type=OFFER_TYPE, charset=None, headers=headers
        )

    async def _close(self, request: web.Request) -> web.Response:
        call = self._calls.pop(request.match_info["session"], None)
        if call is None:
            return web.Response(status=404)
        await call.close()
        return web.Response()


@asynccontextmanager
async def echoing(port: int) -> AsyncIterator[str]:
    """An echo on this port of the loopback interface, 0 for any; its address."""
    echo = BareEcho()
    app = web.Application()
    app.add_routes(echo.routes())
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await echo.stop()
        await runner.cleanup()


@click.command()
@click.option("--port", type=int, required=True, help="Listen here, on the loopback interface.")
def main(port: int) -> None:
    """Answer offers and echo their sound until SIGTERM."""

    async def serve() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with echoing(port):
            await ended.wait()

    uvloop.run(serve())  # the loop of the gateway, too


if __name__ == "__main__":
    main()
