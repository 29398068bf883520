"""The dialog machine: the table walked pair by pair, then whole dialogs."""

import itertools

import pytest

from model_worker.dialog.agent import Ending
from model_worker.dialog.events import (
    Act,
    BargedIn,
    Began,
    Broken,
    Expect,
    Heard,
    Input,
    Key,
    NotUnderstood,
    Output,
    Say,
    Silence,
    TimeUp,
    TurnPlayed,
)
from model_worker.dialog.machine import Dialog
from model_worker.dialog.table import TABLE, Cue, State, Step
from tests.model_worker.dialog.agents import agent

LONG = Silence(60.0)

WAYS: dict[State, list[Input]] = {
    State.NEW: [],
    State.MENU: [Began()],
    State.CONFIRM: [Began(), Key("4")],
    State.MORE: [Began(), Key("1")],
    State.CLOSING: [Began(), Key("0")],
    State.CUT: [Began(), Key("0"), BargedIn("Conn")],
    State.ENDED: [Began(), Key("0"), TurnPlayed()],
}
"""How to get into each state."""

INPUTS: dict[str, Input] = {
    "began": Began(),
    "question": Heard("opening hours"),
    "question key": Key("1"),
    "yes": Heard("yes"),
    "no": Heard("no"),
    "menu": Heard("menu"),
    "menu key": Key("*"),
    "goodbye": Heard("goodbye"),
    "goodbye key": Key("#"),
    "other words": Heard("purple elephants"),
    "other key": Key("9"),
    "unclear": NotUnderstood(),
    "long silence": LONG,
    "played": TurnPlayed(),
    "barge-in": BargedIn("words"),
    "time up": TimeUp(),
    "broken": Broken(),
}

STATE_AFTER: dict[State, dict[str, State]] = {
    State.NEW: {"began": State.MENU, "broken": State.ENDED},
    State.MENU: {
        "question": State.MORE,
        "question key": State.MORE,
        "goodbye": State.CLOSING,
        "goodbye key": State.CLOSING,
        "time up": State.CLOSING,
        "broken": State.ENDED,
    },
    State.CONFIRM: {
        "question key": State.CLOSING,  # the key that means yes
        "yes": State.CLOSING,
        "no": State.MORE,
        "goodbye": State.CLOSING,
        "goodbye key": State.CLOSING,
        "time up": State.CLOSING,
        "broken": State.ENDED,
    },
    State.MORE: {
        "yes": State.MENU,
        "no": State.CLOSING,
        "menu": State.MENU,
        "menu key": State.MENU,
        "other words": State.MENU,
        "other key": State.MENU,
        "unclear": State.MENU,
        "goodbye": State.CLOSING,
        "goodbye key": State.CLOSING,
        "time up": State.CLOSING,
        "broken": State.ENDED,
    },
    State.CLOSING: {
        "question": State.MORE,
        "question key": State.MORE,
        "yes": State.ENDED,
        "no": State.MENU,
        "menu": State.MENU,
        "menu key": State.MENU,
        "goodbye": State.ENDED,
        "goodbye key": State.ENDED,
        "played": State.ENDED,
        "barge-in": State.CUT,
        "broken": State.ENDED,
    },
    State.CUT: {
        "question": State.MORE,
        "question key": State.MORE,
        "yes": State.ENDED,
        "no": State.MENU,
        "menu": State.MENU,
        "menu key": State.MENU,
        "goodbye": State.ENDED,
        "goodbye key": State.ENDED,
        "other words": State.ENDED,
        "other key": State.ENDED,
        "unclear": State.ENDED,
        "long silence": State.ENDED,
        "time up": State.ENDED,
        "broken": State.ENDED,
    },
    State.ENDED: {},
}
"""Where each input leads; the state stays where none is named."""


def in_state(state: State) -> Dialog:
    dialog = Dialog(agent())
    for given in WAYS[state]:
        dialog.receive(given)
    assert dialog.state is state
    return dialog


def said(outputs: tuple[Output, ...]) -> tuple[str, ...]:
    return tuple(str(text) for output in outputs if isinstance(output, Say) for text in output.texts)


def acts(outputs: tuple[Output, ...]) -> list[Act]:
    return [output for output in outputs if isinstance(output, Act)]


