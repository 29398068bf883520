"""What the agent says to every caller, taken off the wire packet by packet: the source that recordings must fit."""

import asyncio

from tests.interop.audio import Samples, compare
from tests.interop.peers import LOOPBACK
from tests.interop.sipp import Target
from tests.interop.wire_client import offer, wire_client
from wire.audio.g711 import decode_ulaw

PACKET_SAMPLES = 160
PCMU_HZ = 8_000
_TRIES = 5


class _Capture(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: dict[int, bytes] = {}
        """Payloads of PCMU by their timestamp."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > 12 and data[1] & 0x7F == 0:
            self.packets.setdefault(int.from_bytes(data[4:8], "big"), data[12:])


async def agreed_greeting(gateway: Target, seconds: float) -> Samples:
    """The greeting as two calls in a row heard it: where the machine made the worker late, they differ.

    Raises AssertionError when no two do after some calls.
    """
    last = await capture_greeting(gateway, seconds)
    for _ in range(_TRIES):
        this = await capture_greeting(gateway, seconds)
        table = compare(this, last, PCMU_HZ)[1:-1]
        lags = [second.lag_s for second in table]
        if table and min(second.correlation for second in table) > 0.9999 and max(lags) - min(lags) < 1 / PCMU_HZ / 2:
            return this
        last = this
    raise AssertionError(f"no two of {_TRIES + 1} calls in a row heard the same greeting")


async def capture_greeting(gateway: Target, seconds: float, host: str = LOOPBACK) -> Samples:
    """Call over PCMU, listen, hang up. Raises AssertionError when a packet is missing between two others."""
    loop = asyncio.get_running_loop()
    transport, capture = await loop.create_datagram_endpoint(_Capture, local_addr=(host, 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        async with wire_client((gateway.host, gateway.port), gateway.user, local=(host, 0)) as client:
            invite = client.invite(offer(host, port, "0"))
            answer = await client.ask(invite, 10.0)
            assert answer.status == 200, answer.start
            client.send(invite.following("ACK", answer))
            await asyncio.sleep(seconds)
            end = await client.ask(invite.following("BYE", answer))
            assert end.status == 200, end.start
    finally:
        transport.close()
    return joined(capture.packets)


def joined(packets: dict[int, bytes]) -> Samples:
    """Packets in the order of their timestamps, on one clock: where nothing was sent there is silence."""
    assert packets, "no RTP came"
    start = min(packets, key=lambda stamp: (stamp - next(iter(packets))) & 0xFFFF_FFFF)
    places = {(stamp - start) & 0xFFFF_FFFF: payload for stamp, payload in packets.items()}
    end = max(place + len(payload) for place, payload in places.items())
    line = bytearray(b"\xff" * end)  # µ-law silence
    for place, payload in places.items():
        line[place : place + len(payload)] = payload
    return decode_ulaw(bytes(line))
