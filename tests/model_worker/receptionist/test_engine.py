"""Whole calls with the receptionist, on fakes of its speech components."""

import numpy as np
import pytest

from model_worker.duplex.receptionist.ear import RESULT_DEADLINE_CHUNKS
from model_worker.seams import CallSpec, UnknownAgentError
from tests.model_worker.dialog.agents import agent
from tests.model_worker.receptionist.fakes import CHUNK_SAMPLES, QUIET, House, Line, saying
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor

HOURS = "We open at eight. Anything else?"


@pytest.fixture
def house() -> House:
    return House()


def greeted(house: House, name: str = "call-1") -> Line:
    line = house.call(name)
    line.step()
    line.hear_out()
    return line


def test_the_greeting_starts_with_the_first_decision(house: House) -> None:
    first = house.call().step()
    assert (first.index, first.decision, first.turn) == (0, DecisionKind.SPEAK, TurnId(1))
    assert sum(len(piece.pcm) for piece in first.speech) >= 0.8 * 16_000
    assert [said.text for said in first.said] == ["Hello, I am a machine."]


def test_a_question_asked_after_the_greeting_is_answered(house: House) -> None:
    line = greeted(house)
    line.say("opening hours")
    line.hear_out()
    assert line.caller_said() == ["opening hours"]
    assert line.agent_said() == ["Hello, I am a machine.", HOURS]
    assert house.engine.history(line.id) == [
        {"voice": "agent", "text": "Hello, I am a machine.", "turn": 1, "cut": False},
        {"voice": "caller", "text": "opening hours", "turn": 0, "cut": False},
        {"voice": "agent", "text": HOURS, "turn": 2, "cut": False},
    ]


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.33])
def test_the_answer_comes_within_three_chunks_of_the_last_word_wherever_it_falls(house: House, after_s: float) -> None:
    line = greeted(house)
    outputs = line.say("opening hours", seconds=0.5, after_s=after_s)
    ended_in = (after_s + 0.5) / 0.4
    assert len(outputs) - ended_in <= 3
    assert outputs[-1].decision is DecisionKind.SPEAK


def test_a_key_answers_as_speech_does_but_at_once(house: House) -> None:
    line = greeted(house)
    assert line.step(dtmf="1").decision is DecisionKind.SPEAK
    line.hear_out()
    assert line.agent_said()[-1] == HOURS
    assert {"voice": "caller", "text": "pressed 1", "turn": 0, "cut": False} in house.engine.history(line.id)


def test_a_key_pressed_into_the_greeting_opens_a_new_turn_and_cuts_the_old_one(house: House) -> None:
    line = house.call()
    line.step()
    assert line.step(dtmf="1").turn == TurnId(2)
    assert house.engine.history(line.id)[0] == {"voice": "agent", "text": "Hello, I", "turn": 1, "cut": True}
    house.engine.interrupt(line.id, TurnId(1), 0.6)  # what the gateway reports of the turn that was replaced
    assert house.engine.history(line.id)[0]["text"] == "Hello, I am"
    line.hear_out()
    assert line.agent_said()[-1] == HOURS


def test_of_two_keys_in_one_chunk_the_last_is_answered(house: House) -> None:
    line = greeted(house)
    line.step(dtmf="41")  # a confirmation is asked for, and given
    line.hear_out()
    assert line.agent_said() == ["Hello, I am a machine.", "Speak now."]
    assert line.actions() == [("voicemail", TurnId(2))]


def test_a_key_makes_the_words_before_it_void(house: House) -> None:
    line = greeted(house)
    line.step(saying("operator"))
    line.step(dtmf="1")
    line.hear_out()
    assert line.caller_said() == []
    assert line.agent_said()[-1] == HOURS


def test_two_failures_transfer_the_caller_when_the_last_words_are_out(house: House) -> None:
    line = greeted(house)
    line.say("babble")
    line.hear_out()
    line.say("babble")
    outputs = line.hear_out()
    assert line.agent_said()[1:] == ["Pardon? Press 1 for hours.", "I give up. Connecting."]
    assert line.actions() == [("transfer", TurnId(3))]
    (last,) = [output for output in line.outputs if output.actions]
    assert last.turn_done
    assert last.actions[0].arguments == {"to": "+15550100200"}
    assert outputs[-1].decision is DecisionKind.LISTEN


