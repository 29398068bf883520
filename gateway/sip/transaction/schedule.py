"""The order in which transactions want to be woken."""

import heapq

from gateway.sip.transaction.effects import TransactionId

_SPARE = 64


class Schedule:
    """One moment for every transaction, the earliest of them at hand.

    A heap in which entries that no longer hold stay until they come to the top, or until they are
    the most; so a change costs O(log n), and memory follows the number of transactions.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, TransactionId]] = []
        self._wanted: dict[TransactionId, float] = {}

    def set(self, transaction: TransactionId, when: float | None) -> None:
        """Wake ``transaction`` at ``when`` instead of what was set before; None: not at all."""
        if when is None:
            self._wanted.pop(transaction, None)
        elif self._wanted.get(transaction) != when:
            self._wanted[transaction] = when
            heapq.heappush(self._heap, (when, transaction))
        if len(self._heap) > 2 * len(self._wanted) + _SPARE:
            self._heap = [(moment, key) for key, moment in self._wanted.items()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest moment, seconds."""
        heap = self._heap
        while heap and self._wanted.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> TransactionId | None:
        """Take the transaction whose moment came first, if it is ``now`` or before."""
        when = self.next()
        if when is None or when > now:
            return None
        _, transaction = heapq.heappop(self._heap)
        del self._wanted[transaction]
        return transaction

    def __len__(self) -> int:
        return len(self._wanted)
