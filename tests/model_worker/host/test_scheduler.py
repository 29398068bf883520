"""The scheduler is fair and forgets nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.scheduler import Scheduler
from wire.ids import CallId


@given(waiting=st.lists(st.floats(0, 100), max_size=40), max_batch=st.integers(1, 10))
def test_everybody_is_served_once_and_whoever_waited_longest_first(waiting: list[float], max_batch: int) -> None:
    scheduler = Scheduler(max_batch)
    since = {CallId(f"call-{n}"): at for n, at in enumerate(waiting)}
    for call, at in since.items():
        scheduler.add(call, at)
    served: list[CallId] = []
    while batch := scheduler.take():
        assert len(batch) <= max_batch
        served += batch
    assert served == sorted(since, key=lambda call: since[call])
    assert len(scheduler) == 0


def test_a_call_with_a_backlog_stands_in_line_once() -> None:
    scheduler = Scheduler(8)
    scheduler.add(CallId("a"), 1.0)
    scheduler.add(CallId("a"), 2.0)
    assert len(scheduler) == 1
    assert scheduler.take() == ["a"]
    assert scheduler.take() == []


def test_a_call_that_ended_leaves_the_line_and_may_come_back() -> None:
    scheduler = Scheduler(8)
    scheduler.add(CallId("a"), 1.0)
    scheduler.add(CallId("b"), 2.0)
    scheduler.remove(CallId("a"))
    scheduler.remove(CallId("unknown"))
    scheduler.add(CallId("a"), 3.0)
    assert len(scheduler) == 2
    assert scheduler.take() == ["b", "a"]
    assert scheduler.take() == []


def test_a_batch_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Scheduler(0)
