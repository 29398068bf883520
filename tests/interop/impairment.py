"""What a bad network does to datagrams, as a pure model: seeded, so that a failure can be played again."""

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Impairment:
    """How bad one direction of a path is. Times in seconds, probabilities per datagram.

    ``jitter_s`` is added uniformly and keeps the order; ``reorder`` holds a datagram back by ``reorder_s``, so that
    those after it overtake it. Loss comes in bursts of ``burst`` on average (1 means that datagrams are lost
    independently of each other); ``loss`` is the long-run share in both cases.
    """

    loss: float = 0.0
    burst: float = 1.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.03
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0.0 <= (value := getattr(self, name)) <= 1.0:
                raise ValueError(f"expected {name} within 0 and 1, got {value}")
        for name in ("delay_s", "jitter_s", "reorder_s"):
            if (value := getattr(self, name)) < 0.0:
                raise ValueError(f"expected {name} of at least 0, got {value}")
        if self.burst < 1.0:
            raise ValueError(f"expected bursts of at least 1, got {self.burst}")


PERFECT = Impairment()


class ImpairedPath:
    """One direction: datagrams go in by ``receive`` and come out of ``poll`` when they are due."""

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self._impairment = impairment
        self._chance = random.Random(seed)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._due: list[bytes] = []
        self._serial = 0
        self._in_order_until = 0.0
        self._losing = False
        self.received = self.lost = self.doubled = self.reordered = self.forwarded = 0

    def receive(self, datagram: bytes, now: float) -> None:
        self.received += 1
        if self._is_lost():
            self.lost += 1
            return
        self._schedule(datagram, now)
        if self._chance.random() < self._impairment.duplicate:
            self.doubled += 1
            self._schedule(datagram, now)
        self.handle_deadline(now)

    def handle_deadline(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._due.append(heapq.heappop(self._waiting)[2])

    def next_deadline(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def poll(self) -> bytes | None:
        """The next datagram that has arrived."""
        if not self._due:
            return None
        self.forwarded += 1
        return self._due.pop(0)

    def stats(self) -> dict[str, float]:
        names = ("received", "lost", "doubled", "reordered", "forwarded")
        return {name: float(getattr(self, name)) for name in names}

    def _is_lost(self) -> bool:
        """Gilbert's two states: a burst ends with 1/burst, and begins as often as the long-run share asks for."""
        loss, burst = self._impairment.loss, self._impairment.burst
        if burst == 1.0 or loss in (0.0, 1.0):
            return self._chance.random() < loss
        leaves = 1.0 / burst
        enters = min(1.0, leaves * loss / (1.0 - loss))
        self._losing = self._chance.random() < (1.0 - leaves if self._losing else enters)
        return self._losing

    def _schedule(self, datagram: bytes, now: float) -> None:
        model = self._impairment
        due = now + model.delay_s + self._chance.uniform(0.0, model.jitter_s)
        if self._chance.random() < model.reorder:
            self.reordered += 1
            due += model.reorder_s
        else:
            due = self._in_order_until = max(due, self._in_order_until)
        self._serial += 1
        heapq.heappush(self._waiting, (due, self._serial, datagram))
