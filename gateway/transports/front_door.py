"""One port for everything: media sockets go to picows, all other HTTP to aiohttp.

The first bytes of a connection tell which. picows then owns the transport; in front of aiohttp the
door stays, hands everything on, and sees to it that nobody holds a connection for longer than his
request is worth.
"""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.api import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]

from gateway.transports.twilio_socket import MAX_MESSAGE_BYTES

MEDIA_PATH = "/twilio/media"
_MEDIA_REQUEST = f"GET {MEDIA_PATH} ".encode()
_SILENT_S = 10.0  # a connection that says nothing for this long is closed
_REQUEST_S = 30.0  # one request a connection, answered in milliseconds: whoever takes longer feeds it by the byte
_DOWNLOAD_S = 900.0  # an hour in stereo is 58 MB: half a megabit per second
_SMALL_BYTES = 1 << 20

Upgrade = Callable[[WSUpgradeRequest], WSListener | None]
"""Decides on a WebSocket upgrade; None refuses it."""


async def one_request(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of aiohttp, before a response is sent (``on_response_prepare``): one request a connection.

    A kept-alive connection could bring a media upgrade where aiohttp cannot take it. WebSockets
    live on, and say themselves when the other end is gone; a download gets its time.
    """
    door = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(response, web.WebSocketResponse):
        if isinstance(door, FrontDoor):
            door.live_on()
        return
    response.force_close()
    response.headers["Connection"] = "close"
    size = response.content_length
    if isinstance(door, FrontDoor) and (size is None or size > _SMALL_BYTES):
        door.allow(_DOWNLOAD_S)


class FrontDoor(asyncio.Protocol):
    """Reads just enough of a new connection to know whose it is."""

    def __init__(self, http: web.Server, upgrade: Upgrade) -> None:
        self._http = http
        self._upgrade = upgrade
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write"), "TCP gives a full transport"
        self._transport = transport  # type: ignore[assignment]
        self._timer = asyncio.get_running_loop().call_later(_SILENT_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self.live_on()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
            return
        self._head += data
        if len(self._head) < len(_MEDIA_REQUEST) and _MEDIA_REQUEST.startswith(self._head):
            return
        assert self._transport is not None, "data comes after the connection"
        self.live_on()
        if self._head.startswith(_MEDIA_REQUEST):
            self._hand_to_picows(self._transport)
        else:
            self.allow(_REQUEST_S)
            self._inner = self._http()
            self._inner.connection_made(self._transport)
            self._inner.data_received(self._head)
            self._head = b""

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def allow(self, limit_s: float) -> None:
        """The connection may live this much longer."""
        assert self._transport is not None, "a limit is set after the connection"
        self.live_on()
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._transport.abort)

    def live_on(self) -> None:
        """The connection may live as long as it likes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_to_picows(self, transport: asyncio.Transport) -> None:
        # The arguments of picows.ws_create_server, which makes the same object but owns its listening socket.
        protocol = WSProtocol(
            None,
            None,
            False,
            self._answer,
            logging.getLogger("picows.server"),
            True,
            _SILENT_S,
            False,
            None,
            None,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,
            MAX_MESSAGE_BYTES,
            None,
            4_096,
        )
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        rest = memoryview(self._head)
        while rest:
            buffer = protocol.get_buffer(len(rest))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]

    def _answer(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        listener = self._upgrade(request)
        if listener is None:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(403, b"forbidden\n"), None)
        return listener
