"""The bus inside one process: gateway and worker share an event loop, no server is needed.

Messages take the same road as over Redis, through the codec and the inbox, so that a demo
without a server proves the same bytes.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from wire.bus.inbox import Inbox
from wire.bus.local_placement import LocalPlacement, LocalTokens
from wire.bus.open import BusParts
from wire.bus.seam import BusStats, Deliver
from wire.bus.waiting_line import LocalWaitingLine
from wire.codec import encode
from wire.ids import GatewayId, WorkerId
from wire.messages import AnyMessage

_NEVER_STALE_S = float("inf")


class LocalHub:
    """What the endpoints of one process share. ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.placement = LocalPlacement(clock)
        self.tokens = LocalTokens(clock)
        self.line = LocalWaitingLine(clock)
        self._endpoints: dict[str, LocalBus] = {}

    def endpoint(self, address: WorkerId | GatewayId) -> "LocalBus":
        """A bus that receives what is addressed to ``address`` once it is started."""
        return LocalBus(self._endpoints, address)

    def open(self, address: WorkerId | GatewayId) -> BusParts:
        """An endpoint with the shared placement, tokens and waiting line; the counterpart of ``open_redis``."""
        return BusParts(self.endpoint(address), self.placement, self.tokens, self.line)


class LocalBus:
    """One address of a ``LocalHub``; see ``seam.Bus``."""

    def __init__(self, endpoints: dict[str, "LocalBus"], address: WorkerId | GatewayId) -> None:
        self.stats = BusStats()
        self._endpoints = endpoints
        self._address = address
        self._inbox: Inbox | None = None

    def send(self, to: WorkerId | GatewayId, message: AnyMessage) -> None:
        """Hand a message to its receiver on the next turn of the loop."""
        # Looked up now: as over Redis, what is sent before a process begins to receive is not for it.
        asyncio.get_running_loop().call_soon(self._carry, self._endpoints.get(to), encode(message))

    def away_s(self) -> float:
        """There is no server that could be away."""
        return 0.0

    async def start(self, deliver: Deliver) -> None:
        """Begin to receive. Raises ValueError when the address is taken."""
        if self._address in self._endpoints:
            raise ValueError(f"address {self._address!r} is taken by another endpoint of this hub")
        self._inbox = Inbox(deliver, self.stats, _NEVER_STALE_S)
        self._endpoints[self._address] = self

    async def close(self) -> None:
        """Stop receiving; what was sent before is still carried to the others."""
        if self._inbox is not None:
            self._inbox = None
            del self._endpoints[self._address]

    def _carry(self, receiver: "LocalBus | None", frame: bytes) -> None:
        if receiver is None or receiver._inbox is None:
            self.stats.unsent_messages += 1
            return
        self.stats.sent_messages += 1
        self.stats.sent_superframes += 1
        receiver._inbox.receive(frame, 0.0)
