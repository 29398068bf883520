"""The log of a call is always the tail of what was sent, however it was shortened."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.turn.chunk_log import ChunkLog, Logged
from tests.gateway.calls import CALL
from wire.ids import TurnId
from wire.messages import AudioChunk, Dtmf, Say, TurnCancelled


def chunk(index: int) -> AudioChunk:
    return AudioChunk(CALL, 0, 0, index, 3_200 * index, 0.0, b"")


KEY = Dtmf(CALL, 0, 0, "5", 0)
STOP = TurnCancelled(CALL, 0, 0, TurnId(1), 800, "barged_in")
ORDER = Say(CALL, 0, 0, "one moment")


def logged(max_chunks: int, *messages: Logged) -> ChunkLog:
    log = ChunkLog(max_chunks)
    for n, message in enumerate(messages):
        log.add(message, float(n))
    return log


def held(log: ChunkLog) -> list[Logged]:
    return [entry.message for entry in log]


def test_a_log_that_is_not_full_holds_everything_and_when_it_was_sent():
    log = logged(3, KEY, chunk(0), STOP, chunk(1), ORDER)
    assert [(entry.message, entry.sent_at) for entry in log] == [
        (KEY, 0.0),
        (chunk(0), 1.0),
        (STOP, 2.0),
        (chunk(1), 3.0),
        (ORDER, 4.0),
    ]
    assert log.begins_at == 0


def test_the_oldest_chunk_makes_room_and_what_came_before_it_goes_too():
    log = logged(2, KEY, chunk(0), STOP, chunk(1), ORDER, chunk(2))
    assert held(log) == [STOP, chunk(1), ORDER, chunk(2)]
    assert log.begins_at == 1


def test_what_came_after_the_snapshots_chunk_is_not_in_the_snapshot_and_stays():
    log = logged(9, chunk(0), KEY, chunk(1), STOP, chunk(2))
    log.forget(1)
    assert held(log) == [STOP, chunk(2)]
    assert log.begins_at == 2


def test_a_snapshot_of_the_newest_chunk_leaves_what_waits_for_the_next():
    log = logged(9, chunk(0), chunk(1), KEY)
    log.forget(1)
    assert held(log) == [KEY]
    assert log.begins_at == 2
    log.add(chunk(2), 9.0)
    assert held(log) == [KEY, chunk(2)]


def test_a_snapshot_older_than_the_log_changes_nothing():
    log = logged(2, *(chunk(n) for n in range(5)))
    log.forget(1)
    assert held(log) == [chunk(3), chunk(4)]
    assert log.begins_at == 3


def test_a_new_log_has_nothing_to_forget():
    log = ChunkLog(2)
    log.forget(0)
    assert (held(log), log.begins_at) == ([], 0)


class Forget(NamedTuple):
    """A snapshot of the chunk that so many chunks were sent after."""

    ago: int


@given(
    max_chunks=st.integers(1, 6),
    steps=st.lists(st.sampled_from(["chunk", "chunk", KEY, STOP, ORDER]) | st.builds(Forget, st.integers(0, 8))),
)
def test_the_log_is_the_tail_of_what_was_added_after_any_adds_and_forgets(
    max_chunks: int, steps: list[str | Dtmf | TurnCancelled | Say | Forget]
):
    log = ChunkLog(max_chunks)
    added: list[Logged] = []
    chunks = begins_at = 0
    for step in steps:
        if isinstance(step, Forget):
            if chunks - 1 - step.ago >= 0:
                log.forget(chunks - 1 - step.ago)
                begins_at = max(begins_at, chunks - step.ago)
            continue
        if isinstance(step, str):
            added.append(chunk(chunks))
            chunks += 1
            begins_at = max(begins_at, chunks - max_chunks)
        else:
            added.append(step)
        log.add(added[-1], 0.0)
    starts = [n for n, message in enumerate(added) if isinstance(message, AudioChunk)]
    tail = added[starts[begins_at - 1] + 1 :] if begins_at else added
    assert held(log) == tail
    assert log.begins_at == begins_at
