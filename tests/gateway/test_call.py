"""One call, whole: what goes up, what the caller hears, what the caller is known to have heard."""

import pytest

from gateway.call import CallLimits
from gateway.effects import (
    ClearAudio,
    EndLeg,
    NoteDecision,
    NoteDropped,
    NoteDucked,
    NoteEnded,
    NoteFirstAudio,
    NoteOverlap,
    NoteTurnEnded,
    OverlapEnd,
    SendAudio,
    SendKeys,
    SendMark,
    TurnEnd,
)
from gateway.events import GatewayStopping, KeyPressed, LegEnded, MarkPlayed, Moved, WorkerSaid
from gateway.turn.floor import FloorAction
from gateway.turn.overlap import OverlapWatch
from tests.gateway.calls import (
    CALL,
    CHUNK,
    FRAME,
    RTP_LIKE,
    SILENCE,
    Driven,
    audio_sent,
    decision,
    done,
    last_chunk,
    speech,
)
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.bus.seam import Lease
from wire.ids import TurnId, WorkerId
from wire.messages import (
    AudioChunk,
    CallClosed,
    CallFailed,
    CallOpened,
    DecisionKind,
    Dtmf,
    OverlapRules,
    Playback,
    ToolCall,
    TurnCancelled,
)

SPEAK = DecisionKind.SPEAK


def speaking(samples: int = 40_000, now: float = 0.4) -> Driven:
    """A call in which turn 1 has just begun, with ``samples`` generated."""
    driven = Driven()
    driven.media(SILENCE * CHUNK, now)
    driven.call.receive(WorkerSaid(decision(driven, 0, SPEAK, turn=1)), now)
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, samples, "hello")), now)
    driven.drain()
    return driven


def barge_in(driven: Driven, start: float) -> tuple[float, float]:
    """The caller speaks from ``start`` on, 20 ms frames; returns when the voice stopped and when the turn ended."""
    audio = jfk_ulaw()[8_000:]
    cleared_at = start
    for n in range(150):
        now = start + (n + 1) * 0.02
        driven.tick_to(now)
        fresh = driven.media(audio[n * FRAME : (n + 1) * FRAME], now)
        if any(isinstance(effect, ClearAudio) for effect in fresh):
            cleared_at = now
        if any(isinstance(effect, NoteTurnEnded) for effect in fresh):
            return cleared_at, now
    raise AssertionError("three seconds of speech went unnoticed")


def test_the_worker_is_told_of_the_call_before_any_audio():
    driven = Driven()
    driven.chunks(1)
    opened, chunk = driven.up(CallOpened), driven.up(AudioChunk)
    assert (opened[0].seq, chunk[0].seq) == (0, 1)
    assert opened[0].codec is Codec.PCMU


def test_every_chunk_goes_up_once_and_in_order():
    driven = Driven()
    for n in range(200):  # 4 s in packets
        driven.media(SILENCE * FRAME, n * 0.02)
    chunks = driven.up(AudioChunk)
    assert [chunk.index for chunk in chunks] == list(range(10))
    assert [chunk.start_samples for chunk in chunks] == [3_200 * n for n in range(10)]
    assert [chunk.seq for chunk in chunks] == list(range(1, 11))


def test_a_decision_to_speak_becomes_audio_at_once():
    driven = speaking()
    assert len(audio_sent(driven.effects)) == 3_200  # 0.4 s ahead of the ear
    first = driven.of(NoteFirstAudio)
    assert [(note.turn, note.latency_s) for note in first] == [(1, 0.0)]


def test_each_chunk_tells_the_worker_what_was_heard():
    driven = speaking()
    driven.tick_to(0.8)
    driven.media(SILENCE * CHUNK, 0.8)
    playback = last_chunk(driven).playback
    assert playback == Playback(TurnId(1), 40_000, playback.sent, 3_200)  # type: ignore[union-attr]
    assert playback.sent >= 6_000


def test_barge_in_lowers_the_voice_then_stops_it_and_tells_the_worker_what_was_heard():
    driven = speaking()
    stopped_at, ended_at = barge_in(driven, 1.0)
    (ducked,) = driven.of(NoteDucked)
    assert ducked.at_s - 1.0 <= 0.1
    cancelled = driven.up(TurnCancelled)
    assert [(c.turn, c.cause) for c in cancelled] == [(1, "barged_in")]
    assert cancelled[0].heard_samples == pytest.approx((stopped_at - 0.4) * 8_000, abs=1)
    assert stopped_at - 1.0 <= 0.6 + 0.2  # pauses between words do not count
    assert ended_at - 1.0 <= 0.8 + 0.3
    (note,) = driven.of(NoteTurnEnded)
    assert (note.end, note.text_heard) == (TurnEnd.BARGED_IN, "hello")
    assert note.onset_at_s is not None
    assert note.stop_s == pytest.approx(stopped_at - note.onset_at_s)
    (overlap,) = driven.of(NoteOverlap)
    assert overlap.end is OverlapEnd.YIELDED
    assert overlap.stopped_at_s == pytest.approx(stopped_at)


