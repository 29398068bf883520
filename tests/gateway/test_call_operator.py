"""What an operator can do to a live call, and what those who watch are told of it."""

import pytest

from gateway.effects import (
    ClearAudio,
    EndLeg,
    NoteDecision,
    NoteDropped,
    NoteDucked,
    NoteEnded,
    NoteKey,
    NoteMissing,
    NoteMuted,
    NoteOverlap,
    NoteTurnEnded,
    NoteTurnOpened,
    OverlapEnd,
    SendAudio,
    TurnEnd,
)
from gateway.events import KeyPressed, LegAway, OperatorEnded, OperatorMuted, OperatorSaid, WorkerSaid
from tests.gateway.calls import CHUNK, SILENCE, Driven, decision, done, speech
from tests.speech import jfk_ulaw
from wire.codec import decode, encode
from wire.ids import NO_TURN
from wire.messages import MAX_SAY_CHARS, CallClosed, DecisionKind, Say, TurnCancelled

SPEAK = DecisionKind.SPEAK


def speaking(samples: int = 40_000) -> Driven:
    """A call in which turn 1 is heard from 0.4 s on."""
    driven = Driven()
    driven.media(SILENCE * CHUNK, 0.4)
    driven.call.receive(WorkerSaid(decision(driven, 0, SPEAK, turn=1)), 0.4)
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, samples, "hello")), 0.4)
    driven.drain()
    return driven


def tell(driven: Driven, event: OperatorSaid | OperatorMuted | OperatorEnded | LegAway, now: float) -> None:
    driven.call.receive(event, now)
    driven.drain()


def test_an_operator_s_words_go_to_the_worker_in_their_place():
    driven = speaking()
    tell(driven, OperatorSaid("  One moment,\nplease. "), 0.5)
    (say,) = driven.up(Say)
    assert (say.text, say.seq) == ("One moment, please.", 2)
    assert not driven.of(ClearAudio), "the old words go on until the new ones are there"


@pytest.mark.parametrize("text", ["x" * 5_000, "lone \ud800 surrogate", "é" * MAX_SAY_CHARS])
def test_whatever_an_operator_types_the_worker_can_read(text: str):
    driven = Driven()
    tell(driven, OperatorSaid(text), 0.1)
    (say,) = driven.up(Say)
    assert decode(encode(say)) == say
    assert 0 < len(say.text) <= MAX_SAY_CHARS


@pytest.mark.parametrize("text", ["", " \n\t", "\ud800"])
def test_no_words_are_nothing_to_say(text: str):
    driven = Driven()
    tell(driven, OperatorSaid(text), 0.1)
    assert driven.up(Say) == []


def test_muting_stops_the_open_turn_at_once():
    driven = speaking()
    tell(driven, OperatorMuted(True), 0.7)
    assert driven.of(NoteMuted) == [NoteMuted(True, 0.7)]
    assert len(driven.of(ClearAudio)) == 1
    (note,) = driven.of(NoteTurnEnded)
    assert (note.end, note.ledger.played) == (TurnEnd.MUTED, 2_400)
    (cancelled,) = driven.up(TurnCancelled)
    assert (cancelled.heard_samples, cancelled.cause) == (2_400, "muted")


def test_of_turns_that_open_while_muted_nothing_is_heard_and_decisions_go_on():
    driven = speaking()
    tell(driven, OperatorMuted(True), 0.7)
    driven.effects.clear()
    driven.chunks(1, start=0.4)
    driven.call.receive(WorkerSaid(decision(driven, 1, SPEAK, turn=2)), 0.8)
    driven.call.receive(WorkerSaid(speech(driven, 2, 0, 8_000)), 0.8)
    driven.call.receive(WorkerSaid(done(driven, 2, 8_000)), 0.8)
    driven.call.receive(WorkerSaid(speech(driven, 3, 0, 8_000)), 0.9)  # its decision was lost
    driven.call.receive(WorkerSaid(done(driven, 4, 0)), 0.9)
    driven.tick_to(2.0)
    driven.drain()
    assert not driven.of(SendAudio)
    assert not driven.of(ClearAudio), "the leg has nothing to drop"
    assert [note.decision.index for note in driven.of(NoteDecision)] == [1]
    assert [(note.end, note.ledger.played) for note in driven.of(NoteTurnEnded)] == [(TurnEnd.MUTED, 0)] * 3
    assert [(c.turn, c.heard_samples) for c in driven.up(TurnCancelled)] == [(2, 0), (3, 0), (4, 0)]


def test_an_agent_that_got_its_voice_back_is_heard_again():
    driven = speaking()
    tell(driven, OperatorMuted(True), 0.7)
    tell(driven, OperatorMuted(False), 0.8)
    driven.effects.clear()
    driven.call.receive(WorkerSaid(speech(driven, 2, 0, 8_000)), 0.9)
    driven.drain()
    assert driven.of(SendAudio)


