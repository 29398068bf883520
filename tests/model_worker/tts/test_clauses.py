"""Text into parts, however it comes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.tts.clauses import LONGEST_CHARACTERS, SENTENCE_CHARACTERS, Clauses

TEXTS = st.lists(
    st.sampled_from(["word", "a", "seven,", "end.", "really?", "3.5", "x" * 30, "x" * 300, ":"]), max_size=80
).map(" ".join)


def parts_of(text: str, cuts: list[int]) -> list[str]:
    clauses = Clauses()
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [part for a, b in pairwise(places) for part in clauses.push(text[a:b])]
    return [*parts, *clauses.finish()]


@given(TEXTS, st.lists(st.integers(0, 500), max_size=40))
def test_parts_do_not_depend_on_how_text_comes(text: str, cuts: list[int]) -> None:
    parts = parts_of(text, cuts)
    assert parts == parts_of(text, [])
    assert "".join(" ".join(parts).split()) == "".join(text.split())
    assert all(0 < len(part) <= LONGEST_CHARACTERS for part in parts)
    assert all(part == part.strip() for part in parts)


@given(TEXTS)
def test_text_bit_by_bit_is_spoken_as_soon_as_a_sentence_is_whole(text: str) -> None:
    clauses = Clauses()
    assert clauses.push(text + " That is all. ")[-1:] != []
    assert clauses.finish() == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two? Three", ["One.", "Two?", "Three"]),
        ("It is 3.5 miles.", ["It is 3.5 miles."]),
        (f"{'word ' * 20}first, {'word ' * 20}second.", ["word " * 20 + "first,", "word " * 20 + "second."]),
        ("short, and shorter", ["short, and shorter"]),
        ("word " * 60, [("word " * 48).strip(), ("word " * 12).strip()]),
        ("", []),
        (" \n ", []),
    ],
)
def test_where_text_is_cut(text: str, parts: list[str]) -> None:
    assert parts_of(text, list(range(len(text)))) == parts


def test_a_long_sentence_is_cut_at_the_last_comma_that_keeps_it_short() -> None:
    first, *_ = parts_of("one two three, " * 20, [])
    assert first.endswith("three,")
    assert SENTENCE_CHARACTERS - 15 < len(first) <= SENTENCE_CHARACTERS
