"""One 20 ms tick for all calls, on absolute deadlines."""

import asyncio
from collections.abc import Callable

import structlog

log = structlog.get_logger()

TICK_S = 0.02

OnTick = Callable[[float], None]


class Ticker:
    """Calls each ``on_tick(late_s)`` every 20 ms; idle while there is none.

    Ticks that were missed are not made up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: list[OnTick] = []
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, on_tick: OnTick, *, first: bool = False) -> None:
        """Begin to call it, before or after the others; does nothing when it is called already."""
        if on_tick not in self._listeners:
            self._listeners.insert(0 if first else len(self._listeners), on_tick)
        if self._handle is None:
            self._due = self._loop.time() + TICK_S
            self._handle = self._loop.call_at(self._due, self._tick)

    def remove(self, on_tick: OnTick) -> None:
        """Call it no more; unknown ones are ignored. An idle gateway costs nothing."""
        if on_tick in self._listeners:
            self._listeners.remove(on_tick)
        if not self._listeners and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        now = self._loop.time()
        late_s = max(0.0, now - self._due)
        self._due += TICK_S * (1 + int(late_s / TICK_S))
        self._handle = self._loop.call_at(self._due, self._tick)
        for on_tick in tuple(self._listeners):
            try:
                on_tick(late_s)
            except Exception:
                log.exception("ticker.fault")  # of one listener: the others have their calls to tick
