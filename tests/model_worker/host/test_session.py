"""A session gives every chunk once, in order, whatever the bus did."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.session import MAX_BACKLOG_CHUNKS, MAX_GAP_CHUNKS, Drop, FailedCallError, Repair, Session, Tally
from tests.model_worker.host.fakes import Caller
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.ids import NO_TURN, TurnId
from wire.messages import AudioChunk, Playback


def opened(caller: Caller, tally: Tally | None = None, first_chunk_ms: int = 400) -> Session:
    return Session(caller.opens(), 400, first_chunk_ms, tally or Tally())


def indexes(session: Session) -> list[int]:
    return [session.take().index for _ in range(session.backlog)]


@given(
    chunks=st.integers(1, 60),
    window=st.integers(0, 6),
    loss=st.floats(0, 0.5),
    copies=st.floats(0, 0.5),
    seed=st.integers(0, 2**32),
)
def test_whatever_the_bus_does_chunks_come_once_and_in_order(
    chunks: int, window: int, loss: float, copies: float, seed: int
) -> None:
    chance = Random(seed)
    tally = Tally()
    caller = Caller()
    session = opened(caller, tally)
    sent = [caller.speaks(bytes([n % 256]) * 3_200) for n in range(chunks)]
    arriving = [m for m in sent if chance.random() >= loss]
    arriving += [m for m in arriving if chance.random() < copies]
    arriving.sort(key=lambda m: m.index + chance.uniform(0, window))
    for message in arriving:
        session.receive(message, 0.0, 1.0)
    taken = [session.take() for _ in range(session.backlog)]
    newest = max((m.index for m in arriving), default=-1)
    assert [chunk.index for chunk in taken] == list(range(newest + 1))
    for chunk in taken:
        assert chunk.payload == bytes([chunk.index % 256]) * 3_200 or is_quiet_noise(Codec.PCMU, chunk.payload)
    real = len(taken) - tally.repairs[Repair.LOST]
    assert len(arriving) == real + tally.drops[Drop.DUPLICATE] + tally.drops[Drop.LATE]
    if window == 0:
        assert tally.drops[Drop.LATE] == 0
        assert tally.repairs[Repair.LOST] == newest + 1 - len({m.index for m in arriving})


def is_quiet_noise(codec: Codec, payload: bytes) -> bool:
    pcm = g711.decode(codec, payload)
    return len(payload) == 3_200 and 20 < pcm.std() < 50 and abs(pcm.mean()) < 5


def test_the_same_noise_stands_for_a_lost_chunk_whenever_a_call_is_replayed() -> None:
    def noise_of(caller: Caller) -> list[bytes]:
        session = opened(caller)
        caller.index += 2
        session.receive(caller.speaks(), 0.0, 1.0)
        return [session.take().payload for _ in range(2)]

    first, second = noise_of(Caller())
    assert [first, second] == noise_of(Caller())
    assert first != second


def test_a_lost_chunk_becomes_noise_in_the_codec_and_its_straggler_is_late() -> None:
    tally = Tally()
    caller = Caller(codec=Codec.PCMA)
    session = opened(caller, tally)
    first, lost, third = (caller.speaks(b"\x2a" * 3_200) for _ in range(3))
    for message in (first, third, lost):
        session.receive(message, 0.0, 1.0)
    assert session.backlog == 3
    assert session.take().payload == b"\x2a" * 3_200
    assert is_quiet_noise(Codec.PCMA, session.take().payload)
    assert session.take().payload == b"\x2a" * 3_200
    assert tally.repairs[Repair.LOST] == 1
    assert tally.drops[Drop.LATE] == 1
    assert tally.lost_messages == 1


def test_a_call_taken_over_begins_where_its_log_begins() -> None:
    caller = Caller(epoch=3)
    caller.index = 70
    session = opened(caller)
    session.receive(caller.speaks(), 0.0, 1.0)
    assert indexes(session) == [70]


def test_the_first_chunk_of_a_call_may_be_missing() -> None:
    caller = Caller()
    session = opened(caller)
    caller.speaks()
    session.receive(caller.speaks(), 0.0, 1.0)
    assert indexes(session) == [0, 1]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("extra_bytes", [-33, 33])
def test_a_chunk_of_the_wrong_length_is_made_whole(codec: Codec, extra_bytes: int) -> None:
    tally = Tally()
    caller = Caller(codec=codec)
    session = opened(caller, tally)
    whole = codec.sample_rate_hz * codec.bytes_per_sample * 2 // 5
    session.receive(caller.speaks(b"\x01" * (whole + extra_bytes)), 0.0, 1.0)
    payload = session.take().payload
    assert len(payload) == whole
    assert payload.startswith(b"\x01" * (whole - 34))
    assert tally.repairs[Repair.LENGTH] == 1


def test_only_the_first_chunk_of_a_call_has_the_first_length() -> None:
    caller = Caller()
    tally = Tally()
    session = opened(caller, tally, first_chunk_ms=1_035)
    session.receive(caller.speaks(b"\x01" * 8_280), 0.0, 1.0)
    session.receive(caller.speaks(b"\x01" * 3_200), 0.0, 1.0)
    assert [len(session.take().payload) for _ in range(2)] == [8_280, 3_200]
    assert tally.repairs[Repair.LENGTH] == 0


def test_keys_and_stopped_turns_come_with_the_chunk_they_fell_into() -> None:
    caller = Caller()
    session = opened(caller)
    for message in (caller.speaks(), caller.presses("4"), caller.presses("2"), caller.stops(1, 800), caller.speaks()):
        session.receive(message, 0.0, 1.0)
    before, after = session.take(), session.take()
    assert (before.dtmf, before.cancelled) == ("", ())
    assert after.dtmf == "42"
    assert [stopped.turn for stopped in after.cancelled] == [1]


def test_a_copy_of_a_key_is_not_pressed_twice() -> None:
    caller = Caller()
    session = opened(caller)
    key = caller.presses("7")
    for message in (key, key, caller.speaks()):
        session.receive(message, 0.0, 1.0)
    assert session.take().dtmf == "7"


def test_an_operator_s_words_come_once_with_the_next_whole_chunk_that_arrives() -> None:
    caller = Caller()
    session = opened(caller)
    order = caller.orders("one moment")
    lost = caller.speaks()
    for message in (order, order, caller.orders("please"), caller.speaks(), caller.speaks()):
        session.receive(message, 0.0, 1.0)
    assert lost.index == 0
    assert [session.take().say for _ in range(3)] == [(), ("one moment", "please"), ()]


def test_what_the_caller_heard_is_known_in_seconds_and_kept_over_a_lost_chunk() -> None:
    caller = Caller()
    session = opened(caller)
    session.receive(caller.speaks(), 0.0, 1.0)
    session.receive(caller.speaks(playback=Playback(TurnId(1), 8_000, 6_000, 4_000)), 0.0, 1.4)
    caller.speaks()
    session.receive(caller.speaks(), 0.0, 2.2)
    assert [session.take().playback_s for _ in range(4)] == [(NO_TURN, 0.0), (1, 0.5), (1, 0.5), (1, 0.5)]


def test_age_is_that_at_the_gateway_and_on_the_bus() -> None:
    caller = Caller()
    session = opened(caller)
    session.receive(caller.speaks(age_s=0.010), 0.002, 5.0)
    assert session.waiting_since == 5.0
    assert session.take().age_s == pytest.approx(0.012)


def test_a_gap_of_more_than_a_minute_ends_the_call_before_it_costs_memory() -> None:
    caller = Caller()
    session = opened(caller)
    caller.index = MAX_GAP_CHUNKS
    session.receive(caller.speaks(), 0.0, 1.0)
    assert session.backlog == MAX_GAP_CHUNKS + 1
    far = AudioChunk(caller.call, 0, 99, 2**60, 0, 0.0, b"")
    with pytest.raises(FailedCallError) as failed:
        session.receive(far, 0.0, 1.0)
    assert failed.value.reason == "gap"
    assert session.backlog == MAX_GAP_CHUNKS + 1


def test_an_engine_that_falls_too_far_behind_loses_the_call() -> None:
    caller = Caller()
    session = opened(caller)
    for _ in range(MAX_BACKLOG_CHUNKS):
        session.receive(caller.speaks(), 0.0, 1.0)
    with pytest.raises(FailedCallError) as failed:
        session.receive(caller.speaks(), 0.0, 1.0)
    assert failed.value.reason == "overload"


def test_messages_down_are_numbered_without_a_gap() -> None:
    session = opened(Caller(epoch=2))
    assert [session.stamp() for _ in range(3)] == [("call-1", 2, 0), ("call-1", 2, 1), ("call-1", 2, 2)]
