"""The last minute of what a call told its worker: what another worker is told to become the same.

A worker's snapshot makes what came before it superfluous, so that the log of most calls is a few seconds long.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from wire.messages import AudioChunk, Dtmf, Say, TurnCancelled

Logged = AudioChunk | TurnCancelled | Dtmf | Say


class Entry(NamedTuple):
    """A message, and when it was sent."""

    message: Logged
    sent_at: float


class ChunkLog:
    """Bounded by the number of chunks; what lies between two chunks stays with the later one."""

    def __init__(self, max_chunks: int) -> None:
        self._max_chunks = max_chunks
        self._entries: deque[Entry] = deque()
        self._chunks = 0
        self._begins_at = 0

    @property
    def begins_at(self) -> int:
        """Index of the first chunk that a replay would begin with, if it has any."""
        return self._begins_at

    def __iter__(self) -> Iterator[Entry]:
        """Oldest first."""
        return iter(self._entries)

    def add(self, message: Logged, now: float) -> None:
        """Keep a message; the oldest chunk makes room."""
        if isinstance(message, AudioChunk):
            self._chunks += 1
        self._entries.append(Entry(message, now))
        if self._chunks > self._max_chunks:
            self._drop_through(self._begins_at)

    def forget(self, index: int) -> None:
        """A snapshot holds what came of chunk ``index`` and of all before it."""
        self._drop_through(index)

    def _drop_through(self, index: int) -> None:
        entries = self._entries
        if not entries or index < self._begins_at:
            return
        while entries:
            message = entries[0].message
            if isinstance(message, AudioChunk):
                if message.index > index:
                    return
                self._chunks -= 1
                self._begins_at = message.index + 1
            elif self._begins_at > index:
                return  # after chunk ``index``, before the next
            entries.popleft()
