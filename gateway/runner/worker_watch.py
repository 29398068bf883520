"""Which workers show signs of life. Any message of theirs is one; who has nothing to say sends a beat."""

from collections.abc import Iterable

from wire.bus.seam import BEAT_S
from wire.ids import WorkerId

SILENT_AFTER_S = 3 * BEAT_S


class WorkerWatch:
    """Remembers the last sign of each worker that serves calls here. ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._signs: dict[WorkerId, float] = {}
        self._looked_at = 0.0

    def sign(self, worker: WorkerId, now: float) -> None:
        """Something came of it, or it was just given its first call."""
        self._signs[worker] = now

    def expect(self, worker: WorkerId, now: float) -> None:
        """It serves a call from now on; one that was known before must go on showing signs."""
        self._signs.setdefault(worker, now)

    def excuse(self, now: float) -> None:
        """No sign could come through: all are as good as their next."""
        self._signs = dict.fromkeys(self._signs, now)

    def silent(self, serving: Iterable[WorkerId], now: float) -> set[WorkerId]:
        """Those of ``serving`` that have been silent for too long; the others are forgotten.

        Who looks too late has kept signs waiting himself, and finds nobody silent.
        """
        late = now - self._looked_at > SILENT_AFTER_S
        self._looked_at = now
        self._signs = {worker: self._signs.get(worker, now) for worker in serving}
        if late:
            self.excuse(now)
            return set()
        return {worker for worker, sign_at in self._signs.items() if now - sign_at > SILENT_AFTER_S}
