"""A call whose worker will not do: it seeks another, which is told the past; the caller hears no seam."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.call import CallLimits
from gateway.effects import (
    EndLeg,
    NoteDecision,
    NoteDropped,
    NoteEnded,
    NoteMoved,
    NoteTurnEnded,
    SeekWorker,
    SendAgain,
    SendUp,
    TurnEnd,
)
from gateway.events import BusAway, BusBack, KeyPressed, LegAway, Moved, OperatorSaid, WorkerGone, WorkerSaid
from gateway.resumption import VERSION, Resumption, pack, unpack
from gateway.serving import MAX_MOVES, MAX_UNDECIDED, MOVES_WITHIN_S, SOON_S
from tests.gateway.calls import CALL, CHUNK, RTP_LIKE, SILENCE, Driven, audio_sent, decision, done, speech
from wire.bus.seam import Lease
from wire.ids import GatewayId, TurnId, WorkerId
from wire.messages import (
    AudioChunk,
    CallClosed,
    CallFailed,
    CallOpened,
    DecisionKind,
    DownMessage,
    Dtmf,
    Line,
    Past,
    Say,
    Snapshot,
    ToolCall,
    Transcript,
    TurnCancelled,
    Voice,
    WorkerDraining,
)

SPEAK = DecisionKind.SPEAK
PATIENT = CallLimits(max_duration_s=10_000.0)
TURN = bytes(n * 7 % 251 for n in range(16_000))  # 2 s, no two places alike


def worker_says(driven: Driven, message: DownMessage, now: float) -> None:
    """The worker that serves the call says something."""
    driven.call.receive(WorkerSaid(replace(message, epoch=driven.call.epoch)), now)
    driven.drain()


def decides(driven: Driven, index: int, now: float) -> None:
    worker_says(driven, decision(driven, index), now)


def moves(driven: Driven, worker: str, now: float) -> list[SendUp | SendAgain]:
    """Another worker has the call; returns what both are sent."""
    driven.call.receive(Moved(Lease(CALL, WorkerId(worker), "scripted", 400, 400)), now)
    return [effect for effect in driven.drain() if isinstance(effect, SendUp | SendAgain)]


def told(driven: Driven) -> Past:
    """What the newest worker was told of the past."""
    past = driven.up(CallOpened)[-1].past
    assert past is not None
    return past


def sought(driven: Driven) -> list[str]:
    return [effect.reason for effect in driven.of(SeekWorker)]


def snapshot(index: int, state: bytes = b"state") -> Snapshot:
    return Snapshot(CALL, 0, 0, index, state)


def serve(driven: Driven, count: int, start: float = 0.0, first: int = 0) -> float:
    """Chunks that are decided on at once; returns the time of the last."""
    now = start
    for index in range(first, first + count):
        now = driven.chunks(1, now)
        decides(driven, index, now)
    return now


def test_two_missed_deadlines_make_a_call_seek_another_worker_once():
    driven = Driven()
    driven.chunks(1)
    driven.tick_to(1.19)
    assert sought(driven) == []
    driven.tick_to(1.21)  # the chunk was complete at 0.4
    assert driven.call.seeking
    driven.chunks(3, start=1.2)
    driven.tick_to(3.0)
    assert sought(driven) == ["missed_decisions"]


def test_one_late_decision_does_not():
    driven = Driven()
    driven.chunks(2)
    decides(driven, 0, 1.15)
    driven.tick_to(1.5)
    decides(driven, 1, 1.5)
    driven.tick_to(3.0)
    assert sought(driven) == []
    assert [note.latency_s for note in driven.of(NoteDecision)] == pytest.approx([0.75, 0.7])


@pytest.mark.parametrize("silence", ["missed_decisions", "silent"])
def test_a_decision_ends_a_search_that_nothing_but_silence_was_the_reason_for(silence: str):
    driven = Driven()
    driven.chunks(1)
    if silence == "silent":
        driven.call.receive(WorkerGone("silent"), 0.9)
        driven.drain()
    driven.tick_to(1.21)
    assert sought(driven) == [silence]
    decides(driven, 0, 1.3)
    assert not driven.call.seeking
    driven.chunks(1, start=1.4)
    driven.tick_to(2.7)
    assert sought(driven) == [silence, "missed_decisions"]  # and may begin again


@pytest.mark.parametrize("message", [WorkerDraining(CALL, 0, 0, 30.0), CallFailed(CALL, 0, 0, "engine_fault")])
def test_a_decision_does_not_end_a_search_that_the_worker_asked_for(message: DownMessage):
    driven = Driven()
    driven.chunks(1)
    worker_says(driven, message, 0.45)
    decides(driven, 0, 0.5)
    assert driven.call.seeking


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (WorkerSaid(WorkerDraining(CALL, 0, 0, 30.0)), "draining"),
        (WorkerGone("silent"), "silent"),
        (WorkerGone("lease_lost"), "lease_lost"),
        (WorkerSaid(CallFailed(CALL, 0, 0, "engine_fault")), "engine_fault"),
    ],
)
def test_a_worker_that_will_not_do_makes_the_call_seek_another(event: WorkerSaid | WorkerGone, reason: str):
    driven = Driven()
    driven.chunks(1)
    driven.call.receive(event, 0.5)
    driven.call.receive(event, 0.6)
    driven.drain()
    assert sought(driven) == [reason]
    assert not driven.call.ended


def test_an_agent_that_no_worker_knows_ends_the_call():
    driven = Driven()
    driven.call.receive(WorkerSaid(CallFailed(CALL, 0, 0, "unknown_agent")), 0.1)
    driven.drain()
    assert sought(driven) == []
    assert [effect.action for effect in driven.of(EndLeg)] == ["failed"]
    assert [note.reason for note in driven.of(NoteEnded)] == ["worker_failed"]


def in_the_middle_of_a_turn() -> Driven:
    """A call that asked something at 0.4 s and is being answered; chunks 1 and 2 await their decisions, at 1.2 s."""
    driven = Driven()
    driven.media(SILENCE * CHUNK, 0.4)
    worker_says(driven, decision(driven, 0, SPEAK, turn=1), 0.45)
    worker_says(driven, Transcript(CALL, 0, 0, Voice.CALLER, "opening hours"), 0.45)
    worker_says(driven, Transcript(CALL, 0, 0, Voice.AGENT, "at eight", TurnId(1)), 0.45)
    piece = speech(driven, 1, 0, 8_000, "at eight")
    worker_says(driven, replace(piece, payload=TURN[:8_000]), 0.45)
    driven.chunks(1, start=0.4)
    driven.call.receive(KeyPressed("5"), 1.0)
    driven.call.receive(OperatorSaid("one moment"), 1.1)
    driven.chunks(1, start=0.8)
    return driven


def test_the_old_worker_is_told_that_it_is_over_and_the_new_one_what_was():
    driven = in_the_middle_of_a_turn()
    driven.call.receive(WorkerGone("silent"), 1.3)
    driven.drain()
    sent = moves(driven, "w2", 1.5)
    closed, opened = sent[0], sent[1]
    assert (closed.to, closed.message) == ("w1", CallClosed(CALL, 0, 6, "moved"))
    assert isinstance(opened.message, CallOpened)
    assert (opened.to, opened.message.epoch, opened.message.seq) == ("w2", 1, 0)
    assert opened.message.gateway == GatewayId("g1")
    assert opened.message.past == Past(
        decided_below=1,
        told=2,
        turn=TurnId(1),
        generated=8_000,
        open=True,
        checksum=crc32(TURN[:8_000]),
        state=b"",
        exact=True,
        said=(Line(Voice.CALLER, "opening hours"),),
    )
    (moved,) = driven.of(NoteMoved)
    assert (moved.worker, moved.reason, moved.at_s) == ("w2", "silent", 1.5)
    assert moved.sought_s == pytest.approx(0.2)
    assert (driven.call.worker, driven.call.epoch, driven.call.seeking) == ("w2", 1, False)


def test_the_new_worker_is_told_the_log_again_in_its_own_numbers_and_how_old_it_is():
    driven = in_the_middle_of_a_turn()
    again = [effect for effect in moves(driven, "w2", 1.5) if isinstance(effect, SendAgain)]
    assert {effect.to for effect in again} == {"w2"}
    messages = [effect.message for effect in again]
    assert [type(message) for message in messages] == [AudioChunk, AudioChunk, Dtmf, Say, AudioChunk]
    assert [(message.epoch, message.seq) for message in messages] == [(1, n) for n in range(1, 6)]
    chunks = [message for message in messages if isinstance(message, AudioChunk)]
    assert [chunk.index for chunk in chunks] == [0, 1, 2]
    assert [chunk.age_s for chunk in chunks] == pytest.approx([1.1, 0.7, 0.3])
    first = [replace(chunk, epoch=1, seq=0, age_s=0.0) for chunk in driven.up(AudioChunk)]
    assert [replace(chunk, seq=0, age_s=0.0) for chunk in chunks] == first
    driven.chunks(1, start=1.5)
    assert (driven.up(AudioChunk)[-1].epoch, driven.up(AudioChunk)[-1].seq) == (1, 6)
    assert driven.of(SendUp)[-1].to == "w2"


def test_the_old_worker_speaks_no_more():
    driven = in_the_middle_of_a_turn()
    moves(driven, "w2", 1.5)
    late: list[DownMessage] = [
        decision(driven, 1),
        replace(speech(driven, 1, 8_000, 800), seq=9),
        done(driven, 1, 8_000),
        ToolCall(CALL, 0, 0, "hangup"),
        Transcript(CALL, 0, 0, Voice.CALLER, "late"),
        snapshot(0),
        WorkerDraining(CALL, 0, 0, 1.0),
        CallFailed(CALL, 0, 0, "unknown_agent"),
    ]
    before = driven.call.stats()
    for message in late:
        driven.call.receive(WorkerSaid(message), 1.6)
    fresh = driven.drain()
    assert fresh == [NoteDropped("epoch")] * len(late)
    assert driven.call.stats() == before


@pytest.mark.parametrize("here_samples", [1, 3_199, 8_000, 15_999])
def test_speech_goes_on_where_it_was_without_a_gap_or_a_repetition(here_samples: int):
    driven = Driven(RTP_LIKE)
    driven.media(SILENCE * CHUNK, 0.4)
    worker_says(driven, decision(driven, 0, SPEAK, turn=1), 0.4)
    worker_says(driven, replace(speech(driven, 1, 0, 1), payload=TURN[:here_samples]), 0.4)
    driven.tick_to(0.42)
    driven.call.receive(WorkerGone("silent"), 0.42)
    moves(driven, "w2", 0.42)
    assert told(driven).checksum == crc32(TURN[:here_samples])
    piece = speech(driven, 1, told(driven).generated, 1)
    worker_says(driven, replace(piece, payload=TURN[here_samples:]), 0.42)
    worker_says(driven, done(driven, 1, len(TURN)), 0.42)
    driven.tick_to(3.0)
    assert audio_sent(driven.effects) == TURN
    assert [(note.end, note.ledger.played) for note in driven.of(NoteTurnEnded)] == [(TurnEnd.PLAYED, len(TURN))]
    assert driven.call.stats()["lost_speech_samples"] == driven.call.stats()["underruns"] == 0


@pytest.mark.parametrize("closing", ["complete", "stopped"])
def test_a_turn_that_is_complete_or_was_stopped_is_not_awaited(closing: str):
    driven = in_the_middle_of_a_turn()
    if closing == "complete":
        worker_says(driven, done(driven, 1, 8_000), 1.3)
    else:
        driven.call.receive(LegAway(), 1.3)
    moves(driven, "w2", 1.4)
    past = told(driven)
    assert (past.turn, past.generated, past.open) == (1, 8_000, False)


def test_a_turn_of_which_nothing_came_yet_is_awaited():
    driven = in_the_middle_of_a_turn()
    worker_says(driven, decision(driven, 1, SPEAK, turn=2), 1.3)
    moves(driven, "w2", 1.4)
    past = told(driven)
    assert (past.turn, past.generated, past.open, past.checksum) == (2, 0, True, 0)


def test_what_was_heard_of_the_agents_turns_is_part_of_what_was_said():
    driven = in_the_middle_of_a_turn()
    worker_says(driven, done(driven, 1, 8_000), 1.3)
    driven.tick_to(4.0)
    moves(driven, "w2", 4.0)
    assert told(driven).said == (Line(Voice.CALLER, "opening hours"), Line(Voice.AGENT, "at eight"))


def test_only_what_came_with_the_last_decision_counts_as_told():
    driven = in_the_middle_of_a_turn()
    decides(driven, 1, 1.3)
    worker_says(driven, ToolCall(CALL, 0, 0, "send_keys", {"keys": "1"}), 1.3)
    moves(driven, "w2", 1.4)
    assert (told(driven).decided_below, told(driven).told) == (2, 1)


def test_a_call_that_finds_no_worker_ends_when_patience_does():
    driven = Driven(limits=CallLimits(patience_s=5.0))
    driven.call.receive(WorkerGone("silent"), 1.0)
    now = 0.8
    while now < 5.5:
        now = driven.chunks(1, now)
        driven.tick_to(now)
    assert not driven.call.ended
    driven.tick_to(6.0)
    assert [effect.action for effect in driven.of(EndLeg)] == ["failed"]
    assert [(note.reason, note.duration_s) for note in driven.of(NoteEnded)] == [("worker_lost", 6.0)]


def move_because(driven: Driven, reason: str, now: float) -> None:
    driven.call.receive(WorkerGone(reason), now)
    moves(driven, f"w{driven.call.epoch + 2}", now)


def test_a_call_that_every_worker_fails_of_is_given_up():
    driven = Driven()
    for n in range(MAX_MOVES):
        move_because(driven, "engine_fault", 1.0 + n)
    assert not driven.call.ended
    driven.call.receive(WorkerGone("engine_fault"), 1.0 + MAX_MOVES)
    driven.drain()
    assert [note.reason for note in driven.of(NoteEnded)] == ["worker_lost"]
    assert [effect.action for effect in driven.of(EndLeg)] == ["failed"]


def test_a_call_is_not_blamed_for_workers_that_served_it_for_a_while():
    driven = Driven(limits=PATIENT)
    for n in range(2 * MAX_MOVES):
        move_because(driven, "silent", (n + 1) * (SOON_S + 1))
    driven.call.receive(WorkerGone("silent"), (2 * MAX_MOVES + 1) * (SOON_S + 1))
    driven.drain()
    assert not driven.call.ended


def test_moves_long_ago_and_moves_off_draining_workers_are_not_held_against_a_call():
    driven = Driven(limits=PATIENT)
    for n in range(MAX_MOVES):
        move_because(driven, "engine_fault", 1.0 + n)
    for n in range(2 * MAX_MOVES):
        move_because(driven, "draining", 1.0 + MOVES_WITHIN_S + n)
    driven.call.receive(WorkerGone("engine_fault"), 9.0 + MOVES_WITHIN_S)
    driven.drain()
    assert not driven.call.ended
    assert driven.call.seeking


def test_no_deadline_counts_while_the_bus_is_away():
    driven = Driven()
    driven.chunks(1)
    driven.call.receive(BusAway(), 0.5)
    now = 0.4
    while now < 8.0:
        now = driven.chunks(1, now)
        driven.tick_to(now)
    assert sought(driven) == []
    driven.call.receive(BusBack(), 8.0)
    driven.tick_to(8.79)
    assert sought(driven) == []
    driven.tick_to(8.8)  # two chunks later, as if all had been complete then
    assert sought(driven) == ["missed_decisions"]


def test_a_bus_that_does_not_come_back_ends_the_call_after_a_minute():
    driven = Driven()
    driven.call.receive(BusAway(), 1.0)
    now = 0.0
    while now < 60.5:
        now = driven.chunks(1, now)
        driven.tick_to(now)
    assert not driven.call.ended
    driven.tick_to(61.0)
    assert [(note.reason, note.duration_s) for note in driven.of(NoteEnded)] == [("worker_lost", 61.0)]


def test_a_bus_that_is_back_ends_a_search_for_want_of_signs_only():
    for reason, seeks in (("silent", False), ("draining", True)):
        driven = Driven()
        driven.call.receive(WorkerGone(reason), 0.5)
        driven.call.receive(BusAway(), 0.6)
        driven.call.receive(BusBack(), 1.6)
        assert driven.call.seeking is seeks


def test_a_worker_that_has_just_taken_over_is_given_the_whole_deadline():
    driven = Driven()
    driven.chunks(1)
    driven.tick_to(1.21)
    moves(driven, "w2", 1.3)
    driven.tick_to(2.09)
    assert sought(driven) == ["missed_decisions"]
    driven.tick_to(2.11)
    assert sought(driven) == ["missed_decisions"] * 2


def test_a_snapshot_shortens_the_replay():
    driven = Driven()
    serve(driven, 6)
    driven.call.receive(KeyPressed("5"), 2.5)
    worker_says(driven, snapshot(3), 2.5)
    sent = moves(driven, "w2", 2.6)
    assert (told(driven).state, told(driven).exact, told(driven).decided_below) == (b"state", True, 6)
    again = [effect.message for effect in sent if isinstance(effect, SendAgain)]
    assert [m.index if isinstance(m, AudioChunk) else type(m) for m in again] == [4, 5, Dtmf]


def test_a_snapshot_of_a_chunk_without_a_decision_is_not_used():
    driven = Driven()
    serve(driven, 2)
    driven.chunks(1, start=0.8)
    worker_says(driven, snapshot(2), 1.3)
    assert driven.of(NoteDropped) == [NoteDropped("unexpected_snapshot")]
    moves(driven, "w2", 1.4)
    assert (told(driven).state, told(driven).exact) == (b"", True)


def test_a_log_that_lost_its_beginning_is_not_exact_until_a_snapshot_takes_its_place():
    driven = Driven(limits=CallLimits(log_s=2.0))
    now = serve(driven, 8)
    sent = moves(driven, "w2", now)
    assert not told(driven).exact
    assert [e.message.index for e in sent if isinstance(e.message, AudioChunk)] == [3, 4, 5, 6, 7]
    worker_says(driven, snapshot(5), now)
    sent = moves(driven, "w3", now)
    assert (told(driven).exact, told(driven).state) == (True, b"state")
    assert [e.message.index for e in sent if isinstance(e.message, AudioChunk)] == [6, 7]
    serve(driven, 4, start=now, first=8)
    moves(driven, "w4", now + 2)
    assert not told(driven).exact  # six chunks since the snapshot, five are kept


def test_a_worker_that_never_decides_costs_no_memory():
    driven = Driven(limits=CallLimits(max_duration_s=10_000.0, patience_s=10_000.0))
    driven.chunks(MAX_UNDECIDED + 44)
    assert driven.call.stats()["undecided_chunks"] == MAX_UNDECIDED
    assert driven.call.stats()["missing_decisions"] == 44
    moves(driven, "w2", 200.0)
    assert told(driven).decided_below == 44


@given(
    decided=st.integers(0, 12),
    waiting=st.integers(0, 5),
    snapshots=st.sets(st.integers(0, 11)),
    max_chunks=st.integers(3, 20),
)
def test_whatever_was_decided_and_kept_the_replay_is_the_chunks_after_the_state_without_a_hole(
    decided: int, waiting: int, snapshots: set[int], max_chunks: int
):
    driven = Driven(limits=CallLimits(log_s=0.4 * max_chunks))
    now = 0.0
    newest = -1
    for index in range(decided):
        now = serve(driven, 1, now, index)
        if index in snapshots:
            worker_says(driven, snapshot(index, b"%d" % index), now)
            newest = index
    now = driven.chunks(waiting, now)
    again = [e.message for e in moves(driven, "w2", now) if isinstance(e, SendAgain)]
    indexes = [message.index for message in again if isinstance(message, AudioChunk)]
    past = told(driven)
    assert past.state == (b"" if newest < 0 else b"%d" % newest)
    assert past.decided_below == decided
    sent = decided + waiting
    assert indexes == list(range(sent - len(indexes), sent))
    assert past.exact == (sent - len(indexes) == newest + 1)
    assert len(indexes) == min(max_chunks, sent - newest - 1)


LEFT = Resumption(
    VERSION,
    epoch=3,
    turn=7,
    state=b"state",
    said=(Line(Voice.CALLER, "when do you open"), Line(Voice.AGENT, "we open at")),
    unsaid="eight in the morning",
    agent="front-desk",
    caller="+1",
    callee="+2",
    variables={},
)


def test_a_call_of_another_gateway_goes_on_in_the_next_epoch_with_the_words_that_were_not_heard():
    driven = Driven(resumed=LEFT)
    (opened,) = driven.up(CallOpened)
    assert (opened.epoch, opened.seq) == (4, 0)
    assert opened.past == Past(0, turn=TurnId(7), state=b"state", exact=False, said=LEFT.said)
    assert driven.up(Say) == [Say(CALL, 4, 1, "eight in the morning")]


def test_a_resumed_call_numbers_turns_after_the_old_ones():
    driven = Driven(resumed=LEFT)
    driven.chunks(2)
    worker_says(driven, speech(driven, 7, 0, 800), 0.9)
    assert driven.of(NoteDropped) == [NoteDropped("old_turn")]
    worker_says(driven, decision(driven, 0, SPEAK, turn=8), 0.9)
    worker_says(driven, speech(driven, 8, 0, 800, byte=b"\x44"), 0.9)
    worker_says(driven, done(driven, 8, 800), 0.9)
    driven.tick_to(2.0)
    assert set(audio_sent(driven.effects)) == {0x44}


def test_a_call_of_which_nothing_was_left_unsaid_orders_nothing():
    assert Driven(resumed=replace(LEFT, unsaid="")).up(Say) == []


def test_what_another_gateway_would_need_is_the_newest_of_everything():
    driven = Driven(resumed=LEFT)
    now = serve(driven, 3)
    worker_says(driven, snapshot(1, b"newer"), now)
    worker_says(driven, Transcript(CALL, 0, 0, Voice.CALLER, "thanks"), now)
    moves(driven, "w2", now)
    left = driven.call.resumption(now)
    assert (left.epoch, left.turn, left.state, left.unsaid) == (5, 7, b"newer", "")
    assert left.said == (*LEFT.said, Line(Voice.CALLER, "thanks"))
    assert unpack(pack(left)) == left


def test_what_was_not_heard_yet_of_an_open_turn_is_left_unsaid():
    driven = Driven(RTP_LIKE)
    driven.media(SILENCE * CHUNK, 0.4)
    worker_says(driven, decision(driven, 0, SPEAK, turn=1), 0.4)
    worker_says(driven, Transcript(CALL, 0, 0, Voice.AGENT, "one two three four", TurnId(1)), 0.4)
    piece = replace(speech(driven, 1, 0, 16_000, "one two three four"), word_starts=(0, 4_000, 8_000, 12_000))
    worker_says(driven, piece, 0.4)
    driven.tick_to(1.2)
    assert driven.call.resumption(1.2).unsaid == "three four"
    worker_says(driven, done(driven, 1, 16_000), 1.2)
    driven.tick_to(3.0)
    assert driven.call.resumption(3.0).unsaid == ""


@pytest.mark.parametrize("written", [b"", b"\x00", b"\xff" * 10, pack(replace(LEFT, version=VERSION + 1))])
def test_what_another_version_left_is_not_taken_up(written: bytes):
    assert unpack(written) is None


def test_a_barge_in_is_told_again_in_its_place():
    driven = in_the_middle_of_a_turn()
    worker_says(driven, decision(driven, 1, SPEAK, turn=2), 1.3)  # supersedes, which cancels turn 1
    again = [e.message for e in moves(driven, "w2", 1.4) if isinstance(e, SendAgain)]
    assert isinstance(again[-1], TurnCancelled)
    assert (again[-1].turn, again[-1].epoch) == (1, 1)


def test_a_resumed_call_that_moves_before_its_first_snapshot_is_not_exact():
    driven = Driven(resumed=LEFT)
    now = serve(driven, 2)
    moves(driven, "w2", now)
    assert not told(driven).exact


def test_a_worker_that_drains_is_no_fault():
    driven = Driven()
    for number in range(MAX_MOVES):
        move_because(driven, "engine_fault", 1.0 + number)
    driven.call.receive(WorkerGone("draining"), 10.0)
    driven.drain()
    assert not driven.call.ended
