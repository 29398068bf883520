"""Run a recorded call through an engine again, as fast as it can, and say where it decides otherwise."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from model_worker.engine import EngineLoop
from model_worker.seams import Engine
from wire.messages import AnyMessage, AudioChunk, CallOpened, Decision, DecisionKind, Dtmf, Floor, Say, TurnCancelled
from wire.recorded import Header

_UP = (CallOpened, AudioChunk, TurnCancelled, Dtmf, Say)


@dataclass(frozen=True, slots=True)
class Decided:
    """What counts of a decision: not how long it took."""

    index: int
    kind: DecisionKind
    turn: int
    p_speak: float | None
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The two engines part here. ``at_s``: the end of the chunk, in the caller's time."""

    at_s: float
    recorded: Decided | None
    replayed: Decided | None


@dataclass(slots=True)
class Comparison:
    """``turns``: of each turn that both engines began, how much later the replayed one did, in seconds."""

    decisions: int
    different: list[Difference] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    only_recorded: int = 0
    """Turns that only the recorded engine began."""
    only_replayed: int = 0

    @property
    def same(self) -> bool:
        return not self.different


def run(engine: Engine, messages: Iterable[AnyMessage]) -> list[Decided]:
    """Tell an engine all that was told in the call; returns its decisions, in order.

    Raises RuntimeError with the engine's own word where it fails.
    """
    ticks = _clock()
    loop = EngineLoop(engine, lambda: next(ticks))
    decided: list[Decided] = []
    seq = 0
    for message in messages:
        if not isinstance(message, _UP):
            continue
        loop.receive(replace(message, epoch=0, seq=seq), 0.0, next(ticks))
        seq += 1
        while loop.due:
            decided += [_of(down) for _, down in loop.step(next(ticks)) if isinstance(down, Decision)]
        for fault in loop.take_faults():
            raise RuntimeError(f"the engine failed in {fault.stage}: {fault.error}") from fault.error
    if seq and not loop.stats.open_calls:
        failed = [reason for reason, count in loop.stats.failures.items() if count]
        raise RuntimeError(f"the engine gave the call up: {', '.join(failed) or 'no reason'}")
    loop.fail_all()
    return decided


def recorded(messages: Iterable[AnyMessage]) -> list[Decided]:
    """The decisions of the call as it was."""
    return [_of(message) for message in messages if isinstance(message, Decision)]


def compare(header: Header, before: list[Decided], after: list[Decided]) -> Comparison:
    """Decision by decision, and turn by turn."""
    comparison = Comparison(len(before))
    then, now = ({one.index: one for one in decisions} for decisions in (before, after))
    for index in sorted(then.keys() | now.keys()):
        if then.get(index) != now.get(index):
            comparison.different.append(Difference(_ends_s(header, index), then.get(index), now.get(index)))
    begun, begun_again = list(_begins(header, before)), list(_begins(header, after))
    comparison.turns = [again - once for once, again in zip(begun, begun_again, strict=False)]
    comparison.only_recorded = max(0, len(begun) - len(begun_again))
    comparison.only_replayed = max(0, len(begun_again) - len(begun))
    return comparison


def _of(decision: Decision) -> Decided:
    return Decided(decision.index, decision.kind, decision.turn, decision.p_speak, decision.floor)


def _begins(header: Header, decisions: Iterable[Decided]) -> Iterator[float]:
    """When each turn began, in the caller's time."""
    newest = 0
    for one in decisions:
        if one.turn > newest and one.kind is DecisionKind.SPEAK:
            newest = one.turn
            yield _ends_s(header, one.index)


def _ends_s(header: Header, index: int) -> float:
    return (header.first_chunk_ms + index * header.chunk_ms) / 1_000


def _clock() -> Iterator[float]:
    """Moments that only tell what comes first: nothing that is decided may depend on more."""
    now = 0.0
    while True:
        now += 1e-6
        yield now
