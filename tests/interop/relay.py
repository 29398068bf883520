"""A UDP relay on loopback that treats its traffic as a bad network or a home router would.

A client sends to ``relay.address`` instead of to the target. Each client address gets an outward socket of its own, as
a NAT gives it a binding, so the target sees one port per client; ``rebind`` exchanges all of them, as a router does
that has restarted or let its bindings expire.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.interop.impairment import PERFECT, ImpairedPath, Impairment

Address = tuple[str, int]


class Relay:
    """Made by ``relaying``. ``towards`` counts what went to the target, ``back`` what came from it, per client."""

    def __init__(self, target: Address, towards: Impairment, back: Impairment, seed: int) -> None:
        self.target = target
        self.address: Address = ("", 0)
        self._models = towards, back
        self._seed = seed
        self._inward: asyncio.DatagramTransport | None = None
        self._bindings: dict[Address, _Binding] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._inward, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self.address = self._inward.get_extra_info("sockname")[:2]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for binding in self._bindings.values():
            binding.close()
        if self._inward is not None:
            self._inward.close()

    async def rebind(self) -> None:
        """Give every client a new outward port; what the target still sends to the old one is lost."""
        for binding in self._bindings.values():
            await binding.open()

    @property
    def outward_ports(self) -> list[int]:
        """What the target sees now, one port per client."""
        return [binding.port for binding in self._bindings.values()]

    def stats(self) -> list[tuple[dict[str, float], dict[str, float]]]:
        """Per client: towards the target, and back."""
        return [(binding.towards.path.stats(), binding.back.path.stats()) for binding in self._bindings.values()]

    def _from_client(self, datagram: bytes, client: Address) -> None:
        binding = self._bindings.get(client)
        if binding is None:
            seed = self._seed + 2 * len(self._bindings)
            binding = self._bindings[client] = _Binding(self, client, *self._models, seed)
            task = asyncio.get_running_loop().create_task(binding.open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        binding.towards.push(datagram)

    def send_to_client(self, datagram: bytes, client: Address) -> None:
        if self._inward is not None and not self._inward.is_closing():
            self._inward.sendto(datagram, client)


class _Binding:
    """One client of the relay, with its outward socket."""

    def __init__(self, relay: Relay, client: Address, towards: Impairment, back: Impairment, seed: int) -> None:
        self._relay = relay
        self._outward: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self.port = 0
        self.towards = _Pump(ImpairedPath(towards, seed), self._send)
        self.back = _Pump(ImpairedPath(back, seed + 1), lambda datagram: relay.send_to_client(datagram, client))

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        old = self._outward
        outward, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(lambda datagram, _from: self.back.push(datagram)), local_addr=("127.0.0.1", 0)
        )
        self._outward, self.port = outward, outward.get_extra_info("sockname")[1]
        if old is not None:
            old.close()
        for datagram in self._early:
            self._send(datagram)
        self._early.clear()

    def close(self) -> None:
        self.towards.close()
        self.back.close()
        if self._outward is not None:
            self._outward.close()

    def _send(self, datagram: bytes) -> None:
        if self._outward is None:
            self._early.append(datagram)
        elif not self._outward.is_closing():
            self._outward.sendto(datagram, self._relay.target)


class _Pump:
    """Drives one path by the clock of the loop."""

    def __init__(self, path: ImpairedPath, send: Callable[[bytes], None]) -> None:
        self.path = path
        self._send = send
        self._timer: asyncio.TimerHandle | None = None

    def push(self, datagram: bytes) -> None:
        self.path.receive(datagram, asyncio.get_running_loop().time())
        self._drain()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self, deadline: float) -> None:
        self.path.handle_deadline(max(asyncio.get_running_loop().time(), deadline))
        self._drain()

    def _drain(self) -> None:
        while (datagram := self.path.poll()) is not None:
            self._send(datagram)
        self.close()
        if (deadline := self.path.next_deadline()) is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._fire, deadline)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Address], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._receive(data, addr)


@asynccontextmanager
async def relaying(
    target: Address, towards: Impairment = PERFECT, back: Impairment = PERFECT, seed: int = 1
) -> AsyncIterator[Relay]:
    """A relay to ``target`` for the length of the block."""
    relay = Relay(target, towards, back, seed)
    await relay.start()
    try:
        yield relay
    finally:
        relay.stop()
