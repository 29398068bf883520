"""When each caller sends what."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from load_tests.schedule import (
    FRAMES_PER_CHUNK,
    TICKS_PER_CHUNK,
    TICKS_PER_FRAME,
    Questions,
    chunk_offset_ticks,
    first_tick,
    whole_chunks,
)


@given(caller=st.integers(0, 5_000), earliest=st.integers(0, 1_000_000))
def test_a_caller_joins_at_its_own_offset_within_one_chunk(caller: int, earliest: int) -> None:
    tick = first_tick(caller, earliest)
    assert earliest <= tick < earliest + TICKS_PER_CHUNK
    assert tick % TICKS_PER_CHUNK == chunk_offset_ticks(caller)


def test_starts_are_spread_over_the_chunk_and_over_the_frame() -> None:
    for calls in (20, 100, 400, 1_000):
        per_20ms = Counter(chunk_offset_ticks(n) // TICKS_PER_FRAME for n in range(calls))
        per_tick = Counter(chunk_offset_ticks(n) % TICKS_PER_FRAME for n in range(calls))
        assert max(per_20ms.values()) <= calls / FRAMES_PER_CHUNK * 1.2 + 1
        assert max(per_tick.values()) <= calls / TICKS_PER_FRAME * 1.5 + 1


@given(caller=st.integers(0, 5_000), every=st.integers(1, 20), earliest=st.integers(0, 100_000))
def test_a_question_is_the_last_frame_of_a_chunk_and_the_first_one_possible(
    caller: int, every: int, earliest: int
) -> None:
    questions = Questions(every)
    frame = questions.first_frame(caller, earliest)
    assert frame >= earliest
    assert frame % FRAMES_PER_CHUNK == FRAMES_PER_CHUNK - 1
    assert frame // FRAMES_PER_CHUNK % every == caller % every
    assert frame - every * FRAMES_PER_CHUNK < max(earliest, frame % (every * FRAMES_PER_CHUNK))


def test_questions_follow_at_the_same_distance() -> None:
    assert Questions(7).next_frame(19) == 19 + 140


def test_an_unfinished_chunk_gets_no_decision() -> None:
    assert [whole_chunks(frames) for frames in (0, 19, 20, 39, 40)] == [0, 0, 1, 1, 2]