def test_muting_twice_is_muting_once():
    driven = speaking()
    tell(driven, OperatorMuted(True), 0.7)
    tell(driven, OperatorMuted(True), 0.8)
    tell(driven, OperatorMuted(False), 0.9)
    tell(driven, OperatorMuted(False), 1.0)
    assert [note.on for note in driven.of(NoteMuted)] == [True, False]


def test_words_for_an_agent_without_a_voice_are_counted_and_dropped():
    driven = Driven()
    tell(driven, OperatorMuted(True), 0.1)
    tell(driven, OperatorSaid("hello"), 0.2)
    assert driven.up(Say) == []
    assert [note.reason for note in driven.of(NoteDropped)] == ["muted"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (OperatorEnded("hangup"), "operator_hangup"),
        (OperatorEnded("transfer", {"to": "+15550100"}), "operator_transfer"),
    ],
)
def test_an_operator_ends_the_agent_s_part_at_once(event: OperatorEnded, reason: str):
    driven = speaking()
    driven.effects.clear()
    tell(driven, event, 0.7)
    assert [(e.action, e.arguments) for e in driven.of(EndLeg)] == [(event.action, event.arguments)]
    assert isinstance(driven.effects[0], ClearAudio), "what the leg still has is not played first"
    assert [note.reason for note in driven.of(NoteEnded)] == [reason]
    assert [closed.reason for closed in driven.up(CallClosed)] == [reason]
    assert driven.call.ended


def test_a_transfer_to_nowhere_is_counted_and_the_call_goes_on():
    driven = speaking()
    tell(driven, OperatorEnded("transfer"), 0.7)
    assert [note.reason for note in driven.of(NoteDropped)] == ["unknown_action"]
    assert not driven.call.ended


def test_a_caller_out_of_reach_is_not_talked_to():
    driven = speaking()
    tell(driven, LegAway(), 0.7)
    assert [note.end for note in driven.of(NoteTurnEnded)] == [TurnEnd.LEG_LOST]
    tell(driven, LegAway(), 0.8)
    assert len(driven.up(TurnCancelled)) == 1


def test_a_key_is_noted_with_its_time():
    driven = Driven()
    driven.call.receive(KeyPressed("5"), 0.2)
    driven.drain()
    assert driven.of(NoteKey) == [NoteKey("5", 0.2)]


def test_a_chunk_that_will_never_be_decided_on_is_noted_when_that_is_known():
    driven = Driven()
    driven.chunks(4)
    driven.call.receive(WorkerSaid(decision(driven, 3)), 1.65)
    driven.drain()
    assert driven.of(NoteMissing) == [NoteMissing(index, 1.65) for index in (0, 1, 2)]
    kinds = [type(effect) for effect in driven.effects if isinstance(effect, NoteMissing | NoteDecision)]
    assert kinds[-1] is NoteDecision


def test_a_worker_that_never_decides_leaves_a_bounded_number_of_chunks_open():
    driven = Driven()
    driven.chunks(300)
    assert [note.index for note in driven.of(NoteMissing)] == list(range(300 - 256))


def test_a_turn_is_noted_when_it_opens_and_its_predecessor_before_that():
    driven = speaking()
    driven.call.receive(WorkerSaid(speech(driven, 2, 0, 4_000)), 0.7)
    driven.drain()
    kinds = [type(note) for note in driven.effects if isinstance(note, NoteTurnOpened | NoteTurnEnded)]
    assert kinds == [NoteTurnOpened, NoteTurnEnded, NoteTurnOpened]
    assert [(note.turn, note.at_s) for note in driven.of(NoteTurnOpened)] == [(1, 0.4), (2, 0.7)]


def test_a_decision_to_listen_opens_nothing():
    driven = Driven()
    driven.chunks(1)
    driven.call.receive(WorkerSaid(decision(driven, 0, turn=NO_TURN)), 0.4)
    driven.drain()
    assert not driven.of(NoteTurnOpened)


def test_a_barge_in_tells_when_the_caller_began_and_how_long_the_stop_took():
    driven = speaking(400_000)
    audio = jfk_ulaw()[8_000:]
    now = 1.0
    while not driven.of(NoteTurnEnded):
        at = round((now - 1.0) * 8_000)
        now += 0.02
        driven.tick_to(now)
        driven.media(audio[at : at + 160], now)
    (note,) = driven.of(NoteTurnEnded)
    assert note.end is TurnEnd.BARGED_IN
    *earlier, last = driven.of(NoteOverlap)
    assert {overlap.end for overlap in earlier} <= {OverlapEnd.KEPT, OverlapEnd.RESUMED}
    assert (last.end, last.at_s) == (OverlapEnd.YIELDED, note.at_s)
    assert last.stopped_at_s is not None
    assert note.onset_at_s == last.onset_at_s
    assert note.stop_s == pytest.approx(last.stopped_at_s - last.onset_at_s)
    assert 1.0 <= driven.of(NoteDucked)[0].onset_at_s <= 1.1
