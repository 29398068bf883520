"""What stands in the model's context of one call: how long it is, what is to be fed next, where it may be cut.

A sampled token has no keys yet; it waits in ``pending`` and is fed first with whatever comes next (the published code
does the same). A full slot loses its oldest chunks after the prefix, whole ones, so that what is left has the layout
that the model was trained on.
"""

from collections import deque
from collections.abc import Sequence

from model_worker.duplex.audio_interaction.tokens import ASSISTANT, AUDIO_BEGIN, AUDIO_TOKENS, PAD

BLOCK = (AUDIO_BEGIN, *[PAD] * AUDIO_TOKENS, ASSISTANT)
"""One chunk of the caller, before the decision on it."""


class Context:
    """Positions 0 to ``length - 1`` have keys. ``capacity``: of its slot; ``prefix`` is pinned there."""

    def __init__(self, prefix: Sequence[int], capacity: int) -> None:
        self.length = 0
        self.pending: list[int] = list(prefix)
        self.pinned = len(prefix)
        self.evicted = 0
        """Positions that were taken out so far."""
        self._capacity = capacity
        self._blocks: deque[int] = deque()  # where those that have keys begin

    def fed(self, tokens: int, block_starts: Sequence[int] = ()) -> None:
        """``tokens`` more have keys; blocks begin at those of them."""
        self._blocks.extend(self.length + start for start in block_starts)
        self.length += tokens

    def cut(self, length: int, pending: Sequence[int]) -> None:
        """Go back to ``length`` positions, with ``pending`` to be fed next."""
        if not self.pinned <= length <= self.length:
            raise ValueError(f"cannot go back to {length} of {self.length} positions, {self.pinned} are pinned")
        self.length = length
        self.pending = list(pending)
        while self._blocks and self._blocks[-1] >= length:
            self._blocks.pop()

    def make_room(self, tokens: int) -> int:
        """How many positions after the pinned ones have to go before ``tokens`` more fit; they are gone from here.

        A quarter of the window at once, so that keys rarely move. 0 when they fit. Raises ValueError when they never
        will.
        """
        excess = self.length + tokens - self._capacity
        if excess <= 0:
            return 0
        window = self._capacity - self.pinned
        target = self.pinned + max(excess, window // 4)
        while self._blocks and self._blocks[0] < target:
            self._blocks.popleft()
        # Where no chunk begins behind it, all goes: the caller has been listening to one reply for the whole window.
        border = self._blocks[0] if self._blocks else self.length
        dropped = border - self.pinned
        if self.length - dropped + tokens > self._capacity:
            raise ValueError(f"{tokens} tokens do not fit behind {self.pinned} pinned ones of {self._capacity}")
        self._blocks = deque(start - dropped for start in self._blocks)
        self.length -= dropped
        self.evicted += dropped
        return dropped

    def state(self) -> tuple[int, list[int], list[int], int]:
        """For ``recall``."""
        return self.length, list(self.pending), list(self._blocks), self.evicted

    def recall(self, state: tuple[int, list[int], list[int], int]) -> None:
        """Be what another context was. Raises ValueError when that does not fit here."""
        length, pending, blocks, evicted = state
        if not self.pinned <= length <= self._capacity or any(not 0 <= start < length for start in blocks):
            raise ValueError("a context of another size")
        self.length, self.pending, self.evicted = length, list(pending), evicted
        self._blocks = deque(blocks)
