"""The waterfall of one reply: what it says, and when it rather says nothing. Many replies at once: tests/sim."""

import pytest

from gateway.effects import NoteFirstAudio, NoteReply, ReplyTrace, SendAudio, SendMark
from gateway.events import LegEnded, LegMeasured, MarkPlayed, WorkerSaid
from gateway.seams import PlayoutProfile
from tests.gateway.calls import CALL, CHUNK, PROFILE, SILENCE, STREAM_LIKE, Driven, done, speech
from tests.speech import jfk_ulaw
from wire.ids import TurnId
from wire.messages import Decision, DecisionKind

WORDS_END_S = 1.4  # of the recording, in which a word ends there
SPEAK = DecisionKind.SPEAK


def asked(profile: PlayoutProfile = PROFILE, late_s: float = 0.0) -> Driven:
    """A call of five chunks, 2 s. The fourth, in which the caller's words end at 1.4 s, comes ``late_s`` late."""
    driven = Driven(profile)
    words = jfk_ulaw()[: round(WORDS_END_S * 8_000)] + SILENCE * 5 * CHUNK
    for n in range(5):
        driven.media(words[n * CHUNK : (n + 1) * CHUNK], 0.4 * (n + 1) + (late_s if n == 3 else 0.0))
    return driven


def decides(driven: Driven, now: float, turn: int = 1, index: int = 4, age_s: float = 0.05) -> None:
    """The worker speaks after a chunk: 10 ms of its age in the queue, 20 ms in the engine."""
    message = Decision(CALL, 0, driven.next_seq(), index, SPEAK, TurnId(turn), None, age_s, 0.01, 0.02)
    driven.call.receive(WorkerSaid(message), now)
    driven.drain()


def speaks(driven: Driven, now: float, turn: int = 1, samples: int = 8_000) -> None:
    driven.call.receive(WorkerSaid(speech(driven, turn, 0, samples)), now)
    driven.drain()


def returns_marks(driven: Driven, now: float) -> None:
    """The newest mark comes back."""
    driven.call.receive(MarkPlayed(driven.of(SendMark)[-1].name), now)
    driven.drain()


def traces(driven: Driven) -> list[ReplyTrace]:
    return [note.trace for note in driven.of(NoteReply)]


def sum_s(trace: ReplyTrace) -> float:
    return sum(part_s for _, part_s in trace.parts())


def test_the_parts_of_a_reply_follow_one_another_from_the_last_word_to_the_ear():
    driven = asked(STREAM_LIKE)
    decides(driven, 2.06)
    driven.call.receive(LegMeasured(0.08), 2.06)
    speaks(driven, 2.10)
    assert not traces(driven), "nobody knows yet when the packets leave"
    driven.call.handle_deadline(2.215)
    driven.drain()
    (trace,) = traces(driven)
    assert dict(trace.parts()) == pytest.approx(
        {
            "jitter_buffer": 0.0,
            "endpoint": 0.6,
            "bus_up": 0.02,
            "queue": 0.01,
            "compute": 0.02,
            "bus_down": 0.01,
            "voice": 0.04,
            "playout": 0.0,
            "leg": 0.015 + 0.04,  # ticks are 20 ms apart: one was at 2.115
        }
    )
    assert trace.at_s == pytest.approx(2.155)
    assert trace.total_s == pytest.approx(2.155 - WORDS_END_S)


def test_a_mark_tells_how_far_the_ear_is():
    driven = asked()
    decides(driven, 2.06)
    speaks(driven, 2.10)
    returns_marks(driven, 2.10 + 0.4 + 0.15)  # it stands behind the first 0.4 s
    (trace,) = traces(driven)
    assert trace.leg_s == pytest.approx(0.15)
    assert trace.total_s == pytest.approx(2.10 + 0.15 - WORDS_END_S)
    assert sum_s(trace) == pytest.approx(trace.total_s)


def test_what_came_late_waited_in_the_jitter_buffer():
    driven = asked(late_s=0.12)
    decides(driven, 2.06)
    speaks(driven, 2.10)
    returns_marks(driven, 2.55)
    (trace,) = traces(driven)
    assert (trace.jitter_buffer_s, trace.endpoint_s) == pytest.approx((0.12, 0.48))
    assert trace.total_s == pytest.approx(2.15 - WORDS_END_S)


def test_a_worker_that_counts_more_time_than_has_passed_shows_as_a_difference():
    driven = asked()
    decides(driven, 2.06, age_s=0.11)
    speaks(driven, 2.10)
    returns_marks(driven, 2.55)
    (trace,) = traces(driven)
    assert sum_s(trace) - trace.total_s == pytest.approx(0.05)


