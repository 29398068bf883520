"""The outbound queue: order, bounds, and what goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bus.outbox import Outbox
from wire.bus.seam import BusStats
from wire.codec import decode_all, encode
from wire.ids import CallId
from wire.messages import AnyMessage, AudioChunk, CallClosed

ANY_BYTES = 10**9


def chunk(seq: int, size: int = 100) -> AudioChunk:
    return AudioChunk(CallId("c1"), 0, seq, seq, 0, 0.0, bytes(size))


def goodbye(seq: int) -> CallClosed:
    return CallClosed(CallId("c1"), 0, seq, "x")


def taken(outbox: Outbox, now: float = 0.0, batch_bytes: int = ANY_BYTES) -> dict[str, list[int]]:
    def seqs(superframe: bytes) -> list[int]:
        return [item.seq for item in decode_all(superframe) if not isinstance(item, Exception)]

    return {to: seqs(superframe) for to, superframe in outbox.take(now, batch_bytes).items()}


def test_what_is_queued_leaves_as_one_superframe_per_destination_in_order():
    outbox = Outbox(ANY_BYTES, 5.0, BusStats())
    for seq, to in enumerate("abbab"):
        outbox.put(to, goodbye(seq), now=0.0)
    assert taken(outbox) == {"a": [0, 3], "b": [1, 2, 4]}
    assert taken(outbox) == {}
    assert outbox.queued_bytes == 0


def test_a_full_queue_drops_its_oldest_and_counts_them():
    stats = BusStats()
    outbox = Outbox(3 * len(encode(goodbye(0))), 5.0, stats)
    for seq in range(5):
        outbox.put("a", goodbye(seq), now=0.0)
    assert stats.unsent_messages == 2
    assert taken(outbox) == {"a": [2, 3, 4]}


def test_audio_that_waited_too_long_stays_behind_and_everything_else_goes():
    stats = BusStats()
    outbox = Outbox(ANY_BYTES, 5.0, stats)
    outbox.put("a", chunk(0), now=0.0)
    outbox.put("a", goodbye(1), now=0.0)
    outbox.put("a", chunk(2), now=0.1)
    assert taken(outbox, now=5.05) == {"a": [1, 2]}
    assert (stats.stale_messages, stats.sent_messages) == (1, 2)


def test_a_batch_ends_before_its_bound_and_holds_at_least_one_message():
    outbox = Outbox(ANY_BYTES, 5.0, BusStats())
    for seq in range(3):
        outbox.put("a", chunk(seq, size=1000), now=0.0)
    assert taken(outbox, batch_bytes=2500) == {"a": [0, 1]}
    assert taken(outbox, batch_bytes=1) == {"a": [2]}


def test_a_message_that_is_too_large_is_refused_and_leaves_the_queue_as_it_was():
    outbox = Outbox(ANY_BYTES, 5.0, BusStats())
    with pytest.raises(ValueError):
        outbox.put("a", chunk(0, size=200_000), now=0.0)
    assert len(outbox) == 0
    assert outbox.queued_bytes == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), max_size=40), st.integers(100, 2000))
def test_the_queue_never_holds_more_than_its_bound_and_every_message_is_accounted_for(
    puts: list[tuple[str, int]], limit_bytes: int
):
    stats = BusStats()
    outbox = Outbox(limit_bytes, 5.0, stats)
    for seq, (to, size) in enumerate(puts):
        message: AnyMessage = chunk(seq, size)
        outbox.put(to, message, now=0.0)
        assert outbox.queued_bytes <= limit_bytes
    rest = taken(outbox)
    assert sum(map(len, rest.values())) + stats.unsent_messages == len(puts)
    assert all(seqs == sorted(seqs) for seqs in rest.values())
