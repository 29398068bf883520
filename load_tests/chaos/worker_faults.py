"""What happens to workers: killed, frozen, replaced."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from load_tests.chaos.callers import Crowd, Heard
from load_tests.chaos.ear import Around, around
from load_tests.chaos.fleet import Fleet, FleetPlan, Member
from load_tests.duplex.measures import percentile

TURN_MS, WORD_MS = 36_000, 300
WORDS = " ".join(f"word{n}" for n in range(TURN_MS // WORD_MS))
SCRIPT = f"""\
sessions: 200
default:
  rules:
    - {{when: talk, rest: 2, say: {{ms: {TURN_MS}, watermark: true, delivery: paced, text: "{WORDS}"}}}}
"""
"""An agent that hardly ever pauses, and says its turns chunk by chunk: without a worker it falls silent at once."""
_BEFORE_S, _AFTER_S = 0.6, 4.5  # the next fault comes after that
_MOVED_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """When something was done, on the callers' clock, and to whom."""

    at: float
    worker: str


def _moment() -> float:
    return asyncio.get_running_loop().time()


def hit(heard: Heard, fault: Fault) -> bool:
    """Whether the fault made the call move to another worker."""
    since_s = [_unix(heard, move["at_s"]) - _unix_of(heard, fault.at) for move in heard.record.get("moves", ())]
    return any(0.0 <= after_s < _MOVED_WITHIN_S for after_s in since_s)


def _unix(heard: Heard, at_s: float) -> float:
    return float(heard.record["started_unix_s"]) + at_s


def _unix_of(heard: Heard, moment: float) -> float:
    """A moment of the loop's clock in Unix seconds: the tape begins with the call."""
    return float(heard.record["started_unix_s"]) + moment - heard.tape.began_at


def look(heard: Heard, fault: Fault, after_s: float = _AFTER_S) -> Around:
    """What the caller heard around a fault."""
    tape = heard.tape
    return around(tape.heard, tape.frame_at(fault.at - _BEFORE_S), tape.frame_at(fault.at + after_s))


def undecided_chunks(heard: Heard) -> int:
    """Chunks of the caller that no worker ever decided on, up to the last that one did."""
    indexes = [decision["index"] for decision in heard.record.get("decisions", ())]
    return max(indexes) + 1 - len(set(indexes)) if indexes else 0


def gaps_of(calls: Sequence[Heard], faults: Sequence[Fault], after_s: float = _AFTER_S) -> dict[str, Any]:
    """The figures of all calls that a fault hit."""
    looks = [look(heard, fault, after_s) for heard in calls if heard.record for fault in faults if hit(heard, fault)]
    gaps = [one.gap_s for one in looks]
    return {
        "calls": len(calls),
        "lost_calls": [heard.trouble for heard in calls if not heard.live_to_the_end],
        "trials": len(looks),
        "gap_p50_s": percentile(gaps, 0.50),
        "gap_p95_s": percentile(gaps, 0.95),
        "gap_max_s": max(gaps, default=None),
        "repeated_words": sum(one.repeated for one in looks),
        "lost_words": sum(one.lost for one in looks),
        "undecided_chunks_worst_call": max(map(undecided_chunks, calls), default=None),
    }


def seen_and_moved(calls: Sequence[Heard], faults: Sequence[Fault]) -> dict[str, Any]:
    """How long after a fault each call's worker was given up, and another one had the call."""
    seen, moved = [], []
    for heard in calls:
        for fault in faults:
            for move in heard.record.get("moves", ()):
                after_s = _unix(heard, move["at_s"]) - _unix_of(heard, fault.at)
                if 0 <= after_s < _AFTER_S:
                    moved.append(after_s)
                    seen.append(after_s - move["sought_s"])
    return {
        "seen_p95_s": percentile(seen, 0.95),
        "seen_max_s": max(seen, default=None),
        "moved_p95_s": percentile(moved, 0.95),
    }


async def kill(calls: int, rounds: int) -> dict[str, Any]:
    """SIGKILL of a worker in the middle of what it says, again and again; another one is started each time."""
    with Fleet(FleetPlan(SCRIPT, workers=2, slots=calls)) as fleet:
        heard, faults = await _in_rounds(fleet, calls, rounds, _kill_one)
    return gaps_of(heard, faults) | seen_and_moved(heard, faults)


async def freeze(calls: int, rounds: int) -> dict[str, Any]:
    """SIGSTOP of a worker, and three seconds later SIGCONT: what it still wants to say, nobody may hear."""
    with Fleet(FleetPlan(SCRIPT, workers=2, slots=calls)) as fleet:
        heard, faults = await _in_rounds(fleet, calls, rounds, _freeze_one)
    return gaps_of(heard, faults) | seen_and_moved(heard, faults)