@pytest.mark.parametrize(("state", "name"), list(itertools.product(State, INPUTS)))
def test_every_input_in_every_state_leads_where_it_should(state: State, name: str) -> None:
    dialog = in_state(state)
    outputs = dialog.receive(INPUTS[name])
    assert dialog.state is STATE_AFTER[state].get(name, state)
    if dialog.state is not state:
        assert any(isinstance(output, Expect) for output in outputs)
    if any(isinstance(output, Say) for output in outputs):
        assert Expect(dialog.expected) in outputs
    if dialog.state is State.CLOSING and state is not State.CLOSING:
        assert len(acts(outputs)) == 1


def test_the_table_names_a_step_for_every_state_and_cue() -> None:
    assert {state: set(row) for state, row in TABLE.items()} == {state: set(Cue) for state in State}
    assert {step for row in TABLE.values() for step in row.values()} == set(Step)


@pytest.mark.parametrize("state", [State.MENU, State.MORE, State.CLOSING, State.CUT])
@pytest.mark.parametrize(
    ("key", "words"),
    [("1", "when are you open"), ("4", "appointment"), ("0", "operator"), ("*", "menu"), ("#", "goodbye")],
)
def test_a_key_does_what_its_words_do(state: State, key: str, words: str) -> None:
    pressed, spoken = in_state(state), in_state(state)
    assert pressed.receive(Key(key)) == spoken.receive(Heard(words))
    assert pressed.state is spoken.state


@pytest.mark.parametrize("state", State)
def test_whatever_can_be_said_in_a_state_can_be_pressed_in_it(state: State) -> None:
    def outcome(given: Input) -> tuple[State, tuple[Output, ...]]:
        dialog = in_state(state)
        outputs = dialog.receive(given)
        return dialog.state, outputs

    known_keys = "1450*#" if state is not State.CONFIRM else "12450*#"
    by_key = [outcome(Key(digit)) for digit in known_keys]
    for phrase in in_state(state).expected:
        assert outcome(Heard(phrase)) in by_key, f"no key does what {phrase!r} does"


@pytest.mark.parametrize("state", [State.CLOSING, State.CUT])
def test_no_to_the_last_words_is_the_menu_key_and_yes_the_pound_key(state: State) -> None:
    for words, key in (("no", "*"), ("yes", "#")):
        spoken, pressed = in_state(state), in_state(state)
        assert spoken.receive(Heard(words)) == pressed.receive(Key(key))
        assert spoken.state is pressed.state


@pytest.mark.parametrize(("key", "words"), [("1", "yes"), ("2", "no"), ("*", "menu"), ("#", "goodbye")])
def test_a_yes_or_no_question_takes_keys_as_it_takes_words(key: str, words: str) -> None:
    pressed, spoken = in_state(State.CONFIRM), in_state(State.CONFIRM)
    assert pressed.receive(Key(key)) == spoken.receive(Heard(words))
    assert pressed.state is spoken.state


def test_the_greeting_says_the_menu_where_the_file_wants_it() -> None:
    menu = {"prompt": "Press 1 for hours.", "after_greeting": True}
    assert said(Dialog(agent(menu=menu)).receive(Began())) == ("Hello, I am a machine.", "Press 1 for hours.")
    assert said(Dialog(agent()).receive(Began())) == ("Hello, I am a machine.",)


def test_the_generated_menu_names_the_first_example_of_every_question() -> None:
    dialog = Dialog(agent(menu={"after_greeting": False}))
    dialog.receive(Began())
    (menu,) = said(dialog.receive(Key("*")))
    assert menu == "Press 1 or say: opening hours. Press 4 or say: appointment. Press 5 or say: leave. " + (
        "Press 0 or say: operator."
    )


def test_an_answer_is_followed_by_the_offer_of_more() -> None:
    assert said(in_state(State.MENU).receive(Heard("um opening hours please"))) == (
        "We open at eight.",
        "Anything else?",
    )


def test_an_answer_that_hangs_up_says_goodbye_first() -> None:
    outputs = in_state(State.MENU).receive(Heard("leave"))
    assert said(outputs) == ("Very well.", "Goodbye.")
    assert acts(outputs) == [Act(Ending.HANGUP)]


def test_a_confirmed_question_ends_in_voicemail_and_a_declined_one_does_not() -> None:
    dialog = in_state(State.MENU)
    assert said(dialog.receive(Heard("appointment"))) == ("Shall we call you?", "Yes or no?")
    outputs = dialog.receive(Heard("yes"))
    assert (said(outputs), acts(outputs)) == (("Speak now.",), [Act(Ending.VOICEMAIL)])
    outputs = in_state(State.CONFIRM).receive(Heard("no"))
    assert (said(outputs), acts(outputs)) == (("Anything else?",), [])


