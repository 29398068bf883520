"""What one watcher has yet to read. He may be slow, or dead; who feeds him never waits."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class WatchQueue(Generic[T]):
    """A bounded queue with one reader; when it is full the oldest item goes.

    ``note_dropped`` makes of a count the item that tells the reader how many were left out before
    the next one. Nothing here blocks or raises for the side that feeds.
    """

    def __init__(self, limit: int, note_dropped: Callable[[int], T] | None = None) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._note_dropped = note_dropped
        self._dropped = 0
        self._finished = False
        self._closed = False
        self._news = asyncio.Event()
        self._leave: Callable[[], None] = lambda: None

    def push(self, items: Iterable[T]) -> None:
        """Feed it; dropped when the reader has closed it."""
        if self._closed:
            return
        for item in items:
            if len(self._items) == self._limit:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
        self._news.set()

    def finish(self) -> None:
        """Nothing more will come; what is queued can still be read."""
        self._finished = True
        self._news.set()

    def on_close(self, leave: Callable[[], None]) -> None:
        """Tell who feeds it when the reader has gone."""
        self._leave = leave

    def close(self) -> None:
        """The reader has seen enough. A second time does nothing."""
        if not self._closed:
            self._closed = True
            self._items.clear()
            self.finish()
            self._leave()

    @property
    def over(self) -> bool:
        """True when all was read and nothing more will come."""
        return self._finished and not self._items

    def drain_nowait(self) -> list[T]:
        """Everything that is queued."""
        items = list(self._items)
        self._items.clear()
        self._news.clear()
        if self._dropped and self._note_dropped is not None:
            items.insert(0, self._note_dropped(self._dropped))
        self._dropped = 0
        return items

    async def get(self) -> list[T]:
        """Wait for news, then as ``drain_nowait``; empty once it is over."""
        while not self._items and not self._finished:
            self._news.clear()
            await self._news.wait()
        return self.drain_nowait()

    def __aiter__(self) -> "WatchQueue[T]":
        return self

    async def __anext__(self) -> T:
        while True:
            if self._dropped and self._note_dropped is not None:
                dropped, self._dropped = self._dropped, 0
                return self._note_dropped(dropped)
            if self._items:
                return self._items.popleft()
            if self._finished:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
