"""Which calls are decided on in the next step: the one whose chunk waited longest comes first."""

from heapq import heappop, heappush

from wire.ids import CallId


class Scheduler:
    """Forms ragged batches of at most ``max_batch`` calls, one chunk of each.

    A step takes whatever is due; it never waits for more, since whatever comes while the engine
    works makes the next batch. A call stands in line once, whatever its backlog. Nothing is
    dropped here.
    """

    def __init__(self, max_batch: int) -> None:
        if max_batch < 1:
            raise ValueError(f"batch of at most {max_batch} calls, expected at least 1")
        self._max_batch = max_batch
        self._line: list[tuple[float, int, CallId]] = []
        self._places: dict[CallId, int] = {}
        self._next_place = 0

    def __len__(self) -> int:
        """Calls that stand in line."""
        return len(self._places)

    def add(self, call: CallId, waiting_since: float) -> None:
        """Put a call in line by the age of its oldest chunk; does nothing when it stands there."""
        if call not in self._places:
            place = self._next_place  # of two chunks equally old, the one that came first
            self._next_place += 1
            self._places[call] = place
            heappush(self._line, (waiting_since, place, call))

    def remove(self, call: CallId) -> None:
        """Take a call out of the line; unknown ones are ignored."""
        self._places.pop(call, None)  # its entry in the heap no longer matches, and is skipped

    def take(self) -> list[CallId]:
        """The next batch, oldest first; these calls leave the line."""
        batch: list[CallId] = []
        while self._line and len(batch) < self._max_batch:
            _, place, call = heappop(self._line)
            if self._places.get(call) == place:
                del self._places[call]
                batch.append(call)
        return batch
