"""The gateway behind bad networks and home routers, over the relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.interop.audio import Samples, assert_same_audio, compare, describe
from tests.interop.gateways import GatewayUnderTest
from tests.interop.greeting import joined
from tests.interop.impairment import Impairment
from tests.interop.peers import LOOPBACK, Bench
from tests.interop.relay import Relay, relaying
from tests.interop.sipp import Target, call_by_sipp
from tests.interop.wire_client import offer, wire_client

pytestmark = pytest.mark.interop

LOSSY = Impairment(loss=0.15, burst=2.0, delay_s=0.02, jitter_s=0.02)
SHUFFLED = Impairment(delay_s=0.01, jitter_s=0.01, reorder=0.2, duplicate=0.2)
DEAD = "192.0.2.99"  # what a caller behind a NAT says of himself (RFC 5737: nobody's)
QUIET = bytes([0xFF]) * 160


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("network", [LOSSY, SHUFFLED], ids=["lossy", "shuffled"])
async def test_calls_survive_a_bad_network(gateway: GatewayUnderTest, bench: Bench, network: Impairment, seed: int):
    async with relaying((gateway.host, gateway.port), network, network, seed) as relay:
        host, port = relay.address
        # Nothing that changes a session whose ACK may still be under way: it may be told to come again later
        # (500 with Retry-After), which SIPp does not do.
        for scenario in ("call", "late_offer", "session_timer_too_small", "bye_twice"):
            await call_by_sipp(bench, scenario, Target(host, port, gateway.user), limit_s=40)


class NatCaller(asyncio.DatagramProtocol):
    """Sends quiet and keeps what comes back, all through the relay."""

    def __init__(self) -> None:
        self.packets: dict[int, bytes] = {}
        self.arrivals: list[float] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > 12 and data[1] & 0x7F == 0:
            self.packets.setdefault(int.from_bytes(data[4:8], "big"), data[12:])
            self.arrivals.append(asyncio.get_running_loop().time())

    async def speak(self, target: tuple[str, int]) -> None:
        """20 ms packets until cancelled."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in range(60 * 50):
            head = bytes([0x80, 0]) + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + b"\0\0\x12\x34"
            self._transport.sendto(head + QUIET, target)
            await asyncio.sleep(max(0.0, started + (number + 1) * 0.02 - loop.time()))


@asynccontextmanager
async def behind_nat(
    gateway: GatewayUnderTest, back: Impairment | None = None, towards: Impairment | None = None
) -> AsyncIterator[tuple[Relay, NatCaller]]:
    """A call whose SDP names an address that does not exist, with its media through a relay."""
    loop = asyncio.get_running_loop()
    transport, caller = await loop.create_datagram_endpoint(NatCaller, local_addr=(LOOPBACK, 0))
    async with wire_client((gateway.host, gateway.port), gateway.user) as client:
        invite = client.invite(offer(DEAD, 40_000, "0"))
        answer = await client.ask(invite, 10.0)
        assert answer.status == 200, answer.start
        client.send(invite.following("ACK", answer))
        lines = answer.body.splitlines()
        host = next(line.split()[-1] for line in lines if line.startswith("c="))
        port = int(next(line.split()[1] for line in lines if line.startswith("m=audio")))
        perfect = Impairment()
        async with relaying((host, port), towards or perfect, back or perfect) as relay:
            speaking = loop.create_task(caller.speak(relay.address))
            try:
                yield relay, caller
            finally:
                speaking.cancel()
                transport.close()
        await client.ask(invite.following("BYE", answer))


async def test_media_is_sent_to_where_it_comes_from(gateway: GatewayUnderTest, greeting: Samples):
    async with behind_nat(gateway) as (_, caller):
        await asyncio.sleep(6.0)
    assert_same_audio(joined(caller.packets), greeting, 8_000, at_least=0.999, seconds=4)


async def test_media_follows_a_nat_that_gives_a_new_port(gateway: GatewayUnderTest, greeting: Samples):
    loop = asyncio.get_running_loop()
    async with behind_nat(gateway) as (relay, caller):
        await asyncio.sleep(3.0)
        ports = relay.outward_ports
        await relay.rebind()
        moved = loop.time()
        assert relay.outward_ports != ports
        await asyncio.sleep(4.0)
    after = [arrival for arrival in caller.arrivals if arrival > moved]
    assert after, "nothing came after the rebinding"
    assert after[0] - moved < 1.0
    table = compare(joined(caller.packets), greeting, 8_000)
    assert sum(row.correlation > 0.999 for row in table) >= 3, describe(table)
    assert max(row.lag_s for row in table) - min(row.lag_s for row in table) < 0.001, describe(table)
