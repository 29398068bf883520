"""The sockets of the SIP door, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config.sip import Listener
from gateway.sip.flow import Flow, Transport
from gateway.transports.sip_network import SipNetwork
from wire.settings import ConfigError

HOST = "127.0.0.1"
WAIT_S = 5.0
OPTIONS = (
    b"OPTIONS sip:agent@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
)


class Told:
    """What a network told its owner."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.broken: asyncio.Queue[Flow] = asyncio.Queue()
        self.bad: list[str] = []


@asynccontextmanager
async def network(*transports: Transport, port: int = 0) -> AsyncIterator[tuple[SipNetwork, Told]]:
    told = Told()
    it = SipNetwork(
        [Listener(transport, (HOST, port)) for transport in transports],
        None,
        lambda: pytest.fail("no TLS in this test"),
        lambda data, flow: told.messages.put_nowait((data, flow)),
        told.broken.put_nowait,
        told.bad.append,
    )
    await it.start()
    try:
        yield it, told
    finally:
        it.close()


async def test_udp_and_tcp_get_the_same_free_port_and_answers_go_back_where_they_came_from():
    async with network(Transport.UDP, Transport.TCP) as (it, told):
        ports = {bound.address[1] for bound in it.bound}
        assert len(ports) == 1
        reader, writer = await asyncio.open_connection(HOST, ports.pop())
        for at in range(len(OPTIONS)):  # one octet at a time
            writer.write(OPTIONS[at : at + 1])
            await writer.drain()
        async with asyncio.timeout(WAIT_S):
            data, flow = await told.messages.get()
            assert data == OPTIONS
            it.send(b"answer", flow)
            assert await reader.readexactly(6) == b"answer"
        writer.close()


async def test_two_messages_in_one_segment_are_two_and_a_ping_is_answered():
    async with network(Transport.TCP) as (it, told):
        reader, writer = await asyncio.open_connection(*it.bound[0].address)
        writer.write(OPTIONS + b"\r\n\r\n" + OPTIONS)
        async with asyncio.timeout(WAIT_S):
            assert [(await told.messages.get())[0] for _ in range(2)] == [OPTIONS, OPTIONS]
            assert await reader.readexactly(2) == b"\r\n"
        writer.close()


async def test_a_stream_that_is_not_sip_is_closed_and_counted():
    async with network(Transport.TCP) as (it, told):
        reader, writer = await asyncio.open_connection(*it.bound[0].address)
        writer.write(b"\x16\x03\x01" + b"x" * 70_000)
        async with asyncio.timeout(WAIT_S):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
        assert told.bad
        writer.close()


async def test_a_connection_nobody_accepts_is_told_as_broken():
    with socket.create_server((HOST, 0)) as closed:
        address = closed.getsockname()
    async with network(Transport.TCP) as (it, told):
        flow = Flow(Transport.TCP, it.bound[0].address, address)
        it.send(OPTIONS, flow)
        async with asyncio.timeout(WAIT_S):
            assert await told.broken.get() == flow
        assert told.bad == ["connect_failed"]


async def test_a_taken_port_is_named_with_its_setting():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"TWOWIRE_SIP_FILE: cannot listen on UDP {HOST}:{port}"):
            async with network(Transport.UDP, port=port):
                pass