def test_words_of_low_confidence_are_not_understood(house: House) -> None:
    line = greeted(house)
    house.asr.confidence = 0.3
    line.say("opening hours")
    assert line.agent_said()[-1] == "Pardon? Press 1 for hours."


def test_a_confirmation_is_answered_by_voice(house: House) -> None:
    line = greeted(house)
    line.say("appointment")
    line.hear_out()
    line.say("yes")
    line.hear_out()
    assert line.actions() == [("voicemail", TurnId(3))]


def test_silence_is_prompted_and_then_ends_the_call(house: House) -> None:
    line = greeted(house)
    for _ in range(60):
        line.step()
    assert line.agent_said()[1:] == ["Are you there?", "I hear nothing."]
    assert line.actions() == [("hangup", TurnId(3))]


def test_silence_is_counted_from_the_last_word_of_either_side(house: House) -> None:
    line = greeted(house)
    outputs = [line.step() for _ in range(9)]
    assert {output.decision for output in outputs} == {DecisionKind.LISTEN}
    line.step(saying("babble")[:1_000].repeat(2)[:CHUNK_SAMPLES])  # a click: no utterance, and no answer to it
    line.step(saying("opening hours"))
    assert line.agent_said() == ["Hello, I am a machine."]


def test_barge_in_cuts_the_history_at_the_heard_word_and_hears_the_caller(house: House) -> None:
    line = greeted(house)
    line.step(dtmf="1")
    line.step()
    assert line.heard_s == pytest.approx(0.4)
    given = line.next_input(saying("operator"))  # the caller speaks over the answer ...
    house.step((line, given))
    line.barge_in()  # ... and the gateway yields within that chunk
    assert house.engine.history(line.id)[-1] == {"voice": "agent", "text": "We open at eight.", "turn": 2, "cut": True}
    outputs = [line.step() for _ in range(3)]
    assert line.caller_said() == ["operator"]
    assert [output.turn for output in outputs if output.turn] == [TurnId(3)]
    assert all(output.turn != TurnId(2) for output in outputs)


def test_speech_over_the_agent_that_the_gateway_lets_stand_is_no_answer(house: House) -> None:
    line = house.call()
    line.step()
    line.step(saying("operator", seconds=0.2))
    line.hear_out()
    for _ in range(4):
        line.step()
    assert line.caller_said() == []
    assert line.agent_said() == ["Hello, I am a machine."]


def over_the_greeting(phrase: str, seconds: float) -> tuple[Line, list[Floor | None]]:
    """The caller says ``phrase`` over a long greeting; what the engine makes of it until it is sure."""
    line = House({"desk": agent(greeting="one two three four five six seven eight. " * 10)}).call()
    line.step()
    line.step()
    sound = saying(phrase, seconds)
    floors: list[Floor | None] = []
    for n in range(6):
        pcm = sound[n * CHUNK_SAMPLES : (n + 1) * CHUNK_SAMPLES] if n * CHUNK_SAMPLES < len(sound) else QUIET
        (output,) = line.house.step((line, line.next_input(pcm, overlap_s=0.4 * (n + 1))))
        floors.append(output.floor)
        if output.floor is not None:
            break
    return line, floors


def test_a_short_question_over_the_agent_takes_the_floor_and_is_answered() -> None:
    line, floors = over_the_greeting("operator", 0.3)
    assert floors[-1] is Floor.YIELD
    assert len(floors) <= 4
    assert line.caller_said() == []  # not before the gateway has stopped the agent
    line.barge_in()
    line.step()
    assert line.caller_said() == ["operator"]


def test_a_question_over_the_agent_that_the_gateway_could_not_wait_for_is_answered_all_the_same() -> None:
    line = House({"desk": agent(greeting="one two three four five six seven eight. " * 10)}).call()
    line.step()
    line.house.asr.held_polls = 3  # a busy machine
    line.house.step((line, line.next_input(saying("operator", 0.3), overlap_s=0.4)))
    line.house.step((line, line.next_input(overlap_s=0.8)))
    outputs = [line.step() for _ in range(6)]  # the gateway has let the agent go on
    assert line.caller_said() == ["operator"]
    assert TurnId(2) in {output.turn for output in outputs}


