"""Placement and one-time tokens inside one process; the rules of ``redis_placement``, by a clock of ours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wire.bus.seam import ANYTHING, Lease, Wish, WorkerAdvert
from wire.ids import CallId, WorkerId

Clock = Callable[[], float]


@dataclass(slots=True)
class _Worker:
    alive_until: float = 0.0
    advert: WorkerAdvert | None = None
    leases: dict[CallId, float] = field(default_factory=dict)
    """Call to the time its lease ends."""


class LocalPlacement:
    """``seam.Placement`` over two dictionaries; nothing in it awaits, so that every step is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._workers: dict[WorkerId, _Worker] = {}
        self._calls: dict[CallId, WorkerId] = {}

    async def advertise(self, advert: WorkerAdvert, ttl_s: float) -> None:
        worker = self._workers.setdefault(advert.worker, _Worker())
        worker.advert = advert
        worker.alive_until = self._clock() + ttl_s

    async def withdraw(self, worker: WorkerId) -> None:
        if worker in self._workers:
            self._workers[worker].advert = None

    async def lease(self, call: CallId, ttl_s: float, wish: Wish = ANYTHING) -> Lease | None:
        now = self._clock()
        self._forget_the_dead(now)
        holder = self._calls.get(call, WorkerId(""))
        held = self._workers.get(holder)
        if holder != wish.instead_of:
            if held is not None and (advert := _live_advert(held, now)) is not None:
                held.leases[call] = now + ttl_s
                return _lease(call, advert)
            await self.release(call)
        relieved = self._workers.get(wish.instead_of)
        if relieved is not None and wish.suspect:
            relieved.alive_until = 0.0

        free: list[tuple[bool, int, WorkerAdvert]] = []
        for name, worker in self._workers.items():
            offered = _live_advert(worker, now)
            if name == wish.instead_of or offered is None or not _will_do(offered, wish):
                continue
            if (slots := offered.slots - len(worker.leases)) > 0:
                free.append((wish.zone != "" and wish.zone == offered.zone, slots, offered))
        if not free:
            return None
        _, _, chosen = max(free, key=lambda candidate: candidate[:2])
        await self.release(call)
        self._workers[chosen.worker].leases[call] = now + ttl_s
        self._calls[call] = chosen.worker
        return _lease(call, chosen)

    async def renew(self, calls: Iterable[CallId], ttl_s: float) -> list[CallId]:
        for call in calls:
            if (worker := self._calls.get(call)) is not None:
                self._workers[worker].leases[call] = self._clock() + ttl_s
        return []  # nobody else is there to hold one

    async def release(self, call: CallId) -> None:
        worker = self._calls.pop(call, None)
        if worker is not None:
            del self._workers[worker].leases[call]

    def _forget_the_dead(self, now: float) -> None:
        """Drop leases that ran out, and workers that are gone and hold none."""
        for name, worker in list(self._workers.items()):
            for call in [call for call, until in worker.leases.items() if until <= now]:
                del worker.leases[call]
                del self._calls[call]
            if _live_advert(worker, now) is None and not worker.leases:
                del self._workers[name]


class LocalTokens:
    """``seam.OneTimeTokens`` over a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: dict[str, float] = {}

    async def spend(self, nonce: str, ttl_s: float) -> bool:
        now = self._clock()
        self._spent = {spent: until for spent, until in self._spent.items() if until > now}
        if nonce in self._spent:
            return False
        self._spent[nonce] = now + ttl_s
        return True


def _live_advert(worker: _Worker, now: float) -> WorkerAdvert | None:
    return worker.advert if worker.alive_until > now else None


def _will_do(offer: WorkerAdvert, wish: Wish) -> bool:
    return (
        (not wish.agent or not offer.agents or wish.agent in offer.agents)
        and (not wish.language or not offer.languages or wish.language in offer.languages)
        and wish.engine in ("", offer.engine)
        and wish.chunk_ms in (0, offer.chunk_ms)
        and wish.first_chunk_ms in (0, offer.first_chunk_ms)
    )


def _lease(call: CallId, advert: WorkerAdvert) -> Lease:
    return Lease(call, advert.worker, advert.engine, advert.chunk_ms, advert.first_chunk_ms)
