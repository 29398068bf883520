"""One port for everything: media sockets go to picows, all other HTTP to aiohttp.

The first bytes of a connection tell which; from then on the chosen protocol owns the transport.
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

Upgrade = Callable[[WSUpgradeRequest], WSListener | None]
"""Decides on a WebSocket upgrade; None refuses it."""


class FrontDoor(asyncio.Protocol):
    """Reads just enough of a new connection to know whose it is."""

    def __init__(self, http: web.Server, upgrade: Upgrade) -> None:
        self._http = http
        self._upgrade = upgrade
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write"), "TCP gives a full transport"
        self._transport = transport  # type: ignore[assignment]
        self._timer = asyncio.get_running_loop().call_later(_SILENT_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if len(self._head) < len(_MEDIA_REQUEST) and _MEDIA_REQUEST.startswith(self._head):
            return
        assert self._transport is not None, "data comes after the connection"
        assert self._timer is not None, "data comes after the connection"
        self._timer.cancel()
        if self._head.startswith(_MEDIA_REQUEST):
            self._hand_to_picows(self._transport)
        else:
            protocol = self._http()
            asyncio.get_running_loop().call_later(_REQUEST_S, self._transport.abort)
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._head)

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