def test_not_one_frame_of_the_old_turn_follows_the_clear():
    driven = speaking()
    _, now = barge_in(driven, 1.0)
    last_clear = max(n for n, effect in enumerate(driven.effects) if isinstance(effect, ClearAudio))
    assert audio_sent(driven.effects[last_clear:]) == b""
    driven.effects.clear()
    driven.call.receive(WorkerSaid(speech(driven, 1, 40_000, 8_000)), now + 0.01)
    driven.call.receive(WorkerSaid(done(driven, 1, 48_000)), now + 0.02)
    driven.tick_to(now + 1)
    driven.drain()
    assert audio_sent(driven.effects) == b""
    assert [note.reason for note in driven.of(NoteDropped)] == ["old_turn", "old_turn"]


def test_marks_that_come_back_after_a_clear_were_not_played():
    driven = speaking()
    barge_in(driven, 1.0)
    (cancelled,) = driven.up(TurnCancelled)
    for mark in driven.of(SendMark):
        driven.call.receive(MarkPlayed(mark.name), 1.5)
    driven.media(SILENCE * CHUNK, 1.6)
    playback = last_chunk(driven).playback
    assert playback is not None
    assert playback.played == cancelled.heard_samples


def test_the_next_turn_after_a_barge_in_is_heard():
    driven = speaking()
    _, now = barge_in(driven, 1.0)
    driven.effects.clear()
    driven.call.receive(WorkerSaid(speech(driven, 2, 0, 8_000, byte=b"\x22")), now + 0.4)
    driven.drain()
    assert set(audio_sent(driven.effects)) == {0x22}


def test_line_noise_and_silence_do_not_take_the_floor():
    driven = speaking(160_000)
    for n in range(250):
        now = 0.4 + n * 0.02
        driven.tick_to(now)
        hiss = bytes(0xFF - (n * 7 + k) % 3 if k % 2 else 0x7F - (n + k) % 3 for k in range(FRAME))
        driven.media(hiss, now)
    assert not driven.of(NoteDucked)


def test_a_click_lowers_the_voice_at_most_and_nothing_of_it_is_lost():
    driven = speaking(160_000)
    for n in range(100):
        now = 0.4 + n * 0.02
        driven.tick_to(now)
        driven.media(jfk_ulaw()[8_000 : 8_000 + FRAME] if n % 25 in (0, 1, 2) else SILENCE * FRAME, now)
    assert {note.end for note in driven.of(NoteOverlap)} <= {OverlapEnd.KEPT}
    assert not driven.up(TurnCancelled)
    playback = last_chunk(driven).playback
    assert playback is not None
    assert playback.played == pytest.approx((now - 0.4) * 8_000, abs=3_200)


def test_speech_while_nothing_is_audible_is_no_barge_in():
    driven = Driven()
    audio = jfk_ulaw()
    for n in range(300):
        driven.media(audio[n * FRAME : (n + 1) * FRAME], n * 0.02)
    assert not driven.of(NoteDucked)
    assert len(driven.up(AudioChunk)) == 15


def test_an_overlap_is_the_same_however_its_frames_are_delivered():
    audio = jfk_ulaw()

    def actions(step: int) -> list[tuple[FloorAction, float]]:
        watch = OverlapWatch(Codec.PCMU, OverlapRules())
        seen = []
        for at in range(0, len(audio), step):
            piece = audio[at : at + step]
            for action in watch.push(piece, (at + len(piece)) / 8_000):
                seen.append((action, round(watch.onset_s, 6)))
                if action is FloorAction.GIVE:
                    watch.reset()
        return seen

    one = actions(FRAME)
    assert FloorAction.GIVE in [action for action, _ in one]
    assert actions(3 * FRAME) == one


def test_a_turn_is_over_when_its_last_mark_returns():
    driven = speaking(4_000)
    driven.call.receive(WorkerSaid(done(driven, 1, 4_000)), 0.4)
    driven.drain()
    driven.tick_to(0.85)
    driven.call.receive(MarkPlayed(driven.of(SendMark)[-1].name), 0.95)
    driven.drain()
    (note,) = driven.of(NoteTurnEnded)
    assert (note.end, note.ledger.played, note.text_unheard) == (TurnEnd.PLAYED, 4_000, "")


def test_a_peer_that_never_returns_marks_does_not_hold_the_floor_for_ever():
    driven = speaking(4_000)
    driven.call.receive(WorkerSaid(done(driven, 1, 4_000)), 0.4)
    driven.tick_to(2.0)
    assert not driven.of(NoteTurnEnded)
    driven.tick_to(4.0)
    assert [note.end for note in driven.of(NoteTurnEnded)] == [TurnEnd.PLAYED]


