"""A worker finds out how many calls it carries."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.engine.admission import (
    EARLY_SHARE,
    GROW_EVERY_S,
    HOLD_S,
    LATE_REVIEWS,
    LATE_SHARE,
    MEMORY_EASED_SHARE,
    MEMORY_FULL_SHARE,
    MIN_DECISIONS,
    Admission,
)

CHUNK_S = 0.4
EARLY_S, LATE_S = EARLY_SHARE * CHUNK_S - 0.01, LATE_SHARE * CHUNK_S + 0.01


def reviewed(
    admission: Admission, waited_s: float, open_calls: int, now: float, memory_share: float | None = None
) -> int:
    for _ in range(MIN_DECISIONS):
        admission.observe(waited_s)
    admission.review(open_calls, memory_share, now)
    return admission.offered


def overrun(admission: Admission, open_calls: int, now: float) -> int:
    """As many late judgements as it takes, the last of them ``now``."""
    return [reviewed(admission, LATE_S, open_calls, now - n) for n in reversed(range(LATE_REVIEWS))][-1]


def test_all_slots_are_offered_while_decisions_are_in_time() -> None:
    admission = Admission(10, CHUNK_S)
    assert [reviewed(admission, EARLY_S, 10, float(now)) for now in range(5)] == [10] * 5


def test_late_decisions_cut_what_is_offered_below_what_is_here() -> None:
    assert overrun(Admission(20, CHUNK_S), 15, 0.0) == 12


def test_it_cuts_no_further_before_calls_have_ended_and_time_has_passed() -> None:
    admission = Admission(20, CHUNK_S)
    overrun(admission, 15, 0.0)
    assert overrun(admission, 13, 100.0) == 12, "those that are here have to end first"
    admission = Admission(20, CHUNK_S)
    overrun(admission, 15, 0.0)
    assert overrun(admission, 12, HOLD_S - 1) == 12, "it does not show yet"
    assert overrun(admission, 12, HOLD_S) == 9


def test_a_hiccup_is_no_overload() -> None:
    admission = Admission(100, CHUNK_S)
    for second in range(60):
        assert reviewed(admission, LATE_S if second % LATE_REVIEWS else EARLY_S, 2, float(second)) == 100


def test_it_grows_by_one_when_it_is_full_and_early() -> None:
    admission = Admission(20, CHUNK_S)
    assert overrun(admission, 10, 0.0) == 8
    assert reviewed(admission, EARLY_S, 5, 20.0) == 8, "nobody asks for more"
    assert reviewed(admission, EARLY_S, 8, 21.0) == 9
    assert reviewed(admission, EARLY_S, 9, 22.0) == 9, "the new one does not cost what it will"
    assert reviewed(admission, EARLY_S, 9, 21.0 + GROW_EVERY_S) == 10


def test_between_early_and_late_it_stays() -> None:
    admission = Admission(20, CHUNK_S)
    overrun(admission, 10, 0.0)
    assert [reviewed(admission, 0.4 * CHUNK_S, 8, 60.0 + second) for second in range(30)] == [8] * 30


def test_few_decisions_say_nothing() -> None:
    admission = Admission(4, CHUNK_S)
    for _ in range(MIN_DECISIONS - 1):
        admission.observe(10.0)
    for second in range(2 * LATE_REVIEWS):
        admission.review(4, None, float(second))
    assert admission.offered == 4


def test_one_chunk_in_fifty_that_was_late_changes_nothing() -> None:
    admission = Admission(4, CHUNK_S)
    for second in range(2 * LATE_REVIEWS):
        for number in range(50):
            admission.observe(5.0 if number == 7 else 0.01)
        admission.review(4, None, float(second))
    assert admission.offered == 4


def test_with_its_memory_nearly_full_it_offers_no_more_than_it_has_however_quick_it_is() -> None:
    admission = Admission(10, CHUNK_S)
    assert reviewed(admission, EARLY_S, 7, 0.0, MEMORY_FULL_SHARE) == 10
    assert reviewed(admission, EARLY_S, 7, 1.0, MEMORY_FULL_SHARE + 0.01) == 7
    assert reviewed(admission, EARLY_S, 6, 2.0, MEMORY_FULL_SHARE - 0.01) == 6, "not at once again"
    assert reviewed(admission, EARLY_S, 5, 3.0, MEMORY_EASED_SHARE) == 10


def test_a_full_memory_needs_no_decisions_to_be_seen_and_never_closes_a_worker_without_calls() -> None:
    admission = Admission(10, CHUNK_S)
    admission.review(4, 0.95, 0.0)
    assert admission.offered == 4
    admission.review(0, 0.95, 1.0)
    assert admission.offered == 1


@given(
    slots=st.integers(1, 300),
    reviews=st.lists(
        st.tuples(st.floats(0, 5), st.integers(0, 400), st.none() | st.floats(0, 1), st.floats(0, 20)), max_size=60
    ),
)
def test_whatever_happens_it_offers_between_one_and_all(
    slots: int, reviews: list[tuple[float, int, float | None, float]]
) -> None:
    admission, now = Admission(slots, CHUNK_S), 0.0
    for waited_s, open_calls, memory_share, later_s in reviews:
        now += later_s
        before = admission.admitted
        offered = reviewed(admission, waited_s, open_calls, now, memory_share)
        assert 1 <= offered <= admission.admitted <= slots
        assert admission.admitted <= before + 1
        if memory_share is not None and memory_share > MEMORY_FULL_SHARE:
            assert offered <= max(1, open_calls), "a full memory lets nobody in"


class Rush:
    """Callers who always want in and stay for 90 s, and an engine whose step takes ``step_s`` of the open calls."""

    def __init__(self, slots: int, step_s: Callable[[int], float]) -> None:
        self.admission = Admission(slots, CHUNK_S)
        self.step_s = step_s
        self.second = 0
        self.open_calls: list[int] = []
        """In each second."""
        self.late_seconds = 0
        self._ends: list[int] = []

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second += 1
            self._ends = [end for end in self._ends if end > self.second]
            new = min(3, self.admission.offered - len(self._ends))
            self._ends += [self.second + 90] * max(0, new)
            calls = len(self._ends)
            self.open_calls.append(calls)
            step_s = self.step_s(calls)
            self.late_seconds += step_s > CHUNK_S
            for _ in range(round(calls / CHUNK_S)):
                self.admission.observe(step_s)
            self.admission.review(calls, None, float(self.second))


@pytest.mark.parametrize("fits", [5, 17, 60])
@pytest.mark.parametrize("power", [1, 3])
def test_a_worker_whose_steps_cost_more_than_it_has_finds_its_number(fits: int, power: int) -> None:
    """With ``fits`` calls a decision is late, half of a chunk; cost grows with the number of calls, or its cube."""
    rush = Rush(100, lambda calls: LATE_SHARE * CHUNK_S * (calls / fits) ** power)
    rush.go_on(1_200)
    settled = rush.open_calls[900:]
    assert max(settled) <= fits + 1, "it does not fall off the cliff again and again"
    assert min(settled) >= 0.4 * fits
    assert max(settled) - min(settled) <= 0.3 * max(settled) + 1, "it does not swing"


def test_it_comes_back_when_the_device_is_its_own_again() -> None:
    rush = Rush(40, lambda calls: 0.002 * calls)
    rush.go_on(200)
    assert max(rush.open_calls) == 40
    rush.step_s = lambda calls: 0.01 * calls  # another program has the device as well
    rush.go_on(400)
    assert 12 <= rush.admission.admitted <= 20
    assert rush.late_seconds == 0
    rush.step_s = lambda calls: 0.002 * calls
    rush.go_on(300)
    assert rush.admission.admitted == rush.open_calls[-1] == 40
