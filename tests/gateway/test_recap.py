"""What was said so far, in words and within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.turn.recap import MAX_CHARS, MAX_LINES, Recap
from wire.messages import Line, Voice


def test_lines_stand_in_the_order_in_which_they_were_said():
    recap = Recap()
    recap.add(Voice.AGENT, " Good morning. ")
    recap.add(Voice.CALLER, "opening hours")
    assert recap.lines == (Line(Voice.AGENT, "Good morning."), Line(Voice.CALLER, "opening hours"))


def test_a_turn_of_which_nothing_was_heard_is_no_line():
    recap = Recap()
    recap.add(Voice.AGENT, "")
    recap.add(Voice.AGENT, " \n")
    assert recap.lines == ()


def test_the_oldest_lines_make_room_by_number():
    recap = Recap()
    for n in range(MAX_LINES + 2):
        recap.add(Voice.CALLER, str(n))
    assert [line.text for line in recap.lines] == [str(n) for n in range(2, MAX_LINES + 2)]


def test_the_oldest_lines_make_room_by_length():
    recap = Recap()
    for letter in "abc":
        recap.add(Voice.CALLER, letter * (MAX_CHARS // 2))
    assert [line.text[0] for line in recap.lines] == ["b", "c"]


def test_one_endless_line_is_cut():
    recap = Recap()
    recap.add(Voice.CALLER, "before")
    recap.add(Voice.AGENT, "x" * (MAX_CHARS + 1))
    assert recap.lines == (Line(Voice.AGENT, "x" * MAX_CHARS),)


@given(st.lists(st.integers(0, MAX_CHARS + 100), max_size=80))
def test_the_recap_is_the_longest_tail_that_fits(lengths: list[int]):
    recap = Recap()
    asked = [chr(97 + n % 26) * length for n, length in enumerate(lengths) if length]
    for text in asked:
        recap.add(Voice.CALLER, text)
    texts = [text[:MAX_CHARS] for text in asked]
    kept = [line.text for line in recap.lines]
    assert kept == texts[len(texts) - len(kept) :]
    assert len(kept) <= MAX_LINES
    assert sum(map(len, kept)) <= MAX_CHARS
    one_more = texts[: len(texts) - len(kept)][-1:] + kept
    assert one_more == kept or len(one_more) > MAX_LINES or sum(map(len, one_more)) > MAX_CHARS
