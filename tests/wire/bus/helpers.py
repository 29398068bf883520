"""Messages and receivers for the tests of the bus."""

import asyncio

from wire.ids import CallId
from wire.messages import AnyMessage, AudioChunk, CallClosed, TurnDone

PATIENCE_S = 20.0
"""How long a test waits for what must come; far more than it takes, so that a busy machine does not fail it."""


def said(seq: int) -> CallClosed:
    """A message of the gateway that is known by its number."""
    return CallClosed(CallId("c1"), 0, seq, "x")


def answered(seq: int) -> TurnDone:
    """A message of the worker that is known by its number."""
    return TurnDone(CallId("c1"), 0, seq, turn=1, total_samples=0)  # type: ignore[arg-type]


def heard(seq: int, size: int = 3200) -> AudioChunk:
    return AudioChunk(CallId("c1"), 0, seq, seq, seq * size, 0.0, bytes(size))


class Receiver:
    """A ``deliver`` that keeps what came, and can be waited on."""

    def __init__(self) -> None:
        self.messages: list[AnyMessage] = []
        self.lags_s: list[float] = []
        self._changed = asyncio.Event()

    def __call__(self, message: AnyMessage, lag_s: float) -> None:
        self.messages.append(message)
        self.lags_s.append(lag_s)
        self._changed.set()

    @property
    def seqs(self) -> list[int]:
        return [message.seq for message in self.messages]

    async def until(self, count: int) -> None:
        """Return when ``count`` messages have come in all."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