def test_who_pauses_before_anything_was_understood_is_not_talked_to(house: House) -> None:
    line = greeted(house)
    spoken = [saying("babble", 0.8), QUIET, QUIET, saying("opening hours", 0.8)]  # a pause of 0.8 s
    outputs = [line.step(chunk) for part in spoken for chunk in part.reshape(-1, CHUNK_SAMPLES)]
    assert {output.decision for output in outputs} == {DecisionKind.LISTEN}
    for _ in range(4):
        line.step()
    assert line.caller_said() == ["opening hours"]


def test_who_is_quiet_after_what_fits_nothing_is_told_so(house: House) -> None:
    line = greeted(house)
    line.step(saying("babble", 0.4))
    quiet = [line.step().decision for _ in range(5)]
    assert quiet.index(DecisionKind.SPEAK) == 2  # of 0.4 s each
    assert line.caller_said() == []


def test_what_fits_nothing_and_is_short_lets_the_agent_go_on() -> None:
    line, floors = over_the_greeting("babble", 0.3)
    assert floors[-1] is Floor.KEEP
    for _ in range(4):
        line.step()
    assert line.caller_said() == []
    assert len(line.agent_said()) == 1


def test_nothing_is_judged_in_the_first_moment_of_a_sound() -> None:
    """The gateway's detector is quicker than ours: a chunk may end before we hear that somebody speaks."""
    line = House({"desk": agent(greeting="one two three four five six seven eight. " * 10)}).call()
    for _ in range(3):
        line.step()
    floors = []
    for overlap_s, pcm in ((0.14, QUIET), (0.54, saying("operator", 0.4)), (0.94, saying("operator", 0.4))):
        (output,) = line.house.step((line, line.next_input(pcm, overlap_s=overlap_s)))
        floors.append(output.floor)
    assert floors == [None, None, Floor.YIELD]


def test_what_lasts_takes_the_floor_before_it_is_understood() -> None:
    _, floors = over_the_greeting("babble", 1.2)
    assert floors == [None, Floor.YIELD]


def test_the_places_of_words_are_told_where_the_voice_tells_them() -> None:
    for exact in (True, False):
        house = House()
        house.tts.exact_words = exact
        line = house.call()
        line.step()
        pieces = [piece for output in line.outputs for piece in output.speech if piece.text]
        assert [len(piece.word_starts) for piece in pieces] == [
            len(piece.text.split()) if exact else 0 for piece in pieces
        ]
        assert all(0 <= start < 6_400 for piece in pieces for start in piece.word_starts)


def test_an_answer_that_begins_in_the_last_word_of_the_agent_counts(house: House) -> None:
    line = house.call()
    line.step()
    while line.generated_s - line.heard_s > 0.4:
        line.step()
    line.say("opening hours", seconds=0.6)
    assert line.caller_said() == ["opening hours"]


def test_an_interrupt_of_an_unknown_call_or_turn_changes_nothing(house: House) -> None:
    line = house.call()
    line.step()
    before = house.engine.history(line.id)
    house.engine.interrupt(line.id, TurnId(7), 0.1)
    house.engine.interrupt(CallId("stranger"), TurnId(1), 0.1)
    assert house.engine.history(line.id) == before
    assert house.engine.history(CallId("stranger")) == []


def test_an_action_whose_words_are_cut_off_is_done_when_the_caller_stays_quiet(house: House) -> None:
    line = greeted(house)
    line.step(dtmf="0")
    line.barge_in()
    for _ in range(6):
        line.step()
    assert line.actions() == [("transfer", TurnId(2)), ("transfer", NO_TURN)]  # the gateway dropped the first


def test_speech_is_never_more_than_two_seconds_ahead_of_the_ear_and_never_runs_dry() -> None:
    words = "one two three four five six seven eight. " * 10
    house = House({"desk": agent(greeting=words.strip())})
    line = house.call()
    line.step()
    while not line.done:
        assert line.generated_s - line.heard_s >= 0.8
        line.step()
    assert 1.6 < line.most_ahead_s <= 2.0 + 1e-9
    assert line.generated_s == pytest.approx(80 * 0.25)
    text = " ".join(piece.text for output in line.outputs for piece in output.speech)
    assert text.split() == words.split()


