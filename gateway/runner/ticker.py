"""One 20 ms tick for all calls, on absolute deadlines."""

import asyncio
from collections.abc import Callable

TICK_S = 0.02


class Ticker:
    """Calls ``on_tick(late_s)`` every 20 ms while started; ticks that were missed are not made up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_tick: Callable[[float], None]) -> None:
        self._loop = loop
        self._on_tick = on_tick
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to tick; does nothing when it already does."""
        if self._handle is None:
            self._due = self._loop.time() + TICK_S
            self._handle = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """Tick no more: an idle gateway costs nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        now = self._loop.time()
        late_s = max(0.0, now - self._due)
        self._due += TICK_S * (1 + int(late_s / TICK_S))
        self._handle = self._loop.call_at(self._due, self._tick)
        self._on_tick(late_s)