async def rolling(calls: int, rounds: int) -> dict[str, Any]:
    """Every worker is replaced, one after the other, as a new version would be."""
    with Fleet(FleetPlan(SCRIPT, workers=3, slots=calls)) as fleet:
        heard, faults = await _in_rounds(fleet, calls, max(rounds, 3), _replace_one)
    return gaps_of(heard, faults, after_s=4.0)


async def _in_rounds(
    fleet: Fleet, calls: int, rounds: int, fault: Callable[[Fleet, Member], Any]
) -> tuple[list[Heard], list[Fault]]:
    """Callers who listen while one worker after the other suffers a fault."""
    faults = []
    crowd = Crowd(fleet, calls, seconds=4.0 + rounds * 9.0)
    await crowd.dial()
    for _ in range(rounds):
        victim = fleet.workers.pop(0)
        faults.append(Fault(_moment(), victim.name))
        await fault(fleet, victim)
        await asyncio.sleep(2.5)
    return await crowd.end(), faults


async def _kill_one(fleet: Fleet, victim: Member) -> None:
    victim.kill()
    await asyncio.to_thread(fleet.start_worker)
    await asyncio.sleep(2.5)


async def _freeze_one(fleet: Fleet, victim: Member) -> None:
    victim.signal(signal.SIGSTOP)
    await asyncio.sleep(3.0)
    victim.signal(signal.SIGCONT)
    fleet.workers.append(victim)
    await asyncio.sleep(2.0)


async def _replace_one(fleet: Fleet, victim: Member) -> None:
    victim.signal(signal.SIGTERM)
    await asyncio.to_thread(fleet.start_worker)
    await asyncio.sleep(2.5)


SLOW_STEP_S, SLOW_STEPS = 0.8, 12
"""Twice real time for ten seconds."""
_QUICK_S = 0.4
SLOW = f"slow: {{after_steps: 150, steps: {SLOW_STEPS}, step_time_s: {SLOW_STEP_S}}}\n" + SCRIPT


async def slow(calls: int, rounds: int) -> dict[str, Any]:
    """One of two workers takes twice real time for its steps."""
    del rounds
    with Fleet(FleetPlan(SCRIPT, workers=1, slots=calls)) as fleet:
        await asyncio.to_thread(fleet.start_worker, SLOW)
        heard = await _listen_through(fleet, calls)
    return delays(heard)


async def slow_alone(calls: int, rounds: int) -> dict[str, Any]:
    """The only worker does: there is nowhere to move to."""
    del rounds
    with Fleet(FleetPlan(SLOW, workers=1, slots=calls)) as fleet:
        heard = await _listen_through(fleet, calls)
    return delays(heard)


async def _listen_through(fleet: Fleet, calls: int) -> list[Heard]:
    crowd = Crowd(fleet, calls, seconds=26.0)
    await crowd.dial()
    return await crowd.end()


def delays(calls: Sequence[Heard]) -> dict[str, Any]:
    """How far decisions fell behind the callers, and when they had caught up, on the clock of all calls."""
    late: list[float] = []
    backlog_s = 0.0
    oldest_s = 0.0
    for heard in calls:
        decisions = heard.record.get("decisions", ())
        events = [(one["at_s"] - one["age_s"], 0.4) for one in decisions] + [(one["at_s"], -0.4) for one in decisions]
        owed_s = 0.0
        for _, change_s in sorted(events):
            owed_s += change_s
            backlog_s = max(backlog_s, owed_s)
        oldest_s = max([oldest_s, *(one["age_s"] for one in decisions)])
        late += [_unix(heard, one["at_s"]) for one in decisions if one["age_s"] > _QUICK_S]
    slow_until = min(late) + SLOW_STEPS * SLOW_STEP_S if late else 0.0
    return {
        "calls": len(calls),
        "lost_calls": [heard.trouble for heard in calls if not heard.live_to_the_end],
        "undecided_chunks_worst_call": max(map(undecided_chunks, calls), default=None),
        "moves": sum(len(heard.record.get("moves", ())) for heard in calls),
        "owed_at_most_s": round(backlog_s, 2),
        "oldest_decision_s": round(oldest_s, 2),
        "late_for_s": round(max(late) - min(late), 2) if late else 0.0,
        "recovered_after_s": round(max(0.0, max(late) - slow_until), 2) if late else 0.0,
    }