def test_a_leg_without_marks_is_timed_by_its_clock():
    driven = Driven(RTP_LIKE)
    driven.media(SILENCE * CHUNK, 0.4)
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, 1_600)), 0.4)
    driven.call.receive(WorkerSaid(done(driven, 1, 1_600)), 0.4)
    driven.drain()
    driven.tick_to(1.0)
    assert [len(effect.payload) for effect in driven.of(SendAudio)] == [160] * 10
    assert not driven.of(SendMark)
    assert driven.of(NoteTurnEnded)[0].at_s == pytest.approx(0.6, abs=0.021)


def test_marks_that_come_late_show_how_far_behind_the_ear_is():
    driven = speaking(80_000)
    behind_s = 0.5
    for tick in range(21, 201):
        now = tick / 50
        driven.tick_to(now)
        for mark in driven.of(SendMark):
            due = 0.4 + int(mark.name.split(":")[2]) / 8_000 + behind_s
            if due <= now < due + 0.02:
                driven.call.receive(MarkPlayed(mark.name), now)
                driven.drain()
        if tick % 20 == 0:
            driven.media(SILENCE * CHUNK, now)
    playback = last_chunk(driven).playback
    assert playback is not None
    assert playback.played == pytest.approx((4.0 - 0.4 - behind_s) * 8_000, abs=200)


def test_only_its_last_mark_ends_a_turn():
    driven = speaking(10_400)
    driven.call.receive(WorkerSaid(done(driven, 1, 10_400)), 0.4)
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, driven.next_seq(), "hangup", {}, TurnId(1))), 0.4)
    driven.drain()
    driven.tick_to(1.75)
    driven.media(SILENCE * CHUNK, 1.75)  # by the clock all of it was played
    marks = [mark.name for mark in driven.of(SendMark)]
    for name in marks[:-1]:
        driven.call.receive(MarkPlayed(name), 1.8)
        assert driven.drain() == []
    driven.call.receive(MarkPlayed(marks[-1]), 2.2)
    driven.drain()
    assert driven.of(NoteEnded)[0].reason == "agent_hangup"


@pytest.mark.parametrize("start_samples", [2**31, 8_000 * 200])
def test_speech_far_from_its_place_is_dropped_and_costs_no_memory(start_samples: int):
    driven = speaking()
    driven.call.receive(WorkerSaid(speech(driven, 1, start_samples, 800)), 0.5)
    driven.drain()
    assert [note.reason for note in driven.of(NoteDropped)] == ["bad_position"]


def test_a_tail_of_a_turn_that_never_came_is_counted():
    driven = speaking(4_000)
    driven.call.receive(WorkerSaid(done(driven, 1, 7_200)), 0.4)
    assert driven.call.stats()["lost_speech_samples"] == 3_200


def test_keys_of_the_agent_are_pressed_at_once_and_the_call_goes_on():
    driven = Driven()
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, 0, "send_keys", {"keys": "12#"})), 0.1)
    driven.drain()
    assert [effect.keys for effect in driven.of(SendKeys)] == ["12#"]
    assert not driven.call.ended


@pytest.mark.parametrize(("name", "arguments"), [("lookup_order", {}), ("transfer", {}), ("", {"to": "+1"})])
def test_an_action_that_cannot_be_done_does_not_end_the_call(name: str, arguments: dict[str, str]):
    driven = Driven()
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, 0, name, arguments)), 0.1)
    driven.drain()
    assert not driven.of(EndLeg)
    assert [note.reason for note in driven.of(NoteDropped)] == ["unknown_action"]


def test_a_newer_turn_takes_the_floor():
    driven = speaking()
    driven.effects.clear()
    driven.call.receive(WorkerSaid(decision(driven, 99, SPEAK, turn=2)), 0.7)
    driven.call.receive(WorkerSaid(speech(driven, 2, 0, 4_000, byte=b"\x33")), 0.7)
    driven.drain()
    kinds = [type(effect) for effect in driven.effects if isinstance(effect, ClearAudio | SendAudio)]
    assert kinds[:2] == [ClearAudio, SendAudio]
    assert set(audio_sent(driven.effects)) == {0x33}
    assert [c.cause for c in driven.up(TurnCancelled)] == ["superseded"]


def test_hanging_up_waits_until_the_goodbye_was_heard():
    driven = speaking(4_000)
    driven.call.receive(WorkerSaid(done(driven, 1, 4_000)), 0.4)
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, driven.next_seq(), "hangup", {}, TurnId(1))), 0.4)
    driven.drain()
    driven.tick_to(0.85)
    assert not driven.of(EndLeg)
    driven.call.receive(MarkPlayed("1:0:4000"), 0.95)
    driven.drain()
    assert [effect.action for effect in driven.of(EndLeg)] == ["hangup"]
    assert driven.of(NoteEnded)[0].reason == "agent_hangup"
    assert driven.up(CallClosed)[0].reason == "agent_hangup"


