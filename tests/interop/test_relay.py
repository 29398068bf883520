"""The relay over real sockets on loopback: it forwards both ways, and its ports move when told to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.interop.impairment import Impairment
from tests.interop.relay import Address, Relay, relaying


class Echo(asyncio.DatagramProtocol):
    """Answers each datagram to where it came from, and notes the ports."""

    def __init__(self) -> None:
        self.ports: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.ports.append(addr[1])
        self._transport.sendto(data[::-1], addr)  # type: ignore[attr-defined]


class Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.heard.put_nowait(data)


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Address]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    yield protocol, transport.get_extra_info("sockname")
    transport.close()


async def ask(relay: Relay, words: list[bytes]) -> list[bytes]:
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(Client, remote_addr=relay.address)
    try:
        for word in words:
            transport.sendto(word)
        async with asyncio.timeout(5):
            return [await client.heard.get() for _ in words]
    finally:
        transport.close()


async def test_datagrams_go_there_and_back(echo: tuple[Echo, Address]):
    async with relaying(echo[1]) as relay:
        assert await ask(relay, [b"abc", b"def"]) == [b"cba", b"fed"]


async def test_each_client_has_a_port_of_its_own(echo: tuple[Echo, Address]):
    async with relaying(echo[1]) as relay:
        await ask(relay, [b"a"])
        await ask(relay, [b"b"])
        assert len(set(echo[0].ports)) == 2
        assert relay.outward_ports == echo[0].ports


async def test_a_rebinding_moves_the_port_and_answers_still_come_back(echo: tuple[Echo, Address]):
    async with relaying(echo[1]) as relay:
        transport, client = await asyncio.get_running_loop().create_datagram_endpoint(Client, remote_addr=relay.address)
        async with asyncio.timeout(5):
            transport.sendto(b"before")
            assert await client.heard.get() == b"erofeb"
            await relay.rebind()
            transport.sendto(b"after")
            assert await client.heard.get() == b"retfa"
        transport.close()
        assert echo[0].ports[0] != echo[0].ports[1]


async def test_delay_is_real_time_and_loss_takes_all_it_should(echo: tuple[Echo, Address]):
    loop = asyncio.get_running_loop()
    async with relaying(echo[1], towards=Impairment(delay_s=0.05), back=Impairment(delay_s=0.05)) as relay:
        started = loop.time()
        await ask(relay, [b"x"])
        assert loop.time() - started >= 0.1
        assert relay.stats()[0][0]["forwarded"] == 1.0
    async with relaying(echo[1], towards=Impairment(loss=1.0)) as relay:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(relay, [b"x"])
        assert relay.stats()[0][0]["lost"] == 1.0