def test_a_sentence_is_synthesized_only_when_it_is_due() -> None:
    sentences = [f"one two three four five six seven {n}." for n in ("eight", "nine", "ten", "eleven")]
    house = House({"desk": agent(greeting=" ".join(sentences))})
    line = house.call()
    line.step()
    assert house.tts.spoken == sentences[:1]  # it takes the two seconds
    line.barge_in()
    line.step()
    assert house.tts.spoken == sentences[:1]


def test_a_voice_of_another_rate_keeps_its_length_and_its_words() -> None:
    line = House(sample_rate_hz=22_050).call()
    line.step()
    line.hear_out()
    assert line.generated_s == pytest.approx(5 * 0.25, abs=0.01)
    assert [piece.text for piece in line.outputs[0].speech] == ["Hello, I", "am a", "machine.", ""]


def test_two_calls_in_one_step_do_not_mix(house: House) -> None:
    first, second = greeted(house, "a"), greeted(house, "b")
    hours, operator = saying("opening hours"), saying("operator")
    house.step((first, first.next_input(hours)), (second, second.next_input(operator)))
    for _ in range(12):
        house.step((second, second.next_input()), (first, first.next_input()))
    assert (first.caller_said(), second.caller_said()) == (["opening hours"], ["operator"])
    assert (first.actions(), second.actions()) == ([], [("transfer", TurnId(2))])


def test_a_late_result_is_taken_by_a_later_step(house: House) -> None:
    line = greeted(house)
    house.asr.held_polls = 2
    outputs = line.say("opening hours")
    assert line.caller_said() == ["opening hours"]
    assert outputs[-1].decision is DecisionKind.SPEAK


def test_a_result_that_comes_with_another_calls_step_is_kept(house: House) -> None:
    first, second = greeted(house, "a"), greeted(house, "b")
    house.asr.held_polls = 1
    for line, phrase in ((first, "opening hours"), (second, "operator")):
        line.step(saying(phrase))
    first.step()
    first.step()  # its poll is held back
    second.step()
    second.step()  # its poll brings both
    assert second.caller_said() == ["operator"]
    first.step()
    assert first.caller_said() == ["opening hours"]


def test_a_recognizer_that_never_answers_counts_as_not_understood(house: House) -> None:
    line = greeted(house)
    house.asr.held_polls = 1_000
    line.say("opening hours")
    for _ in range(RESULT_DEADLINE_CHUNKS):
        line.step()
    assert line.agent_said()[-1] == "Pardon? Press 1 for hours."


def test_what_the_caller_adds_while_a_result_is_awaited_is_not_lost(house: House) -> None:
    line = greeted(house)
    house.asr.held_polls = 2
    line.step(saying("babble"))
    line.step()
    line.step()  # over, awaited
    line.step(saying("opening hours"))
    line.step()  # "Pardon?" is being said; the gateway hears the caller
    line.barge_in()
    for _ in range(3):
        line.step()
    assert line.caller_said() == ["opening hours"]


def test_a_voice_that_fails_hands_that_caller_on_and_no_other(house: House) -> None:
    house.tts.broken_text = "We open at eight."
    bad, good = greeted(house, "bad"), greeted(house, "good")
    house.step((bad, bad.next_input(dtmf="1")), (good, good.next_input(dtmf="4")))
    house.step((bad, bad.next_input()), (good, good.next_input()))
    assert bad.actions() == [("transfer", NO_TURN)]
    assert {output.decision for output in bad.outputs[-2:]} == {DecisionKind.LISTEN}
    assert good.agent_said()[-1] == "Shall we call you? Yes or no?"
    assert [(fault.stage, fault.call) for fault in house.faults] == [("decide", bad.id)]


def test_a_recognizer_that_fails_for_one_call_hands_that_caller_on(house: House) -> None:
    bad, good = greeted(house, "bad"), greeted(house, "good")
    house.asr.broken_for.add(bad.id)
    speech = saying("opening hours")
    house.step((bad, bad.next_input(speech)), (good, good.next_input(speech)))
    for _ in range(3):
        house.step((bad, bad.next_input()), (good, good.next_input()))
    assert bad.actions() == [("transfer", NO_TURN)]
    assert good.agent_said()[-1] == HOURS
    house.engine.interrupt(bad.id, TurnId(1), 0.0)
    assert [fault.stage for fault in house.faults] == ["listen"]


