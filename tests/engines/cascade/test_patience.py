"""How long the end of a turn is waited for, and what said over the agent is no turn at all."""

import pytest

from model_worker.duplex.cascade.patience import (
    COMPLETE_FRAMES,
    SHORT_PAUSE_FRAMES,
    UNFINISHED_FRAMES,
    USUAL_FRAMES,
    needed_quiet_frames,
    same_words,
    sort_words,
)
from model_worker.duplex.overlap_judge import Words


def test_the_surer_the_end_the_shorter_the_silence():
    assert SHORT_PAUSE_FRAMES < COMPLETE_FRAMES < USUAL_FRAMES < UNFINISHED_FRAMES


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("I would like a table for two.", "en"),
        ("Are you open on Sunday?", "en"),
        ("That is what I came for.", "en"),
        ("yes", "en"),
        ("No!", "en"),
        ("si", "es"),
        ("ja", "de"),
        ("我想要一张桌子。", "zh"),
        ("不是", "zh"),
    ],
)
def test_a_whole_sentence_or_a_short_answer_is_over_soon(words: str, language: str):
    assert needed_quiet_frames(words, language) == COMPLETE_FRAMES


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("I would like a table and", "en"),
        ("my number is", "en"),
        ("um", "en"),
        ("yes,", "en"),
        ("I would like...", "en"),
        ("I would like…", "en"),
        ("ich möchte einen Tisch und", "de"),
        ("je voudrais une table pour", "fr"),
        ("quiero una mesa para", "es"),
        ("我想要一张桌子和", "zh"),
        ("我想要一张桌子，", "zh"),
    ],
)
def test_who_has_not_said_it_all_is_waited_for(words: str, language: str):
    assert needed_quiet_frames(words, language) == UNFINISHED_FRAMES


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("", "en"),
        (" … ", "en"),
        ("I would like a table", "en"),
        ("I would like that", "en"),
        ("I think so", "en"),
        ("rufen Sie mich an", "de"),
        ("sounds like a plan for y", "en"),
        ("a table and", "fr"),
        ("a table and", "xx"),
    ],
)
def test_words_that_tell_nothing_are_waited_for_as_usual(words: str, language: str):
    assert needed_quiet_frames(words, language) == USUAL_FRAMES


def test_a_region_or_a_script_is_of_its_language():
    assert needed_quiet_frames("my number is", "en-GB") == UNFINISHED_FRAMES
    assert needed_quiet_frames("我想要和", "zh-Hant") == UNFINISHED_FRAMES


@pytest.mark.parametrize(
    "words",
    [
        "Mhm.",
        "Okay, okay.",
        "I see.",
        "Oh, I see, thank you.",
        "uh huh",
        "that's right",
        "d'accord",
        "嗯嗯",
        "好的，好的。",
    ],
)
def test_an_acknowledgement_is_no_turn_once_it_is_over(words: str):
    assert sort_words(words, still_speaking=False) is Words.NOTHING
    assert sort_words(words, still_speaking=True) is Words.AWAITED


@pytest.mark.parametrize("words", ["i", "see it", "I got you", "you", "okay but when", "no", "sure thing", "好吗"])
def test_parts_of_an_acknowledgement_are_something_else(words: str):
    assert sort_words(words, still_speaking=False) is Words.QUESTION
    assert sort_words(words, still_speaking=True) is Words.QUESTION


@pytest.mark.parametrize("words", ["Stop!", "okay wait", "no, no", "warte mal", "un momento por favor", "请等一下"])
def test_an_objection_counts_while_it_is_said(words: str):
    assert sort_words(words, still_speaking=True) is Words.OBJECTION


def test_a_word_within_a_word_is_no_objection():
    assert sort_words("a nonstop flight", still_speaking=False) is Words.QUESTION


@pytest.mark.parametrize("words", ["", " ", "...", "，"])
def test_no_words_are_awaited(words: str):
    assert sort_words(words, still_speaking=False) is Words.AWAITED


def test_a_long_row_of_acknowledgements_is_sorted_at_once():
    assert sort_words("mm " * 20_000 + "but", still_speaking=False) is Words.QUESTION


def test_words_are_the_same_but_for_case_and_punctuation():
    assert same_words("Are you open on Sunday", "are you open, on sunday?")
    assert not same_words("are you open", "are you open on Sunday")
