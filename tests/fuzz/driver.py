"""Runs one target over many inputs, and notes what failed and what was slow."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import Target


@dataclass
class Finding:
    """One place in the code that failed, with the first input that led there."""

    error: str
    data: bytes
    times: int = 1


@dataclass
class Outcome:
    inputs: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest: bytes = b""
    slowest_s: float = 0.0
    duration_s: float = 0.0


def fuzz(
    target: Target, inputs: int, seed: int = 1, clock: Callable[[], float] = time.thread_time, limit_s: float = 0.005
) -> Outcome:
    """Check ``inputs`` mutations of the target's seeds, each seed itself first.

    Times are the best of four tries where they would be the worst so far: a neighbour's noise is not the parser's.
    """
    began = time.perf_counter()
    outcome = Outcome()
    mutator = Mutator(target.seeds, target.tokens, target.max_bytes, seed)
    for number in range(inputs):
        data = target.seeds[number] if number < len(target.seeds) else mutator.next()
        outcome.inputs += 1
        try:
            spent_s = target.spent(data, clock)
            if spent_s > 0.5 * outcome.slowest_s:
                spent_s = min(spent_s, *(target.spent(data, clock) for _ in range(3)))
                mutator.note(data, spent_s)
                if spent_s > outcome.slowest_s:
                    outcome.slowest, outcome.slowest_s = data, spent_s
            target.check(data)
        except Exception as error:  # a fuzzer is there to catch them all
            _note(outcome.findings, error, data)
    if outcome.slowest_s > limit_s:
        text = f"{outcome.slowest_s * 1e3:.2f} ms, expected at most {limit_s * 1e3:g} ms"
        outcome.findings["time"] = Finding(text, outcome.slowest)
    outcome.duration_s = time.perf_counter() - began
    return outcome


def _note(findings: dict[str, Finding], error: Exception, data: bytes) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames[-3:]))
    key = f"{type(error).__name__} at {place}"
    known = findings.get(key)
    if known is None:
        findings[key] = Finding(f"{type(error).__name__}: {error}"[:300], data)
    else:
        known.times += 1
        if len(data) < len(known.data):
            known.data = data
