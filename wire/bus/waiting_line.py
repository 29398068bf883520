"""Callers who wait for a slot, first come, first served, whichever gateway they came to."""

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from wire.ids import CallId

GONE_AFTER_S = 60.0  # who has not asked for so long has hung up


class WaitingLine(Protocol):
    """Methods raise BusUnavailableError where the line cannot be reached."""

    async def ask(self, call: CallId) -> int:
        """The call's place, from 0; it joins the end when it was not in line."""

    async def leave(self, call: CallId) -> None:
        """The call has a slot, or waits no more. Unknown ones are ignored."""

    async def length(self) -> int:
        """How many wait."""


class LocalWaitingLine:
    """``WaitingLine`` of one process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asked_at: dict[CallId, float] = {}  # in the order in which they came

    async def ask(self, call: CallId) -> int:
        now = self._forget_the_gone()
        self._asked_at[call] = now
        return list(self._asked_at).index(call)

    async def leave(self, call: CallId) -> None:
        self._asked_at.pop(call, None)

    async def length(self) -> int:
        self._forget_the_gone()
        return len(self._asked_at)

    def _forget_the_gone(self) -> float:
        now = self._clock()
        self._asked_at = {call: at for call, at in self._asked_at.items() if now - at < GONE_AFTER_S}
        return now
