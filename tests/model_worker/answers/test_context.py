"""What a chat model is told of a call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.answers.context import CALL_BEGINS, LEFT_OUT, WORDS_UNKNOWN, build_messages
from model_worker.answers.seam import ChatMessage
from wire.messages import Voice

BRIEF = "You answer the phone of Miller's bakery."
ANN, BAKERY = Voice.CALLER, Voice.AGENT

voices_and_words = st.lists(st.tuples(st.sampled_from(Voice), st.text(st.sampled_from("ab \n"), max_size=12)))


def test_the_conversation_follows_the_instructions_in_its_order():
    heard = [(ANN, "hello"), (BAKERY, "Miller's, good morning.")]
    assert build_messages(BRIEF, heard, "do you have rye bread") == [
        ChatMessage("system", BRIEF),
        ChatMessage("user", "hello"),
        ChatMessage("assistant", "Miller's, good morning."),
        ChatMessage("user", "do you have rye bread"),
    ]


def test_words_that_nobody_knows_stand_as_a_note():
    assert build_messages(BRIEF, [(ANN, ""), (BAKERY, "Yes?")]) == [
        ChatMessage("system", BRIEF),
        ChatMessage("user", WORDS_UNKNOWN),
        ChatMessage("assistant", "Yes?"),
        ChatMessage("user", WORDS_UNKNOWN),
    ]


def test_the_note_stands_once_however_often_the_caller_spoke_in_a_row():
    assert build_messages(BRIEF, [(ANN, ""), (ANN, " ")], "")[1:] == [ChatMessage("user", WORDS_UNKNOWN)]


def test_known_words_that_are_repeated_stay_repeated():
    assert build_messages(BRIEF, [(ANN, "no")], "no")[1:] == [ChatMessage("user", "no\nno")]


def test_an_agent_that_speaks_first_is_introduced():
    assert build_messages(BRIEF, [(BAKERY, "Good morning.")], "hi")[1:3] == [
        ChatMessage("user", CALL_BEGINS),
        ChatMessage("assistant", "Good morning."),
    ]


def test_nothing_of_a_turn_that_was_not_heard_is_told():
    assert build_messages(BRIEF, [(ANN, "hi"), (BAKERY, "")], "hello?")[1:] == [ChatMessage("user", "hi\nhello?")]


def test_the_oldest_words_go_first():
    heard = [(ANN, "one"), (BAKERY, "two"), (ANN, "three"), (BAKERY, "four")]
    assert build_messages(BRIEF, heard, "five", limit_chars=len("four\nfive"))[1:] == [
        ChatMessage("user", LEFT_OUT),
        ChatMessage("assistant", "four"),
        ChatMessage("user", "five"),
    ]


def test_the_newest_words_keep_their_end():
    assert build_messages(BRIEF, [(BAKERY, "Yes?")], "abcdef", limit_chars=3)[1:] == [ChatMessage("user", "def")]


def test_without_instructions_there_is_no_system_message():
    assert build_messages(" ", [], "hi") == [ChatMessage("user", "hi")]


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 character, got 0"):
        build_messages(BRIEF, [], limit_chars=0)


@given(voices_and_words, st.text(st.sampled_from("ab "), max_size=12), st.integers(1, 200))
def test_roles_take_turns_from_user_to_user_within_the_limit(heard, transcript, limit_chars):
    messages = build_messages(BRIEF, heard, transcript, limit_chars)
    assert messages[0] == ChatMessage("system", BRIEF)
    roles = [message.role for message in messages[1:]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert all(message.content for message in messages)
    told = [message.content for message in messages[1:] if message.content not in (CALL_BEGINS, LEFT_OUT)]
    assert sum(map(len, told)) <= limit_chars
