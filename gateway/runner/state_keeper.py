"""Keeps on the bus what other gateways need of our calls, where a caller comes back when we are gone."""

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog
from msgspec.structs import replace

from gateway import resumption
from gateway.effects import (
    Effect,
    NoteEnded,
    NoteMoved,
    NoteTranscript,
    NoteTurnEnded,
    NoteTurnOpened,
    SendUp,
)
from gateway.resumption import Resumption
from gateway.runner.record import CallRecord
from gateway.runner.session import CallSession
from wire.bus.call_states import CallStates
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

log = structlog.get_logger()

SAVE_EVERY_S = 0.5
ALL_EVERY_S = 15.0
TTL_S = 60.0  # a carrier asks within seconds what comes next; four times what lies between two saves
LEG_BROKE = frozenset({"leg_lost", "leg_stalled", "gateway_stopping"})
"""Ends of a call after which the caller may still be there, and come back."""
_CHANGES = frozenset({NoteMoved, NoteTranscript, NoteTurnOpened, NoteTurnEnded})


class StateKeeper:
    """Observes calls whose legs come back (``CallSetup.returns``); writes what changed twice a second."""

    def __init__(self, states: CallStates, live: Callable[[CallId], CallSession | None]) -> None:
        self._states = states
        self._live = live
        self._changed: set[CallId] = set()
        self._over: dict[CallId, bytes] = {}
        self._ours: set[CallId] = set()
        self._task: asyncio.Task[None] | None = None

    def observe(self, record: CallRecord, effect: Effect) -> None:
        """For ``CallHub.observers``."""
        if not record.setup.returns:
            return
        call, kind = record.call, type(effect)
        if isinstance(effect, NoteEnded):
            self._ours.discard(call)
            self._changed.discard(call)
            session = self._live(call)
            if session is not None:
                kept = session.call.resumption(monotonic())
                after = None if effect.reason in LEG_BROKE else record.after
                self._over[call] = resumption.pack(replace(kept, after=after))
        elif kind in _CHANGES:
            self._changed.add(call)
        elif kind is SendUp and call not in self._ours:
            self._ours.add(call)
            self._changed.add(call)

    async def recall(self, call: CallId) -> Resumption | None:
        """What any gateway knows of a call. Raises BusUnavailableError."""
        over = self._over.get(call)
        state = await self._states.get(call) if over is None else over
        return None if state is None else resumption.unpack(state)

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_saving(), name="save-states")

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._save()
        await self._states.close()

    async def _keep_saving(self) -> None:
        saved_all_at = monotonic()
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if monotonic() - saved_all_at > ALL_EVERY_S:
                saved_all_at = monotonic()
                self._changed |= self._ours
            await self._save()

    async def _save(self) -> None:
        now = monotonic()
        states = dict(self._over)
        for call in self._ours:
            session = self._live(call)
            if session is not None and (call in self._changed or session.call.speaking):
                states[call] = resumption.pack(session.call.resumption(now))
        if not states:
            return
        try:
            await self._states.put(states, TTL_S)
        except BusUnavailableError as error:
            log.debug("states.not_saved", calls=len(states), error=str(error))  # the bus itself says so loudly enough
            return
        self._changed.difference_update(states)
        for call in [call for call in self._over if call in states]:
            del self._over[call]
