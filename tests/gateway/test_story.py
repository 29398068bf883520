"""A call told as events: whole, piece by piece, and the same both ways."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from gateway.effects import (
    NoteDecision,
    NoteFirstAudio,
    NoteSound,
    NoteTranslation,
    NoteTurnEnded,
    NoteTurnOpened,
    SendAudio,
    TurnEnd,
)
from gateway.runner.record import MAX_ENTRIES, CallRecord
from gateway.runner.story import event_of, events_of, iter_events, quality_event, summary_of
from gateway.seams import LegQuality
from tests.gateway.calls import CALL
from tests.gateway.records import LOUD, TURN, barged_in, chunk, decided, record, said, small_call, told
from wire.ids import TurnId
from wire.messages import Playback, SoundEvent, Translation, Voice

LINE = LegQuality(received=950, lost=50, jitter_s=0.012, buffer_s=0.06, round_trip_s=None, mos=3.87654)


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def when(event: dict[str, Any]) -> float:
    return float(event["start_s"] if event["event"] == "levels" else event["at_s"])


def test_a_call_is_told_in_the_order_of_time():
    events = events_of(told(*small_call()))
    assert {event["event"] for event in events} == {
        "decision",
        "missing",
        "levels",
        "words",
        "turn",
        "reply",
        "muted",
        "key",
    }
    assert all(when(one) <= when(next_one) for one, next_one in pairwise(events))
    assert {event["call"] for event in events} == {"CA1"}


def test_every_event_is_plain_json_without_nan():
    it = told(*small_call())
    it.note_quality(5.0, LINE)
    for event in events_of(it):
        assert json.loads(json.dumps(event, allow_nan=False)) == msgspec.json.decode(msgspec.json.encode(event))


def test_what_is_told_live_is_what_is_told_later():
    it = record()
    live: list[dict[str, Any]] = []
    for effect in small_call():
        it.note(effect)
        live += event_of(it, effect)
    later = [event for event in events_of(it) if event["event"] != "levels"]
    assert sorted(map(json.dumps, later)) == sorted(
        json.dumps(event) for event in live if event.get("final") is not False
    )


def test_a_decision_tells_its_age_its_worker_and_whether_it_was_late():
    first, late = of(events_of(told(*small_call())), "decision")
    assert first == {
        "event": "decision",
        "call": "CA1",
        "index": 0,
        "kind": "listen",
        "turn": 0,
        "epoch": 0,
        "p_speak": 0.25,
        "age_s": 0.01,
        "worker_age_s": 0.0,
        "queue_s": 0.001,
        "step_s": 0.004,
        "at_s": 0.41,
        "worker": "w1",
        "late": False,
    }
    assert (late["index"], late["late"]) == (2, True)


def test_a_barge_in_tells_onset_stop_and_what_was_heard():
    events = events_of(told(*small_call()))
    opened, audible, ended = of(events, "turn")
    assert (opened["state"], opened["at_s"]) == ("open", 1.0)
    assert (audible["state"], audible["at_s"]) == ("audible", 1.02)
    assert (ended["state"], ended["end"], ended["at_s"]) == ("ended", "barged_in", 2.0)
    assert (ended["generated_s"], ended["sent_s"], ended["heard_s"]) == (1.2, 0.8, 0.6)
    assert (ended["onset_at_s"], ended["stop_s"]) == (1.8, 0.2)
    _, words = of(events, "words")
    assert (words["heard"], words["cut"], words["final"], words["at_s"]) == ("We are", "open.", True, 1.02)


def test_the_words_of_an_open_turn_are_told_before_they_are_heard():
    it = told(*small_call()[:7])
    (words,) = [event for event in of(events_of(it), "words") if event["voice"] == "agent"]
    assert (words["text"], words["heard"], words["final"], words["turn"]) == ("We are open.", None, False, 1)
    (opened,) = of(events_of(it), "turn")
    assert opened["state"] == "open"


def test_words_of_a_turn_that_is_over_are_not_told_as_to_come():
    it = told(NoteTurnOpened(TURN, 1.0), barged_in())
    late = said(Voice.AGENT, "We are open.", 2.1)
    it.note(late)
    assert event_of(it, late) == []
    assert [event["final"] for event in of(events_of(it), "words")] == [True]


def test_the_parts_of_a_reply_keep_their_order():
    (reply,) = of(events_of(told(*small_call())), "reply")
    names = ["jitter_buffer", "endpoint", "bus_up", "queue", "compute", "bus_down", "voice", "playout", "leg"]
    assert [name for name, _ in reply["parts"]] == names
    assert (reply["at_s"], reply["total_s"], reply["turn"]) == (1.05, 0.71, 1)


def test_the_levels_lie_where_the_caller_heard_them_and_end_where_he_cut_them_off():
    caller, agent = sorted(of(events_of(told(*small_call())), "levels"), key=lambda event: event["voice"] == "agent")
    assert (caller["start_s"], caller["step_s"], caller["levels"]) == (0.0, 0.05, [100] * 24)
    # 0.8 s were sent from 1.4 s on, 0.6 s of it were heard
    assert agent["levels"] == [0] * 28 + [100] * 12 + [0] * 4


def test_the_callers_levels_follow_a_line_that_stood_still():
    it = record()
    for index in range(100):
        it.note(chunk(index, byte=b"\xff"))
        it.note(decided(index))
    held_s = 60.0  # the caller was put on hold: his samples count on where they were
    for index in range(100, 110):
        it.note(chunk(index, byte=LOUD if index == 109 else b"\xff"))
        note = decided(index)
        it.note(NoteDecision(note.decision, note.latency_s, note.at_s + held_s))
    loud = [
        event["start_s"] + event["step_s"] * step
        for event in of(events_of(it), "levels")
        for step, level in enumerate(event["levels"])
        if level == 100
    ]
    assert abs(min(loud) - (109 * 0.4 + held_s)) <= 0.05
    assert len(loud) <= 9


def test_speech_that_was_heard_to_its_end_is_not_cut():
    played = NoteTurnEnded(Playback(TURN, 800, 800, 800), TurnEnd.PLAYED, "Yes.", "", 1.2)
    it = told(NoteTurnOpened(TURN, 1.0), SendAudio(LOUD * 800, at_s=1.0), played)
    (levels,) = of(events_of(it), "levels")
    assert levels["levels"] == [0] * 20 + [100] * 2


def test_the_end_comes_last_whatever_the_clocks_say():
    it = told(*small_call())
    it.state, it.outcome, it.duration_s = "ended", "caller_hung_up", 1.9
    last = events_of(it)[-1]
    assert (last["event"], last["outcome"], last["at_s"]) == ("ended", "caller_hung_up", 2.1)


def test_a_call_that_broke_has_an_end_too():
    it = told(chunk(0), decided(0))
    it.state, it.outcome = "ended", "fault"
    assert events_of(it)[-1] == {"event": "ended", "call": "CA1", "at_s": 0.41, "outcome": "fault"}


def test_a_story_that_is_being_told_is_not_disturbed_by_what_happens():
    it = told(*small_call())
    story = iter_events(it)
    expected = len(events_of(it))
    got = [next(story)]
    for effect in small_call():
        it.note(effect)
    it.note_quality(5.0, LINE)
    assert len(got + list(story)) == expected


def test_loss_is_told_as_a_share_and_figures_without_noise():
    event = quality_event(record(), 5.00004, LINE)
    assert (event["loss"], event["mos"], event["jitter_s"], event["round_trip_s"]) == (0.05, 3.88, 0.012, None)


def test_the_summary_says_how_a_call_goes():
    it = told(*small_call())
    it.note_quality(5.0, LINE)
    summary = summary_of(it, now_unix_s=1_010.0)
    assert summary == {
        "call": "CA1",
        "door": "sip",
        "direction": "inbound",
        "state": "live",
        "caller": "+15550100",
        "agent": "front-desk",
        "engine": "rule",
        "worker": "w1",
        "started_unix_s": 1_000.0,
        "age_s": 10.0,
        "duration_s": None,
        "outcome": None,
        "turn_state": "listening",
        "muted": True,
        "mos": 3.88,
        "p95_first_audio_s": 0.2,
        "interruptions": 1,
        "recorded": False,
    }


def test_the_agent_speaks_from_his_first_sample_to_the_end_of_the_turn():
    it = told(NoteTurnOpened(TURN, 1.0))
    assert summary_of(it, 0.0)["turn_state"] == "listening"
    it.note(NoteFirstAudio(TURN, 0.2, 1.1))
    assert summary_of(it, 0.0)["turn_state"] == "speaking"
    it.note(barged_in())
    assert summary_of(it, 0.0)["turn_state"] == "listening"


def test_a_call_that_is_over_grows_no_older():
    it = told(chunk(0))
    it.state, it.duration_s = "ended", 12.5
    assert summary_of(it, now_unix_s=99_999.0)["age_s"] == 12.5


@pytest.mark.parametrize(("latencies_ms", "p95_ms"), [([300], 300), (range(1, 101), 95), ([100] * 19 + [900], 100)])
def test_the_latency_of_a_call_is_what_19_of_20_replies_kept(latencies_ms: list[int], p95_ms: int):
    it = told(*(NoteFirstAudio(TURN, ms / 1_000, 1.0) for ms in latencies_ms))
    assert it.p95_first_audio_s == p95_ms / 1_000


def test_everything_that_is_kept_of_an_endless_call_is_bounded():
    it: CallRecord = record()
    for number in range(1, MAX_ENTRIES + 100):
        it.note(NoteTurnOpened(TurnId(number), float(number)))
        for effect in small_call():
            it.note(effect)
        it.note_quality(float(number), LINE)
    for kept in (it.turns, it.words, it.replies, it.missing, it.mutes, it.keys, it.qualities):
        assert len(kept) == MAX_ENTRIES


def test_translations_and_sounds_are_told_live_and_later_and_kept():
    it = record()
    effects = (
        NoteTranslation(Translation(CALL, 0, 0, "Guten Tag", "de"), 1.5),
        NoteSound(SoundEvent(CALL, 0, 1, "smoke alarm", 0.9), 2.0),
    )
    live: list[dict[str, Any]] = []
    for effect in effects:
        it.note(effect)
        live += event_of(it, effect)
    assert live == events_of(it)
    assert live == [
        {"event": "translation", "call": "CA1", "at_s": 1.5, "text": "Guten Tag", "language": "de"},
        {"event": "sound", "call": "CA1", "at_s": 2.0, "name": "smoke alarm", "probability": 0.9},
    ]
    detail = it.as_json()
    assert detail["translations"] == [{"at_s": 1.5, "text": "Guten Tag", "language": "de"}]
    assert detail["sounds"] == [{"at_s": 2.0, "name": "smoke alarm", "probability": 0.9}]
