"""What stands in the context of one slot: vLLM keeps its keys only, and forgets them when the context is changed."""

from collections.abc import Sequence
from typing import Generic, TypeVar

Chunk = TypeVar("Chunk")


class SlotText(Generic[Chunk]):
    """Tokens in order, and (index of its first token, chunk) of each chunk among them."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.chunks: list[tuple[int, Chunk]] = []

    def put(self, start: int, tokens: Sequence[int], chunks: Sequence[tuple[int, Chunk]]) -> None:
        """Let ``tokens`` follow the first ``start``; ``chunks`` stand at indices of them. What was there goes.

        Raises ValueError when there are fewer than ``start``.
        """
        if start > len(self.tokens):
            raise ValueError(f"expected to go on at {len(self.tokens)} or before, got {start}")
        del self.tokens[start:]
        while self.chunks and self.chunks[-1][0] >= start:
            self.chunks.pop()
        self.tokens += tokens
        self.chunks += [(start + at, chunk) for at, chunk in chunks]

    def evict(self, pinned: int, dropped: int) -> None:
        """Take ``dropped`` tokens after the ``pinned`` ones out, whole chunks of them."""
        border = pinned + dropped
        del self.tokens[pinned:border]
        self.chunks = [
            (at if at < pinned else at - dropped, chunk) for at, chunk in self.chunks if not pinned <= at < border
        ]

    def part(self, start: int, end: int) -> tuple[list[int], list[tuple[int, Chunk]]]:
        """Tokens ``start`` to ``end`` and their chunks, at indices counted from ``start``."""
        return self.tokens[start:end], [(at - start, chunk) for at, chunk in self.chunks if start <= at < end]
