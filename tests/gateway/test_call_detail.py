"""The record of a call: each figure of a small call that one can count by hand."""

import dataclasses
import random

import msgspec
import pytest

from gateway.effects import EndLeg, NoteEnded, NoteFirstAudio, NoteMoved, NoteReply, NoteTurnEnded, SendAudio, TurnEnd
from gateway.runner.call_detail import CallDetail, CallDetailBuilder
from gateway.seams import LegQuality
from tests.gateway.records import LOUD, TRACE, chunk, decided, record, small_call
from wire.ids import TurnId, WorkerId
from wire.messages import Playback

QUIET = b"\xff"
GOOD = LegQuality(received=198, lost=2, jitter_s=0.004, buffer_s=0.03, round_trip_s=0.05, mos=4.234)
STATS = {"underruns": 2.0, "underrun_s": 0.3, "missing_decisions": 1.0}


def finish(builder: CallDetailBuilder, quality: LegQuality | None = None) -> CallDetail:
    return builder.finish(quality, STATS, ended_unix_s=1_003.0)


def of_small_call() -> CallDetail:
    it = record()
    builder = CallDetailBuilder(it)
    for effect in [*small_call(), EndLeg("transfer", {"to": "+15550123"}), NoteEnded("agent_transfer", 2.5)]:
        builder.observe(effect)
    it.state, it.outcome = "ended", "agent_transfer"
    return builder.finish(GOOD, STATS, ended_unix_s=1_002.5, recorded=True)


def test_a_small_call_is_counted_right():
    detail = of_small_call()
    assert detail.talk_s == pytest.approx(0.6)  # heard of its turn
    assert detail.listen_s == pytest.approx(1.2)  # three chunks at full scale, the noise not learned yet
    assert detail.engine_s == pytest.approx(0.008)
    assert detail == CallDetail(
        call="CA1",
        door="sip",
        direction="inbound",
        caller="+15550100",
        callee="+15550199",
        agent="front-desk",
        engine="rule",
        workers=("w1",),
        codec="PCMU",
        outcome="agent_transfer",
        answered_by=None,
        started_unix_s=1_000.0,
        answered_unix_s=1_000.0,
        ended_unix_s=1_002.5,
        duration_s=2.5,
        talk_s=detail.talk_s,
        listen_s=detail.listen_s,
        overlap_s=0.0,  # the turn is audible from 1.4 s on, the chunks end at 1.2 s
        turns=1,
        interruptions=1,
        barge_in_stops_s=(0.2,),
        replies=1,
        response_p50_s=0.71,
        response_p95_s=0.71,
        first_audio_p50_s=0.2,
        first_audio_p95_s=0.2,
        decisions=2,
        decision_p50_s=0.01,
        decision_p95_s=0.5,
        missing=1,
        late=1,
        engine_s=detail.engine_s,
        underruns=2,
        underrun_s=0.3,
        transfers=1,
        mos=4.23,
        loss=0.01,
        jitter_s=0.004,
        round_trip_s=0.05,
        recorded=True,
    )


def test_a_record_is_one_json_object():
    line = msgspec.json.encode(of_small_call().as_json())
    read = msgspec.json.decode(line)
    assert set(read) == {field.name for field in dataclasses.fields(CallDetail)}
    assert read["workers"] == ["w1"]
    assert read["talk_s"] == 0.6


def test_overlap_is_where_both_are_heard():
    builder = CallDetailBuilder(record())
    for index in range(10):  # the caller speaks from 1.2 s to 2.0 s
        builder.observe(chunk(index, LOUD if index in (3, 4) else QUIET))
        builder.observe(decided(index))
        if index == 1:
            builder.observe(SendAudio(LOUD * 3_200, at_s=1.0))
            builder.observe(SendAudio(LOUD * 3_200, at_s=1.4))
    builder.observe(NoteTurnEnded(Playback(TurnId(1), 6_400, 6_400, 6_400), TurnEnd.PLAYED, "", "", 1.8))
    detail = finish(builder)
    assert detail.talk_s == pytest.approx(0.8)
    assert detail.listen_s == pytest.approx(0.8)
    assert detail.overlap_s == pytest.approx(0.6)  # from 1.2 s to 1.8 s


def test_what_a_barge_in_took_back_overlaps_with_nothing():
    builder = CallDetailBuilder(record())
    for index in range(6):
        if index == 2:
            builder.observe(SendAudio(LOUD * 800, at_s=0.8))
            builder.observe(SendAudio(LOUD * 8_000, at_s=0.9))
            builder.observe(NoteTurnEnded(Playback(TurnId(1), 8_800, 8_800, 480), TurnEnd.BARGED_IN, "", "", 0.86))
        builder.observe(chunk(index, LOUD if index == 2 else QUIET))
        builder.observe(decided(index))
    detail = finish(builder)
    assert detail.talk_s == pytest.approx(0.06)
    assert detail.overlap_s == pytest.approx(0.06)


def test_the_callers_lead_is_taken_into_account():
    builder = CallDetailBuilder(record())
    for index in range(5):  # what came as chunk n was complete half a second later than its media time
        note = decided(index)
        builder.observe(chunk(index, LOUD if index == 3 else QUIET))
        builder.observe(dataclasses.replace(note, at_s=note.at_s + 0.5))
        if index == 1:
            builder.observe(SendAudio(LOUD * 3_200, at_s=1.7))  # the caller's 1.2 s
    assert finish(builder).overlap_s == pytest.approx(0.4)


def test_percentiles_are_of_all_replies():
    builder = CallDetailBuilder(record())
    latencies = [n / 100 for n in range(1, 101)]
    random.Random(5).shuffle(latencies)
    for latency_s in latencies:
        builder.observe(NoteFirstAudio(TurnId(1), latency_s, 1.0))
        builder.observe(NoteReply(dataclasses.replace(TRACE, total_s=2 * latency_s)))
    detail = finish(builder)
    assert (detail.first_audio_p50_s, detail.first_audio_p95_s) == (0.5, 0.95)
    assert (detail.response_p50_s, detail.response_p95_s) == (1.0, 1.9)
    assert detail.replies == 100


def test_what_nobody_measured_is_none():
    detail = finish(CallDetailBuilder(record()))
    assert (detail.mos, detail.loss, detail.jitter_s, detail.round_trip_s) == (None, None, None, None)
    assert (detail.response_p50_s, detail.first_audio_p95_s, detail.decision_p50_s) == (None, None, None)
    before_the_first_packet = LegQuality(0, 0, 0.0, 0.02, None, None)
    assert finish(CallDetailBuilder(record()), before_the_first_packet).mos is None


def test_a_call_that_nobody_answered_has_no_time_of_answer():
    it = record()
    it.state, it.outcome, it.direction = "ended", "no_answer", "outbound"
    detail = finish(CallDetailBuilder(it))
    assert detail.answered_unix_s is None
    assert (detail.outcome, detail.direction, detail.duration_s) == ("no_answer", "outbound", 3.0)


def test_a_call_that_a_fault_ended_lasted_until_then():
    builder = CallDetailBuilder(record())
    builder.observe(chunk(0))
    assert finish(builder).duration_s == 3.0


def test_a_call_that_changed_its_workers_names_them_in_order():
    it = record()
    builder = CallDetailBuilder(it)
    it.note(NoteMoved(WorkerId("w2"), "silent", sought_s=0.01, at_s=2.0))
    it.note(NoteMoved(WorkerId("w1"), "draining", sought_s=0.02, at_s=4.0))
    assert finish(builder).workers == ("w1", "w2", "w1")