def test_a_question_asked_during_a_confirmation_is_not_expected_but_its_key_is_taken() -> None:
    dialog = in_state(State.CONFIRM)
    assert "opening hours" not in dialog.expected
    assert acts(dialog.receive(Key("0"))) == [Act(Ending.TRANSFER, "+15550100200")]


def test_two_failures_in_a_row_hand_the_caller_on() -> None:
    dialog = in_state(State.MENU)
    assert said(dialog.receive(NotUnderstood())) == ("Pardon?", "Press 1 for hours.")
    outputs = dialog.receive(Key("9"))
    assert said(outputs) == ("I give up.", "Connecting.")
    assert acts(outputs) == [Act(Ending.TRANSFER, "+15550100200")]


def test_an_answer_between_two_failures_starts_the_count_anew() -> None:
    dialog = in_state(State.MENU)
    dialog.receive(NotUnderstood())
    dialog.receive(Heard("opening hours"))
    assert said(dialog.receive(NotUnderstood()))[0] == "Pardon?"


def test_a_failure_in_a_confirmation_asks_the_same_question_again() -> None:
    dialog = in_state(State.CONFIRM)
    assert said(dialog.receive(NotUnderstood())) == ("Pardon?", "Shall we call you?", "Yes or no?")
    assert dialog.state is State.CONFIRM


def test_a_silent_caller_is_prompted_and_then_let_go() -> None:
    dialog = in_state(State.MENU)
    assert dialog.receive(Silence(3.9)) == ()
    assert said(dialog.receive(Silence(4.0))) == ("Are you there?",)
    outputs = dialog.receive(Silence(4.0))
    assert (said(outputs), acts(outputs)) == (("I hear nothing.",), [Act(Ending.HANGUP)])


def test_a_word_from_the_caller_starts_the_silence_prompts_anew() -> None:
    dialog = in_state(State.MENU)
    dialog.receive(LONG)
    dialog.receive(Heard("opening hours"))
    assert said(dialog.receive(LONG)) == ("Are you there?",)


def test_words_cut_off_by_a_cough_are_said_again_but_not_for_ever() -> None:
    dialog = in_state(State.MORE)
    for _ in range(2):
        dialog.receive(BargedIn("We open"))
        assert dialog.receive(Silence(1.9)) == ()
        assert said(dialog.receive(Silence(2.0))) == ("We open at eight.", "Anything else?")
    dialog.receive(BargedIn("We open"))
    assert dialog.receive(Silence(2.0)) == ()


def test_a_caller_who_heard_nothing_of_the_prompt_has_not_failed_to_answer_it() -> None:
    dialog = in_state(State.MENU)
    dialog.receive(BargedIn(""))
    assert said(dialog.receive(NotUnderstood())) == ("Hello, I am a machine.",)
    assert said(dialog.receive(NotUnderstood()))[0] == "Pardon?"


def test_an_action_cut_off_with_its_words_is_done_once_the_caller_is_quiet() -> None:
    dialog = in_state(State.CUT)
    assert dialog.receive(Silence(1.9)) == ()
    assert dialog.receive(Silence(2.0)) == (Expect(()), Act(Ending.TRANSFER, "+15550100200"))


def test_a_caller_who_objects_to_the_last_words_goes_on() -> None:
    assert said(in_state(State.CUT).receive(Heard("no"))) == ("Press 1 for hours.",)


def test_a_call_that_lasts_too_long_is_ended_with_words() -> None:
    outputs = in_state(State.MORE).receive(TimeUp())
    assert (said(outputs), acts(outputs)) == (("Time is up.",), [Act(Ending.HANGUP)])


@pytest.mark.parametrize("given", [Heard("no"), Heard("opening hours"), Key("*"), Key("1"), LONG])
@pytest.mark.parametrize(("state", "ending"), [(State.MORE, Ending.HANGUP), (State.CLOSING, Ending.TRANSFER)])
def test_once_the_time_is_up_nothing_leads_back_from_the_last_words(state: State, ending: Ending, given: Input) -> None:
    dialog = in_state(state)
    dialog.receive(TimeUp())
    assert dialog.receive(given) == ()
    dialog.receive(BargedIn("Time"))
    assert [act.action for act in acts(dialog.receive(given))] == [ending]
    assert dialog.state is State.ENDED


def test_a_broken_agent_hands_the_caller_on_without_words() -> None:
    assert in_state(State.MORE).receive(Broken()) == (Expect(()), Act(Ending.TRANSFER, "+15550100200"))
