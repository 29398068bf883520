"""Whole calls in simulated time: a scripted agent at the other end of the stream."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from twowire.caller.messages import StreamIds
from twowire.caller.script import ANSWER_PATIENCE_S, GREETING_PATIENCE_S, Plan, Press, Say
from twowire.caller.stream import TwilioCaller
from twowire.caller.twilio_conversation import TwilioConversation

TONE = b"\x10" * 8  # 1 ms
SILENT = b"\xff" * 8
SECOND = 1_000
HELLO = Say(TONE * SECOND, "hello")

Agent = Callable[[int, dict[str, Any]], list[str]]


def media(ms: int) -> str:
    payload = b64encode(TONE * ms).decode()
    return json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": payload}})


CLEAR = json.dumps({"event": "clear", "streamSid": "MZ1"})


def run(plan: Plan, agent: Agent, limit_s: float = 100.0) -> TwilioConversation:
    """``agent(frame, message)`` sees all that the caller sends and answers in messages."""
    conversation = TwilioConversation(TwilioCaller(StreamIds("AC1", "CA1", "MZ1"), {}, now=50.0), plan)
    frame = 0
    while not conversation.ended:
        now = conversation.next_deadline()
        assert now < 50.0 + limit_s, "the caller does not hang up"
        conversation.advance(now)
        while (text := conversation.poll()) is not None:
            message = json.loads(text)
            frame += message["event"] == "media"
            for answer in agent(frame, message):
                conversation.receive(answer, now + 0.001)
    return conversation


def at_frames(answers: dict[int, list[str]]) -> Agent:
    return lambda frame, message: answers.get(frame, []) if message["event"] == "media" else []


def test_the_caller_waits_for_the_greeting_says_its_text_and_leaves_after_the_answer():
    # greeting 0.2-2.2 s; the caller speaks once 0.8 s of silence have passed; answer 5-6 s
    call = run(Plan([HELLO]), at_frames({10: [media(2_000)], 250: [media(1_000)]}))
    timeline = call.timeline()
    assert [segment.start_s for segment in timeline.agent] == [0.2, 5.0]
    assert 2.98 <= timeline.caller[0].start_s <= 3.04
    assert [reply.heard_s for reply in timeline.replies()] == [5.0]
    assert call.left == "done"
    assert call.script.completed
    assert call.script.unanswered == 0
    assert call.late_s == [0.0] * len(call.late_s)


def test_pauses_within_the_greeting_are_not_its_end():
    call = run(Plan([HELLO]), at_frames({1: [media(500)], 60: [media(500)], 250: [media(100)]}))
    assert call.timeline().caller[0].start_s >= 1.2 + 0.5 + 0.8 - 0.04


def test_an_agent_that_never_speaks_is_spoken_to_and_left():
    call = run(Plan([HELLO]), at_frames({}))
    [mine] = call.timeline().caller
    assert GREETING_PATIENCE_S <= mine.start_s <= GREETING_PATIENCE_S + 0.1
    assert call.left == "done"
    assert call.script.unanswered == 1
    waited_s = call.stream.media_s(call.next_deadline()) - mine.end_s
    assert ANSWER_PATIENCE_S - 0.001 <= waited_s <= ANSWER_PATIENCE_S + 0.1


def test_an_interruption_begins_so_long_after_the_agents_turn_began():
    answers = {1: [media(500)], 150: [media(8_000)], 275: [CLEAR], 350: [media(300)]}
    call = run(Plan([HELLO, Say(TONE * SECOND, "wait")], barge_in_at_s=2.0), at_frames(answers))
    timeline = call.timeline()
    [barge_in] = timeline.barge_ins()
    answer = timeline.agent[1]
    assert answer.start_s + 2.0 <= barge_in.onset_s <= answer.start_s + 2.06
    assert barge_in.clear_s is not None
    assert barge_in.silent_s == answer.end_s
    assert 0 <= barge_in.silent_s - barge_in.clear_s <= 0.02  # no more than the frame that was being played
    assert call.script.unanswered == 0
    assert not call.script.barge_in_missed


def test_the_tail_of_the_interrupted_turn_is_not_taken_for_the_answer():
    answers = {1: [media(4_000)]}  # it goes on regardless of the interruption
    call = run(Plan([Say(TONE * 300, "stop")], barge_in_at_s=1.0), at_frames(answers))
    assert call.script.unanswered == 1
    assert call.timeline().barge_ins()[0].clear_s is None


def test_an_interruption_that_came_too_late_says_so():
    call = run(Plan([HELLO], barge_in_at_s=3.0), at_frames({1: [media(1_000)], 200: [media(100)]}))
    assert call.script.barge_in_missed
    assert call.timeline().barge_ins() == []


def test_an_answer_into_the_last_silence_of_a_recording_is_an_answer():
    recording = Say(TONE * SECOND + SILENT * 6_000, "recording")
    call = run(Plan([recording]), at_frames({1: [media(100)], 130: [media(500)]}))
    assert call.script.unanswered == 0
    assert call.stream.media_s(call.next_deadline()) < 5.0


def test_keys_are_pressed_in_a_row_and_answered():
    pressed = []

    def agent(frame: int, message: dict[str, Any]) -> list[str]:
        if message["event"] == "dtmf":
            pressed.append(message["dtmf"]["digit"])
            return [media(300)] if len(pressed) == 3 else []
        return [media(300)] if message["event"] == "media" and frame == 1 else []

    call = run(Plan([Press("12#")]), agent)
    timeline = call.timeline()
    assert pressed == ["1", "2", "#"]
    assert [round(b.at_s - a.at_s, 2) for a, b in zip(timeline.keys, timeline.keys[1:], strict=False)] == [0.24, 0.24]
    assert [reply.by for reply in timeline.replies()] == ["key"]
    assert call.script.unanswered == 0


def test_a_call_is_cut_short_when_told_so_and_when_it_takes_too_long():
    endless = at_frames({1: [media(90_000)]})
    assert run(Plan(hang_up_after_s=3.0), endless).left == "hang_up_after"
    call = run(Plan([HELLO], timeout_s=10.0), endless)
    assert call.left == "timeout"
    assert not call.script.completed


def test_without_a_plan_the_caller_listens_to_the_greeting():
    call = run(Plan(), at_frames({1: [media(1_000)]}))
    assert call.left == "done"
    assert 1.8 <= call.stream.media_s(call.next_deadline()) <= 1.9


def test_an_agent_that_leaves_before_it_answers_leaves_a_step_unanswered():
    plan = Plan([HELLO])
    conversation = TwilioConversation(TwilioCaller(StreamIds("AC1", "CA1", "MZ1"), {}, now=0.0), plan)
    conversation.advance(GREETING_PATIENCE_S + 2)
    conversation.agent_left()
    assert conversation.ended
    assert conversation.left is None
    assert conversation.script.unanswered == 1