def test_a_barge_in_takes_back_what_the_turn_wanted_done():
    driven = speaking()
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, driven.next_seq(), "transfer", {"to": "+1"}, TurnId(1))), 0.4)
    _, now = barge_in(driven, 1.0)
    driven.call.receive(WorkerSaid(ToolCall(CALL, 0, driven.next_seq(), "transfer", {"to": "+1"}, TurnId(1))), now)
    driven.tick_to(now + 4)
    assert not driven.of(EndLeg)


def test_a_key_goes_up_with_its_place_in_the_call():
    driven = Driven()
    driven.media(SILENCE * 1_000, 0.2)
    driven.call.receive(KeyPressed("5"), 0.2)
    driven.drain()
    assert [(key.digit, key.at_samples) for key in driven.up(Dtmf)] == [("5", 1_000)]


def test_a_worker_that_lost_the_call_cannot_speak_into_it():
    driven = Driven()
    driven.call.receive(Moved(Lease(CALL, WorkerId("w2"), "scripted", 400, 400)), 0.1)
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, 4_000)), 0.1)
    driven.drain()
    assert not driven.of(SendAudio)
    assert [note.reason for note in driven.of(NoteDropped)] == ["epoch"]


def test_every_chunk_is_decided_once_and_gaps_are_counted():
    driven = Driven()
    driven.chunks(4)
    for index in (0, 2, 2, 3, 9):
        driven.call.receive(WorkerSaid(decision(driven, index)), 1.7)
    driven.drain()
    assert [note.decision.index for note in driven.of(NoteDecision)] == [0, 2, 3]
    assert [note.reason for note in driven.of(NoteDropped)] == ["unexpected_decision"] * 2
    assert driven.call.stats()["missing_decisions"] == 1


def test_a_dead_leg_is_noticed_within_five_seconds():
    driven = Driven()
    now = driven.chunks(3)
    driven.tick_to(now + 4.9)
    assert [effect.action for effect in driven.of(EndLeg)] == ["dead"]
    assert driven.of(NoteEnded)[0].reason == "media_timeout"


def test_a_caller_is_not_left_in_silence_when_the_worker_is_gone():
    driven = Driven()
    now = driven.chunks(3)
    driven.call.receive(WorkerSaid(decision(driven, 0)), now)
    while not driven.call.ended and now < 20:
        now = driven.chunks(1, now)
        driven.tick_to(now)
    assert now == pytest.approx(0.8 + 0.8 + 10.0, abs=0.4)
    assert [effect.action for effect in driven.of(EndLeg)] == ["failed"]
    assert driven.of(NoteEnded)[0].reason == "worker_lost"


def test_a_call_that_never_ends_is_ended():
    driven = Driven(limits=CallLimits(max_duration_s=10.0, patience_s=100.0))
    now = 0.0
    while not driven.call.ended and now < 20:
        now = driven.chunks(1, now)
        driven.tick_to(now)
    assert driven.of(NoteEnded)[0].reason == "max_duration"


@pytest.mark.parametrize(
    ("event", "reason", "action"),
    [
        (LegEnded("caller_hung_up"), "caller_hung_up", []),
        (GatewayStopping(), "gateway_stopping", ["hangup"]),
        (WorkerSaid(CallFailed(CALL, 0, 0, "unknown_agent")), "worker_failed", ["failed"]),
    ],
)
def test_an_ended_call_says_so_once_and_then_is_quiet(event, reason, action):
    driven = speaking()
    driven.call.receive(event, 1.0)
    driven.drain()
    assert [note.reason for note in driven.of(NoteEnded)] == [reason]
    assert [effect.action for effect in driven.of(EndLeg)] == action
    assert len(driven.up(CallClosed)) == 1
    driven.effects.clear()
    driven.call.receive(LegEnded("again"), 2.0)
    driven.call.receive_media(SILENCE * CHUNK, 2.0)
    driven.call.handle_deadline(3_600.0)
    assert driven.call.next_deadline() is None
    assert driven.drain() == []


@pytest.mark.parametrize("name", ["", ":", "1", "x:y", "1:-5", "²:0:3", "1:1", "1:1:1:1", "9" * 5_000 + ":0:1"])
def test_a_mark_that_is_not_ours_is_counted(name: str):
    driven = speaking()
    driven.call.receive(MarkPlayed(name), 0.5)
    driven.drain()
    assert [note.reason for note in driven.of(NoteDropped)] == ["foreign_mark"]
