"""A second engine hears the same callers, and nobody hears it: what it would have decided otherwise is counted.

It is served like any call, by a worker of its own and under a name of its own; whatever becomes of it, the caller's
call does not notice.
"""

import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from gateway.effects import Effect, NoteDecision, NoteEnded, SendUp
from gateway.metrics import GatewayMetrics
from gateway.runner.record import CallRecord, ShadowDecision
from wire.bus.seam import Bus, BusUnavailableError, Lease, Placement, Wish
from wire.ids import CallId, GatewayId
from wire.messages import AudioChunk, CallClosed, CallFailed, CallOpened, Decision, DecisionKind, Dtmf, UpMessage

log = structlog.get_logger()

SUFFIX = "/shadow"
LEASE_S = 20.0
MAX_WAITING = 256  # decisions of one side that the other has not made yet
MAX_EARLY = 64  # messages of a call before its shadow has a worker


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """Which engine listens along, and to what share of the calls, 0 to 1."""

    engine: str
    share: float


@dataclass(slots=True)
class _Shadow:
    record: CallRecord
    lease: Lease | None = None
    seq: int = 0
    early: list[UpMessage] = field(default_factory=list)
    ours: deque[tuple[int, DecisionKind, float]] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    theirs: deque[tuple[int, DecisionKind]] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))


class Shadows:
    """An observer of the hub. ``in_background`` runs a coroutine beside it, ``chance`` picks the calls."""

    def __init__(
        self,
        policy: ShadowPolicy,
        gateway: GatewayId,
        bus: Bus,
        placement: Placement,
        metrics: GatewayMetrics,
        in_background: Callable[[Coroutine[None, None, None]], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._gateway = gateway
        self._bus = bus
        self._placement = placement
        self._metrics = metrics
        self._in_background = in_background
        self._chance = chance
        self._shadows: dict[CallId, _Shadow] = {}

    def observe(self, record: CallRecord, effect: Effect) -> None:
        """For ``CallHub.observers``."""
        match effect:
            case SendUp(CallOpened(epoch=0)) if self._chance() < self._policy.share:
                shadow = self._shadows[record.call] = _Shadow(record, early=[effect.message])
                self._in_background(self._begin(shadow))
            case SendUp(message):
                self._tell(record.call, message)
            case NoteDecision(decision, at_s=at_s):
                shadow_of = self._shadows.get(record.call)
                if shadow_of is not None:
                    shadow_of.ours.append((decision.index, decision.kind, at_s))
                    self._compare(shadow_of)
            case NoteEnded():
                self._end(record.call)

    def deliver(self, message: object) -> None:
        """What came of a shadow's worker; its voice is for nobody."""
        if not isinstance(message, Decision | CallFailed):
            return
        call = CallId(message.call.removesuffix(SUFFIX))
        shadow = self._shadows.get(call)
        if shadow is None:
            return
        if isinstance(message, CallFailed):
            self._metrics.shadow_decisions.labels("lost").inc()
            self._end(call)
            return
        shadow.theirs.append((message.index, message.kind))
        self._compare(shadow)

    def leased(self) -> list[CallId]:
        """The names under which shadows hold their leases."""
        return [_name(call) for call, shadow in self._shadows.items() if shadow.lease is not None]

    async def _begin(self, shadow: _Shadow) -> None:
        record = shadow.record
        wish = Wish(
            agent=record.setup.agent,
            engine=self._policy.engine,
            chunk_ms=record.chunk_ms[0],
            first_chunk_ms=record.chunk_ms[1],
        )
        try:
            lease = await self._placement.lease(_name(record.call), LEASE_S, wish)
        except BusUnavailableError:
            lease = None
        if lease is None:
            self._shadows.pop(record.call, None)
            self._metrics.shadow_decisions.labels("no_slot").inc()
            return
        shadow.lease = lease
        record.shadow_engine = lease.engine
        if self._shadows.get(record.call) is not shadow:  # it was over before it began
            await self._placement.release(_name(record.call))
            return
        early, shadow.early = shadow.early, []
        for message in early:
            self._tell(record.call, message)

    def _tell(self, call: CallId, message: UpMessage) -> None:
        shadow = self._shadows.get(call)
        if shadow is None or not isinstance(message, CallOpened | AudioChunk | Dtmf):
            return
        if shadow.lease is None:
            if len(shadow.early) < MAX_EARLY:
                shadow.early.append(message)
            return
        changes: dict[str, object] = {"call": _name(call), "epoch": 0, "seq": shadow.seq}
        if isinstance(message, AudioChunk):
            changes |= {"playback": None, "overlap_s": 0.0}  # they are about what the other engine says
        elif isinstance(message, CallOpened):
            if message.epoch:
                return
            changes |= {"gateway": self._gateway}
        shadow.seq += 1
        self._bus.send(shadow.lease.worker, replace(message, **changes))

    def _end(self, call: CallId) -> None:
        shadow = self._shadows.pop(call, None)
        if shadow is not None and shadow.lease is not None:
            self._bus.send(shadow.lease.worker, CallClosed(_name(call), 0, shadow.seq, "over"))
            self._in_background(self._release(call))

    async def _release(self, call: CallId) -> None:
        try:
            await self._placement.release(_name(call))
        except BusUnavailableError:
            log.debug("shadow.not_released", call=call)  # it runs out by itself

    def _compare(self, shadow: _Shadow) -> None:
        ours, theirs = shadow.ours, shadow.theirs
        while ours and theirs:
            index, kind, at_s = ours[0]
            other, theirs_kind = theirs[0]
            if index != other:
                (ours if index < other else theirs).popleft()
                continue
            ours.popleft()
            theirs.popleft()
            self._metrics.shadow_decisions.labels("same" if kind is theirs_kind else f"shadow_{theirs_kind}s").inc()
            shadow.record.note_shadow(ShadowDecision(index, at_s, kind.value, theirs_kind.value))


def _name(call: CallId) -> CallId:
    return CallId(call + SUFFIX)
