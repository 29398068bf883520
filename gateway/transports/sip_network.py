"""The sockets of the SIP door: UDP, TCP and TLS, in and out."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

import structlog

from gateway.config.sip import Listener
from gateway.sip.flow import Address, Flow, Target, Transport
from gateway.transports.sip_stream import SipStream
from wire.settings import ConfigError

log = structlog.get_logger()

MAX_CONNECTIONS = 1_024
_CONNECT_S = 4.0  # shorter than a transaction: there is time to try the next target
_MAX_QUEUED = 64  # messages that wait for one connection


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_message: Callable[[bytes, Flow], None]) -> None:
        self._on_message = on_message
        self._transport: asyncio.DatagramTransport | None = None
        self.local: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: on Python 3.11 asyncio's own datagram transport is not a DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_message(data, Flow(Transport.UDP, self.local, addr[:2]))

    def send(self, data: bytes, remote: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, remote)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SipNetwork:
    """Sends bytes on a flow and delivers what comes; opens connections as they are needed.

    ``on_message(data, flow)`` gets one datagram or one framed message; ``on_broken(flow)`` is told
    of a flow that cannot be used, and ``on_bad(reason)`` of peers that break the framing.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        server_tls: ssl.SSLContext | None,
        client_tls: Callable[[], ssl.SSLContext],
        on_message: Callable[[bytes, Flow], None],
        on_broken: Callable[[Flow], None],
        on_bad: Callable[[str], None],
    ) -> None:
        self.bound: list[Listener] = []
        """The listeners with the ports they got."""
        self._listeners = listeners
        self._server_tls = server_tls
        self._make_client_tls = client_tls
        self._client_tls: ssl.SSLContext | None = None
        self._on_message = on_message
        self._on_broken = on_broken
        self._on_bad = on_bad
        self._datagrams: list[_Datagrams] = []
        self._servers: list[asyncio.Server] = []
        self._streams: dict[int, SipStream] = {}
        self._by_remote: dict[tuple[Transport, Address], SipStream] = {}
        self._opening: dict[tuple[Transport, Address], list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server_names: dict[Address, str] = {}
        self._ids = count(1)

    async def start(self) -> None:
        """Bind everything. Raises ConfigError when an address is taken or not ours."""
        same_port = 0  # a listener that asks for any port gets the one its neighbour got: UDP and TCP of one phone
        for listener in self._listeners:
            host, port = listener.address
            try:
                try:
                    bound = await self._bind(listener.transport, host, port or same_port)
                except OSError:
                    if port or not same_port:
                        raise
                    bound = await self._bind(listener.transport, host, 0)  # another program has that number
            except OSError as error:
                self.close()
                raise ConfigError(
                    f"TWOWIRE_SIP_FILE: cannot listen on {listener.transport.value} {host}:{port}: {error.strerror}; "
                    "end the other program or choose another port"
                ) from None
            same_port = bound[1]
            self.bound.append(Listener(listener.transport, bound))

    async def _bind(self, transport: Transport, host: str, port: int) -> Address:
        if transport is not Transport.UDP:
            server = await self._serve(transport, host, port)
            address: Address = server.sockets[0].getsockname()[:2]
            return address
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self._on_message), local_addr=(host, port)
        )
        self._datagrams.append(protocol)
        return protocol.local

    async def _serve(self, transport: Transport, host: str, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: self._stream(transport),
            host,
            port,
            ssl=self._server_tls if transport is Transport.TLS else None,
            backlog=256,
        )
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Let go of every socket."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        for stream in list(self._streams.values()):
            stream.close()
        for datagrams in self._datagrams:
            datagrams.close()

    def local_for(self, transport: Transport, remote: Address) -> Address:
        """The address of ours from which ``remote`` is reached; a stream's own port is not known before it stands."""
        family = ":" in remote[0]
        bound = [b.address for b in self.bound if (":" in b.address[0]) == family]
        same = [b.address for b in self.bound if b.transport is transport and (":" in b.address[0]) == family]
        return (same or bound or [("0.0.0.0", 0)])[0]  # noqa: S104 - no address of this family, nothing to bind

    def expect(self, target: Target) -> None:
        """Remember whose certificate a TLS peer must show."""
        if target.transport is Transport.TLS and target.server_name:
            self._server_names[target.address] = target.server_name

    def send(self, data: bytes, flow: Flow) -> None:
        """Send on the flow's own connection if it stands, else on any to its remote, else open one."""
        if flow.transport is Transport.UDP:
            self._send_datagram(data, flow)
            return
        stream = self._streams.get(flow.connection) or self._by_remote.get((flow.transport, flow.remote))
        if stream is not None:
            stream.send(data)
            return
        key = (flow.transport, flow.remote)
        queue = self._opening.get(key)
        if queue is None:
            self._opening[key] = [data]
            task = asyncio.get_running_loop().create_task(self._open(flow), name="sip-connect")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(queue) < _MAX_QUEUED:
            queue.append(data)

    def _send_datagram(self, data: bytes, flow: Flow) -> None:
        family = ":" in flow.remote[0]
        chosen = None
        for datagrams in self._datagrams:
            if datagrams.local == flow.local:
                chosen = datagrams
                break
            if chosen is None and (":" in datagrams.local[0]) == family:
                chosen = datagrams
        if chosen is None:
            self._on_broken(flow)
        else:
            chosen.send(data, flow.remote)

    async def _open(self, flow: Flow) -> None:
        key = (flow.transport, flow.remote)
        tls, name = None, None
        if flow.transport is Transport.TLS:
            self._client_tls = tls = self._client_tls or self._make_client_tls()
            name = self._server_names.get(flow.remote, flow.remote[0])
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, stream = await asyncio.get_running_loop().create_connection(
                    lambda: self._stream(flow.transport), *flow.remote, ssl=tls, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            reason = "certificate" if isinstance(error, ssl.SSLError) else "connect"
            log.warning("sip.connect_failed", transport=flow.transport.value, peer=flow.remote[0], reason=reason)
            self._on_bad(f"{reason}_failed")
            self._opening.pop(key, None)
            self._on_broken(flow)
            return
        for data in self._opening.pop(key, ()):
            stream.send(data)

    def _stream(self, transport: Transport) -> SipStream:
        connection = next(self._ids)
        return SipStream(transport, connection, self._on_message, self._forget, self._on_bad, self._remember)

    def _remember(self, stream: SipStream) -> None:
        assert stream.flow is not None, "a connection that stands has a flow"
        if len(self._streams) >= MAX_CONNECTIONS:
            self._on_bad("too_many_connections")
            stream.close()
            return
        self._streams[stream.flow.connection] = stream
        self._by_remote[stream.flow.transport, stream.flow.remote] = stream

    def _forget(self, stream: SipStream) -> None:
        flow = stream.flow
        if flow is None or self._streams.pop(flow.connection, None) is None:
            return
        key = (flow.transport, flow.remote)
        if self._by_remote.get(key) is stream:
            del self._by_remote[key]
        self._on_broken(flow)
