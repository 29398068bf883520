"""What the receptionist does with the words of an operator."""

import pytest

from tests.model_worker.receptionist.fakes import House, Line
from wire.ids import NO_TURN, TurnId
from wire.messages import DecisionKind

HOURS = "We open at eight. Anything else?"
ORDER = "One moment please."


@pytest.fixture
def line() -> Line:
    """A call whose greeting was heard."""
    line = House().call()
    line.step()
    line.hear_out()
    return line


def history(line: Line) -> list[tuple[str, int, bool]]:
    return [(entry["text"], entry["turn"], entry["cut"]) for entry in line.house.engine.history(line.id)]


def test_an_operator_s_words_are_said_at_once_in_a_turn_of_their_own(line: Line) -> None:
    output = line.step(say=(ORDER,))
    assert (output.decision, output.turn) == (DecisionKind.SPEAK, TurnId(2))
    assert [said.text for said in output.said] == [ORDER]
    line.hear_out()
    assert history(line)[-1] == (ORDER, 2, False)


def test_what_is_ordered_together_is_said_together(line: Line) -> None:
    line.step(say=("Hello.", "Goodbye for now."))
    line.hear_out()
    assert line.agent_said()[1:] == ["Hello. Goodbye for now."]


def test_an_operator_s_words_interrupt_the_agent_and_it_comes_back_to_its_own(line: Line) -> None:
    line.step(dtmf="1")
    line.step()
    line.step(say=(ORDER,))
    assert history(line)[-2:] == [("We open at eight.", 2, True), (ORDER, 3, False)]
    line.house.engine.interrupt(line.id, TurnId(2), 0.3)  # what the gateway reports of the turn that was replaced
    assert history(line)[-2] == ("We open", 2, True)
    line.hear_out()
    for _ in range(6):  # 2 s of quiet
        line.step()
    assert line.agent_said()[1:] == [HOURS, ORDER, HOURS]


def test_a_question_after_an_operator_s_words_is_answered(line: Line) -> None:
    line.step(say=(ORDER,))
    line.hear_out()
    line.say("opening hours")
    assert line.agent_said()[1:] == [ORDER, HOURS]


def test_a_question_into_an_operator_s_words_is_answered(line: Line) -> None:
    line.step(say=(ORDER,))
    line.step()
    line.barge_in()
    assert history(line)[-1][2]
    line.say("opening hours")
    assert line.agent_said()[1:] == [ORDER, HOURS]


def test_an_answer_that_is_due_with_an_order_follows_it_in_the_same_turn(line: Line) -> None:
    line.step(dtmf="1", say=(ORDER,))
    line.hear_out()
    assert line.agent_said()[1:] == [f"{ORDER} {HOURS}"]
    for _ in range(6):
        line.step()
    assert line.agent_said()[1:] == [f"{ORDER} {HOURS}"], "nothing was cut"


def test_a_farewell_that_an_operator_talks_over_still_ends_the_call(line: Line) -> None:
    line.step(dtmf="5")  # "Very well. Goodbye.", then the end of the call
    line.step(say=(ORDER,))
    line.hear_out()
    for _ in range(6):
        line.step()
    assert line.agent_said()[1:] == ["Very well. Goodbye.", ORDER]
    assert line.actions() == [("hangup", TurnId(2)), ("hangup", NO_TURN)]  # the gateway dropped the first


def test_the_silence_after_an_operator_s_words_is_the_caller_s(line: Line) -> None:
    line.step(say=(ORDER,))
    line.hear_out()
    quiet = [line.step() for _ in range(8)]
    assert {output.decision for output in quiet} == {DecisionKind.LISTEN}
    for _ in range(4):
        line.step()
    assert line.agent_said()[-1] == "Are you there?"


def test_a_caller_who_coughs_into_an_operator_s_words_does_not_hear_the_agent_s_own_again(line: Line) -> None:
    line.step(say=(ORDER,))
    line.step()
    line.barge_in()
    for _ in range(7):  # 2 s of quiet, after which the agent's own words would go on
        line.step()
    assert line.agent_said()[1:] == [ORDER]


def test_an_order_comes_in_time_for_the_caller_who_would_have_been_reminded(line: Line) -> None:
    for _ in range(9):
        line.step()
    line.step(say=(ORDER,))  # after 4 s
    assert line.agent_said()[1:] == [ORDER]


@pytest.mark.parametrize("text", ["...", "😀", "?! —"])
def test_what_cannot_be_spoken_is_left_out(line: Line, text: str) -> None:
    assert line.step(say=(text,)).decision is DecisionKind.LISTEN
    assert line.agent_said() == ["Hello, I am a machine."]


def test_a_caller_who_is_being_let_go_of_hears_no_more(line: Line) -> None:
    line.step(dtmf="5")
    line.barge_in()
    output = line.step(dtmf="#", say=(ORDER,))  # go ahead
    assert [action.name for action in output.actions] == ["hangup"]
    assert (output.decision, output.turn) == (DecisionKind.LISTEN, NO_TURN)
    assert ORDER not in line.agent_said()