def test_a_mark_that_is_late_shows_as_a_difference():
    driven = Driven()
    speaks(driven, 0.1, samples=3_200)
    returns_marks(driven, 0.1 + 0.4 + 0.03)
    words = jfk_ulaw()[: round(WORDS_END_S * 8_000)] + SILENCE * 5 * CHUNK
    for n in range(5):
        driven.media(words[n * CHUNK : (n + 1) * CHUNK], 0.6 + 0.4 * (n + 1))
    decides(driven, 2.66, turn=2)
    speaks(driven, 2.70, turn=2)
    returns_marks(driven, 2.70 + 0.4 + 0.10)
    (trace,) = traces(driven)
    assert trace.leg_s == pytest.approx(0.03)
    assert trace.total_s - sum_s(trace) == pytest.approx(0.07)


def test_a_turn_is_traced_once():
    driven = asked()
    decides(driven, 2.06)
    speaks(driven, 2.10, samples=16_000)
    driven.tick_to(4.0)
    for mark in driven.of(SendMark):
        driven.call.receive(MarkPlayed(mark.name), 4.0)
    driven.call.receive(LegEnded("caller_hung_up"), 4.1)
    driven.drain()
    assert len(traces(driven)) == 1


def test_a_greeting_answers_nobody():
    driven = Driven()
    driven.media(SILENCE * CHUNK, 0.4)
    decides(driven, 0.45, index=0)
    speaks(driven, 0.5)
    returns_marks(driven, 1.0)
    assert driven.of(NoteFirstAudio)
    assert not traces(driven)


def test_a_reminder_after_four_seconds_of_silence_answers_nobody():
    driven = asked()
    driven.chunks(9, start=2.0)
    decides(driven, 5.65, index=13)
    speaks(driven, 5.7)
    returns_marks(driven, 6.2)
    assert not traces(driven)


def test_a_voice_that_is_here_before_its_decision_took_no_time():
    driven = asked()
    speaks(driven, 2.08)
    decides(driven, 2.09)
    returns_marks(driven, 2.53)
    (trace,) = traces(driven)
    assert trace.voice_s == 0.0
    assert sum_s(trace) == pytest.approx(trace.total_s)


def test_a_turn_whose_decision_was_lost_is_not_traced_by_a_later_one():
    driven = asked()
    speaks(driven, 2.08)
    driven.chunks(1, start=2.0)
    decides(driven, 2.45, index=5)
    returns_marks(driven, 2.53)
    assert not traces(driven)


def test_a_late_decision_answers_the_words_before_its_chunk_and_not_those_after():
    driven = asked()
    driven.media(jfk_ulaw()[: 2 * CHUNK], 2.8)
    decides(driven, 2.85)
    speaks(driven, 2.9)
    returns_marks(driven, 3.4)
    (trace,) = traces(driven)
    assert trace.endpoint_s == pytest.approx(0.6)


def test_the_first_decision_of_a_turn_is_the_one_that_answers():
    driven = asked()
    decides(driven, 2.06)
    driven.chunks(1, start=2.0)
    decides(driven, 2.46, index=5)
    speaks(driven, 2.5)
    returns_marks(driven, 3.0)
    (trace,) = traces(driven)
    assert (trace.endpoint_s, trace.voice_s) == pytest.approx((0.6, 0.44))


def test_a_decision_that_names_another_turn_is_not_this_one_s():
    driven = asked()
    speaks(driven, 2.05, turn=2)
    decides(driven, 2.06, turn=1)
    returns_marks(driven, 2.5)
    assert not traces(driven)


def test_a_reply_waits_for_what_the_leg_still_plays():
    driven = asked()
    speaks(driven, 2.01, samples=3_200)
    driven.call.receive(WorkerSaid(done(driven, 1, 3_200)), 2.01)
    driven.drain()
    returns_marks(driven, 2.02)  # 0.39 s before its time
    decides(driven, 2.06, turn=2)
    speaks(driven, 2.2, turn=2)
    assert driven.of(SendAudio)[-1].at_s == pytest.approx(2.41)
    driven.tick_to(2.8)
    sent_samples = int(driven.of(SendMark)[-1].name.rpartition(":")[2])
    returns_marks(driven, 2.41 + sent_samples / 8_000)
    (trace,) = traces(driven)
    assert (trace.leg_s, trace.at_s) == pytest.approx((0.21, 2.41))


@pytest.mark.parametrize("spoken", [False, True], ids=["silent", "not yet heard"])
def test_a_reply_nobody_heard_is_none(spoken: bool):
    driven = asked()
    decides(driven, 2.06)
    if spoken:
        speaks(driven, 2.1)
    driven.call.receive(LegEnded("caller_hung_up"), 2.1)
    driven.drain()
    assert not traces(driven)


@pytest.mark.parametrize("profile", [PROFILE, STREAM_LIKE], ids=["marks", "no marks"])
def test_a_reply_that_is_cut_while_it_is_heard_is_traced(profile: PlayoutProfile):
    driven = asked(profile)
    decides(driven, 2.06)
    speaks(driven, 2.10)
    driven.call.receive(LegEnded("caller_hung_up"), 2.15)
    driven.drain()
    (trace,) = traces(driven)
    assert trace.total_s == pytest.approx(2.10 - WORDS_END_S)
