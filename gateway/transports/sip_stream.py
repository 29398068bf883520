"""One TCP or TLS connection that carries SIP, opened by either side."""

import asyncio
from collections.abc import Callable

from gateway.sip.errors import SipParseError
from gateway.sip.flow import Flow, Transport
from gateway.sip.framing import KeepAlive, StreamFramer

_IDLE_S = 600.0  # RFC 5626 asks for a keep-alive every two minutes at most; who is silent for five of them is gone
_UNSENT_BYTES = 256 * 1024  # a peer that does not read this much will not read the rest


class SipStream(asyncio.Protocol):
    """Cuts the stream into messages and answers keep-alives (RFC 5626 §3.5.1)."""

    def __init__(
        self,
        transport: Transport,
        connection: int,
        on_message: Callable[[bytes, Flow], None],
        on_lost: Callable[["SipStream"], None],
        on_bad: Callable[[str], None],
        on_made: Callable[["SipStream"], None],
    ) -> None:
        self.flow: Flow | None = None
        """Known once the connection stands."""
        self._kind = transport
        self._connection = connection
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_bad = on_bad
        self._on_made = on_made
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP and TLS give a full transport
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if remote is None:  # the peer left before we looked
            transport.close()
            return
        self.flow = Flow(self._kind, local[:2], remote[:2], self._connection)
        self._watch()
        self._on_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        assert self.flow is not None, "data comes after the connection"
        self._heard = True
        try:
            for item in self._framer.push(data):
                if isinstance(item, KeepAlive):
                    if item is KeepAlive.PING:
                        self.send(b"\r\n")
                else:
                    self._on_message(item, self.flow)
        except SipParseError as error:
            self._on_bad(error.reason)
            self.close()

    def send(self, data: bytes) -> None:
        """Write, or give the connection up when the peer does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > _UNSENT_BYTES:
            self._on_bad("stalled")
            transport.abort()
            return
        transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _watch(self) -> None:
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._heard:
            self.close()
            return
        self._heard = False
        self._watch()
