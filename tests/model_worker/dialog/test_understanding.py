"""Matching what was recognized with what was expected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.dialog.understanding import match, normalize

PHRASES = {"opening hours": "hours", "hours": "hours", "price": "price", "no": "no", "that's all": "bye"}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Opening hours?", "hours"),
        ("um, what are your opening hours please", "hours"),
        ("THAT’S ALL.", "bye"),
        ("no that's all", "bye"),
        ("price or hours", None),
        ("now", None),
        ("", None),
    ],
)
def test_the_longest_whole_phrase_counts_and_a_tie_of_meanings_does_not(text: str, meaning: str | None) -> None:
    assert match(text, PHRASES) == meaning


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.sampled_from(sorted(PHRASES)), st.sampled_from(["{}", " {} ", "{}!", "UM {}, please"]))
def test_a_phrase_is_found_among_words_that_are_none(phrase: str, around: str) -> None:
    assert match(around.format(phrase), PHRASES) == PHRASES[phrase]
