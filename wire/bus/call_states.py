"""What another gateway needs to go on with a call whose gateway is gone; kept on the bus while the call lives."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Protocol

from wire.ids import CallId


class CallStates(Protocol):
    """Opaque states by call. Methods raise BusUnavailableError where they cannot be reached."""

    async def put(self, states: Mapping[CallId, bytes], ttl_s: float) -> None:
        """Keep these for ``ttl_s`` seconds, in place of what was kept of the same calls."""

    async def get(self, call: CallId) -> bytes | None:
        """The state of a call; None when none is kept, or no more."""

    async def close(self) -> None:
        """Let go of the server."""


class LocalStates:
    """``CallStates`` in the memory of one process: a leg that broke finds back to its gateway."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._states: dict[CallId, tuple[float, bytes]] = {}

    async def put(self, states: Mapping[CallId, bytes], ttl_s: float) -> None:
        now = self._clock()
        self._states = {call: kept for call, kept in self._states.items() if kept[0] > now}
        self._states.update({call: (now + ttl_s, state) for call, state in states.items()})

    async def get(self, call: CallId) -> bytes | None:
        until, state = self._states.get(call, (0.0, b""))
        return state if until > self._clock() else None

    async def close(self) -> None:
        self._states.clear()