def test_keys_work_on_while_the_recognizer_is_away(house: House) -> None:
    line = greeted(house)
    house.asr.poll_fails = True
    line.step(saying("opening hours"))
    line.step()
    line.step()
    line.step(dtmf="1")
    line.hear_out()
    assert line.agent_said()[-1] == HOURS
    assert {fault.stage for fault in house.faults} == {"recognize"}


def test_a_turn_lost_on_the_way_does_not_hold_the_call(house: House) -> None:
    line = house.call()
    line.step()
    for _ in range(30):
        line.heard_s = -0.4  # the gateway never reports any of it as heard
        line.step()
    assert house.engine.history(line.id)[0]["cut"]
    assert len(line.agent_said()) > 1


def test_a_call_ends_with_words_when_its_time_is_up(house: House) -> None:
    line = house.call()
    for n in range(300):
        line.step(dtmf="1" if n % 12 == 1 else "")
    line.hear_out()
    assert line.agent_said()[-1] == "Time is up."
    assert line.actions() == [("hangup", line.turn)]


def test_a_call_whose_time_is_up_during_the_last_words_cannot_be_prolonged(house: House) -> None:
    line = house.call()
    for n in range(299):
        line.step(dtmf="1" if n % 12 == 1 else "")
    line.step(dtmf="0")  # "Connecting." is being said when the two minutes end
    line.barge_in()
    line.say("no")
    assert line.agent_said()[-1] == "Connecting."
    assert [name for name, _ in line.actions()] == ["transfer", "transfer"]  # the gateway dropped the first


def test_a_caller_who_interrupts_the_notice_that_the_time_is_up_has_no_more_of_it(house: House) -> None:
    line = house.call()
    for n in range(300):
        line.step(dtmf="1" if n % 12 == 1 else "")
    assert line.agent_said()[-1] == "Time is up."
    line.barge_in()
    line.say("opening hours")
    assert line.agent_said()[-1] == "Time is up."
    assert line.actions()[-1] == ("hangup", NO_TURN)


def test_an_agent_that_does_not_exist_is_refused_by_name(house: House) -> None:
    with pytest.raises(UnknownAgentError, match="no agent 'ghost'; this worker has desk"):
        house.engine.open(CallId("x"), CallSpec("ghost"))


def test_a_chunk_of_a_call_that_is_not_open_is_decided_in_silence(house: House) -> None:
    line = Line(house, CallId("never-opened"))
    assert line.step().decision is DecisionKind.LISTEN


def test_closing_a_call_in_the_middle_of_a_word_leaves_nothing_open(house: House) -> None:
    line = greeted(house)
    line.step(saying("opening hours"))
    house.engine.close(line.id)
    house.engine.close(line.id)
    assert house.asr.fed == {}
    assert house.engine.history(line.id) == []


def test_shutting_down_closes_the_components(house: House) -> None:
    house.call()
    house.engine.shutdown()
    assert house.asr.closed
    assert house.tts.closed


def test_warming_up_renders_every_prompt_once(house: House) -> None:
    house.engine.warm_up()
    spoken = list(house.tts.spoken)
    assert len(spoken) == len(set(spoken))
    line = greeted(house)
    line.step(dtmf="1")
    line.hear_out()
    assert house.tts.spoken == spoken


def test_the_same_call_again_gives_the_same_outputs() -> None:
    def run() -> list[tuple[object, ...]]:
        line = greeted(House())
        line.say("opening hours")
        line.hear_out()
        line.step(dtmf="4")
        return [
            (o.decision, o.turn, o.turn_done, [(p.pcm.tobytes(), p.text) for p in o.speech], tuple(o.said))
            for o in line.outputs
        ]

    assert run() == run()


def test_an_hour_of_noise_and_keys_does_not_grow() -> None:
    house = House({"desk": agent(max_call_minutes=120)})
    line = house.call()
    rng = np.random.default_rng(7)
    for n in range(9_000):
        talking = rng.random() < 0.3
        line.step(saying("opening hours", 0.3) if talking else QUIET, dtmf="1" if n % 25 == 0 else "")
        line.outputs.clear()
    assert len(house.engine.history(line.id)) == 200
    held = sum(len(pcm) for pcm in house.asr.fed.get(line.id, []))
    assert held < 13 * 16_000
    conversation = house.engine._calls[line.id]
    assert len(conversation.ear._pre_roll) <= 12 * 16_000
    assert len(conversation._said) == 0
