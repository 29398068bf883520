"""Callers for whom there is no slot: who waits, who is next, and what is counted. The doors say it in their words."""

import structlog

from gateway.fallback import Ladder, Queue
from gateway.metrics import GatewayMetrics
from gateway.runner.hub import CallHub
from wire.bus.seam import BusUnavailableError, Lease
from wire.bus.waiting_line import WaitingLine
from wire.ids import CallId

log = structlog.get_logger()

NEXT = 2
"""So many at the head of the line may take a slot: one who hung up, and has not been missed yet, must not block it."""


class FallbackDesk:
    """The ladder of the line, and its waiting line."""

    def __init__(self, ladder: Ladder, hub: CallHub, line: WaitingLine, metrics: GatewayMetrics) -> None:
        self.ladder = ladder
        self._hub = hub
        self._line = line
        self._metrics = metrics

    def note(self, door: str, step: str) -> None:
        """A step is taken."""
        self._metrics.fallbacks.labels(door, step).inc()

    async def must_wait(self) -> bool:
        """Whether others were here before: a newcomer must not take the slot they wait for."""
        if self.ladder.queue is None:
            return False
        try:
            return await self._line.length() > 0
        except BusUnavailableError:
            return False

    async def join(self, call: CallId, door: str) -> tuple[Queue, int] | None:
        """The queue, and the call's place in it from 1; None where nobody waits, or nothing can be asked."""
        queue = self.ladder.queue
        if queue is None or self._hub.draining:
            return None
        try:
            place = await self._line.ask(call)
        except BusUnavailableError:
            return None
        self.note(door, "queue")
        log.info("call.queued", call=call, door=door, place=place + 1)
        return queue, place + 1

    async def ask(self, call: CallId, agent: str, door: str) -> Lease | int:
        """The slot of a call that waits, where it is its turn and there is one; else its place from 1.

        Raises BusUnavailableError.
        """
        place = await self._line.ask(call)
        lease = await self._hub.seek_slot(call, agent, door) if place < NEXT and not self._hub.draining else None
        if lease is None:
            return place + 1
        await self._line.leave(call)
        return lease

    async def leave(self, call: CallId) -> None:
        """The call waits no more."""
        try:
            await self._line.leave(call)
        except BusUnavailableError:
            log.debug("line.not_left", call=call)  # who does not ask any more is forgotten
