"""What the chat model is told of a call."""

from hypothesis import given
from hypothesis import strategies as st

from model_worker.answers.context import CALL_BEGINS, LEFT_OUT, WORDS_UNKNOWN
from model_worker.duplex.cascade.talk import MAX_CHARS, Talk
from model_worker.duplex.history import Entry
from wire.ids import TurnId
from wire.messages import Voice


def told(talk: Talk, words: str = "") -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in talk.question("Be kind.", words)]


def test_what_was_said_and_what_is_being_asked_stand_in_order():
    talk = Talk()
    talk.add(Entry(Voice.CALLER, "Hello"))
    talk.add(Entry(Voice.AGENT, "How can I help?", TurnId(1)))
    assert told(talk, "my bill") == [
        ("system", "Be kind."),
        ("user", "Hello"),
        ("assistant", "How can I help?"),
        ("user", "my bill"),
    ]


def test_words_that_are_in_it_already_stand_once():
    talk = Talk()
    talk.add(Entry(Voice.AGENT, "How can I help?", TurnId(1)))
    talk.add(Entry(Voice.CALLER, "my bill"))
    assert told(talk)[1:] == [("user", CALL_BEGINS), ("assistant", "How can I help?"), ("user", "my bill")]


def test_a_caller_whose_words_nobody_knows_is_told_of_as_such():
    talk = Talk()
    talk.add(Entry(Voice.CALLER, "Hello"))
    talk.add(Entry(Voice.AGENT, "How can I help?", TurnId(1)))
    assert told(talk)[-1] == ("user", WORDS_UNKNOWN)
    assert told(Talk())[-1] == ("user", WORDS_UNKNOWN)


def test_a_turn_that_was_cut_is_told_as_far_as_it_was_heard():
    talk = Talk()
    talk.add(Entry(Voice.CALLER, "Hello"))
    talk.add(Entry(Voice.AGENT, "one two three", TurnId(1)))
    talk.add(Entry(Voice.AGENT, "four", TurnId(2)))
    talk.cut(TurnId(1), "one")
    assert told(talk, "what?")[2] == ("assistant", "one\nfour")
    assert [(entry["text"], entry["cut"]) for entry in talk.history.as_dicts()] == [
        ("Hello", False),
        ("one", True),
        ("four", False),
    ]


def test_a_turn_of_which_nothing_was_heard_is_not_told():
    talk = Talk()
    talk.add(Entry(Voice.CALLER, "Hello"))
    talk.add(Entry(Voice.AGENT, "one two three", TurnId(1)))
    talk.cut(TurnId(1), "")
    assert told(talk, "what?")[1:] == [("user", "Hello\nwhat?")]


def test_the_newest_words_are_told_however_long_they_are():
    talk = Talk()
    talk.add(Entry(Voice.CALLER, "a" * (MAX_CHARS + 1)))
    assert len(told(talk)[-1][1]) == MAX_CHARS + 1


def test_old_words_are_left_out_by_the_half():
    talk, begins = Talk(), []
    for number in range(100):
        talk.add(Entry(Voice.CALLER, f"{number} ".ljust(200, "x")))
        begins.append(told(talk)[1][1].split()[0])
    assert begins[-1] not in ("0", "99")
    assert len(set(begins)) == 4, "of 20 000 characters, 4 000 at a time, after the first 8 000"


@given(st.lists(st.integers(1, 900), min_size=1, max_size=120))
def test_the_begin_of_a_prompt_moves_seldom_and_what_is_told_stays_bounded(lengths: list[int]):
    talk, moves, before = Talk(), 0, None
    for number, length in enumerate(lengths):
        voice = Voice.AGENT if number % 2 else Voice.CALLER
        talk.add(Entry(voice, f"{number} ".ljust(length, "x"), TurnId(number if number % 2 else 0)))
        messages = told(talk, "and?")
        assert sum(len(text) for _, text in messages) <= MAX_CHARS + 200
        begin = next(text for _, text in messages[1:] if text not in (CALL_BEGINS, LEFT_OUT)).split()[0].rstrip("x")
        moves += before is not None and begin != before
        before = begin
    assert moves <= sum(lengths) / (MAX_CHARS / 2 - 1_000), "old words are left out by the half, not line by line"
