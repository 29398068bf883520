"""A few thousand inputs for each target; ``python -m tests.fuzz`` runs a million."""

from itertools import count

import pytest

from tests.fuzz.driver import fuzz
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS, Clock, Target

INPUTS = {"agent": 600}  # whole calls, of some milliseconds each
MANY = 3_000
BOUND_S = 0.05  # ten times what a parse may take: a test machine is busy with others


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str):
    inputs = INPUTS.get(name, MANY)
    outcome = fuzz(TARGETS[name], inputs, seed=20, limit_s=BOUND_S)
    assert outcome.inputs == inputs
    assert not outcome.findings, outcome.findings


def target(check: object = lambda data: None, spent: object = lambda data, clock: 0.0) -> Target:
    return Target("mock", check, spent, (b"seed one", b"and two\nlines\n"), (b"!", b"token"), 64)  # type: ignore[arg-type]


def test_a_defect_is_found_once_with_its_shortest_input():
    def check(data: bytes) -> None:
        if b"!" in data:
            raise ValueError(f"{len(data)} bytes")

    findings = fuzz(target(check), 2_000).findings
    ((place, finding),) = findings.items()
    assert place.startswith("ValueError at test_fuzz.py")
    assert b"!" in finding.data
    assert finding.times > 1


def test_what_takes_too_long_is_a_finding():
    def spent(data: bytes, clock: Clock) -> float:
        began = clock()
        return clock() - began if b"token" in data else 0.0

    ticks = count(step=0.25)
    outcome = fuzz(target(spent=spent), 500, clock=lambda: next(ticks), limit_s=0.2)
    assert outcome.slowest_s == 0.25
    assert b"token" in outcome.slowest
    assert set(outcome.findings) == {"time"}


def test_one_slow_moment_of_the_machine_is_no_finding():
    times = iter([0.9])
    outcome = fuzz(target(spent=lambda data, clock: next(times, 0.001)), 100, limit_s=0.2)
    assert outcome.slowest_s == 0.001
    assert not outcome.findings


def test_the_same_seed_gives_the_same_inputs_none_too_long():
    one, other, third = (Mutator(TARGETS["sdp"].seeds, TARGETS["sdp"].tokens, 900, seed) for seed in (5, 5, 6))
    inputs = [one.next() for _ in range(500)]
    assert inputs == [other.next() for _ in range(500)]
    assert inputs != [third.next() for _ in range(500)]
    assert max(map(len, inputs)) <= 900
    assert len(set(inputs)) > 400
