"""One turn of the agent: which words go out with which sound, and which of them were heard."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoiceWish
from model_worker.duplex.cascade.turn import ASK_AHEAD_S, MAX_SOUND_S, SpokenTurn
from model_worker.seams import Pcm, Speech, Word

WISH = VoiceWish("anna", "en")


def sound(seconds: float) -> Pcm:
    return np.full(round(seconds * OUTPUT_RATE_HZ), 500, np.int16)


def word(text: str, start_s: float) -> Word:
    return Word(text, round(start_s * OUTPUT_RATE_HZ))


def turn(*texts: str, finished: bool = True) -> SpokenTurn:
    made = SpokenTurn(WISH)
    for text in texts:
        made.add(text)
    if finished:
        made.finish()
    return made


def all_speech(spoken: SpokenTurn) -> list[Speech]:
    """Heard as it is given, to its end."""
    speech: list[Speech] = []
    while more := spoken.speak():
        speech += more
        spoken.hear(sum(len(piece.pcm) for piece in speech) / OUTPUT_RATE_HZ)
    return speech


def text_of(speech: list[Speech]) -> str:
    return " ".join(piece.text for piece in speech if piece.text)


def test_words_go_to_the_voice_sentence_by_sentence():
    spoken = turn("Hello. How ", "are you", finished=False)
    assert spoken.next_part() == "Hello."
    assert spoken.next_part() is None, "one at a time"
    spoken.sound(sound(0.4))
    spoken.part_over()
    assert spoken.next_part() is None, "half a sentence"
    spoken.add("? ")
    assert spoken.next_part() == "How are you?"
    spoken.sound(sound(0.4))
    spoken.part_over()
    assert text_of(all_speech(spoken)) == "Hello. How are you?"
    assert spoken.all_heard
    spoken.finish()
    assert spoken.done
    assert spoken.played


def test_no_more_is_asked_of_the_voice_than_will_soon_be_heard():
    spoken = turn("One. Two. Three.")
    spoken.next_part()
    spoken.sound(sound(ASK_AHEAD_S + 1.0))
    spoken.part_over()
    spoken.speak()
    assert spoken.next_part() is None
    spoken.hear(0.9)
    assert spoken.next_part() is None
    spoken.hear(1.1)
    assert spoken.next_part() == "Two."


def test_sound_goes_out_two_seconds_ahead_of_the_ear_and_no_further():
    spoken = turn("One two three.")
    spoken.next_part()
    spoken.sound(sound(5.0))
    assert sum(len(piece.pcm) for piece in spoken.speak()) == 2 * OUTPUT_RATE_HZ
    assert spoken.speak() == []
    assert spoken.hear(0.8)
    assert sum(len(piece.pcm) for piece in spoken.speak()) == round(0.8 * OUTPUT_RATE_HZ)
    assert not spoken.hear(0.4), "time does not run back"
    assert not spoken.all_heard


def test_words_whose_place_the_voice_tells_go_with_their_sound():
    spoken = turn("One two three.")
    spoken.next_part()
    spoken.sound(sound(1.2), [word("One", 0.0), word("two", 0.5), word("three.", 0.9)], exact_words=True)
    spoken.part_over()
    speech = spoken.speak()
    assert [(piece.text, list(piece.word_starts)) for piece in speech] == [
        ("One", [0]),
        ("two", [round(0.1 * OUTPUT_RATE_HZ)]),
        ("three.", [round(0.1 * OUTPUT_RATE_HZ)]),
    ]


def test_where_the_voice_tells_nothing_words_lie_in_proportion_and_are_not_called_exact():
    spoken = turn("aaaa bbbb cccc dddd")
    spoken.next_part()
    spoken.sound(sound(1.6))
    spoken.part_over()
    speech = spoken.speak()
    assert [piece.text for piece in speech] == ["aaaa", "bbbb", "cccc", "dddd"]
    assert all(not piece.word_starts for piece in speech)


def test_words_of_a_part_that_is_still_being_made_are_estimated_from_their_letters():
    spoken = turn("aaaa bbbb cccc dddd eeee ffff gggg hhhh", finished=False)
    spoken.add(". ")
    spoken.next_part()
    spoken.sound(sound(0.8))
    assert text_of(spoken.speak()) == "aaaa bbbb cccc"
    assert spoken.heard_text(0.3) == "aaaa"


def test_a_voice_that_tells_places_after_one_that_does_not_is_believed():
    spoken = turn("aaaa bbbb. cccc dddd.")
    spoken.next_part()
    spoken.sound(sound(0.8))
    spoken.part_over()
    spoken.next_part()
    spoken.sound(sound(1.2), [word("cccc", 0.0), word("dddd.", 1.0)], exact_words=True)
    spoken.part_over()
    spoken.speak()
    assert spoken.heard_text(1.7) == "aaaa bbbb. cccc"
    assert spoken.heard_text(1.9) == "aaaa bbbb. cccc dddd."


def test_a_word_behind_the_sound_of_its_part_goes_out_before_those_of_the_next_part():
    spoken = turn("one two. three four.")
    spoken.next_part()
    spoken.sound(sound(0.4), [word("one", 0.0), word("two.", 3.0)], exact_words=True)
    spoken.part_over()
    spoken.next_part()
    spoken.sound(sound(0.8), [word("three", 0.0), word("four.", 0.4)], exact_words=True)
    spoken.part_over()
    assert text_of(all_speech(spoken)) == "one two. three four."


def test_a_voice_that_places_its_words_in_disorder_does_not_disorder_them():
    spoken = turn("one two three.")
    spoken.next_part()
    spoken.sound(sound(1.2), [word("one", -0.4), word("two", 0.9), word("three.", 0.1)], exact_words=True)
    spoken.part_over()
    assert text_of(all_speech(spoken)) == "one two three."
    assert spoken.heard_text(0.5) == "one"


def test_what_was_heard_is_told_to_the_word_and_the_whole_text_at_the_end():
    spoken = turn("One  two three.")
    spoken.next_part()
    spoken.sound(sound(1.2), [word("One", 0.0), word("two", 0.4), word("three.", 0.8)], exact_words=True)
    spoken.part_over()
    assert spoken.heard_text(9.0) == "", "nothing of it was given yet"
    spoken.speak()
    assert spoken.heard_text(0.0) == ""
    assert spoken.heard_text(0.5) == "One two"
    assert spoken.heard_text(1.2) == "One  two three."


def test_of_a_turn_that_was_cut_only_what_was_given_was_said():
    spoken = turn("aaaa bbbb cccc dddd eeee ffff gggg hhhh")
    spoken.next_part()
    spoken.sound(sound(3.2))
    spoken.part_over()
    spoken.speak()
    spoken.cut()
    assert spoken.done
    assert spoken.speak() == []
    assert spoken.said == "aaaa bbbb cccc dddd eeee"
    assert spoken.heard_text(9.0) == "aaaa bbbb cccc dddd eeee"
    assert spoken.heard_text(0.3) == "aaaa"


def test_after_a_cut_nothing_more_is_taken():
    spoken = turn("One. ", finished=False)
    spoken.next_part()
    spoken.cut()
    spoken.add("Two. ")
    spoken.sound(sound(1.0))
    spoken.part_over()
    assert (spoken.next_part(), spoken.speak(), spoken.said) == (None, [], "")


def test_what_a_failing_voice_has_not_said_is_said_by_the_next():
    spoken = turn("One two three four.")
    spoken.next_part()
    places = [word("One", 0.0), word("two", 0.4), word("three", 0.8), word("four.", 1.2)]
    spoken.sound(sound(0.7), places, exact_words=True)
    spoken.part_failed()
    assert spoken.next_part() == "three four."
    spoken.sound(sound(0.8))
    spoken.part_over()
    speech = all_speech(spoken)
    assert text_of(speech) == "One two three four."
    assert [list(piece.word_starts) for piece in speech if piece.text][-1] == [], "the second voice told no places"


def test_a_part_that_failed_with_its_last_word_is_not_said_again():
    spoken = turn("One two.")
    spoken.next_part()
    spoken.sound(sound(5.0))
    spoken.part_failed()
    assert spoken.next_part() is None
    all_speech(spoken)
    assert spoken.done


def test_a_turn_without_a_sound_is_silent_and_done():
    spoken = turn("One.")
    spoken.next_part()
    spoken.part_over()
    assert spoken.silent
    assert spoken.done


def test_a_turn_without_end_is_cut():
    spoken = turn("One. Two. ", finished=False)
    spoken.next_part()
    for _ in range(round(MAX_SOUND_S) + 2):
        spoken.sound(sound(1.0))
    assert spoken.finished
    assert spoken.done
    spoken.part_over()
    assert spoken.next_part() is None


@st.composite
def voices(draw: st.DrawFn) -> tuple[list[str], list[tuple[list[float], str]]]:
    """Texts as a model may write them, and what the voice makes of each part: pieces of sound, and how it ends."""
    words = st.text("ab.,?", min_size=1, max_size=8)
    texts = draw(st.lists(st.lists(words, max_size=12).map(" ".join), max_size=5))
    pieces = st.lists(st.floats(0.0, 1.5), max_size=5)
    return texts, draw(st.lists(st.tuples(pieces, st.sampled_from(["over", "placed", "failed"])), max_size=12))


@given(voices())
@pytest.mark.filterwarnings("error")
def test_words_that_were_told_are_always_a_beginning_of_the_text(
    voice: tuple[list[str], list[tuple[list[float], str]]],
):
    texts, parts = voice
    spoken = turn(*[f"{text} " for text in texts])
    words = " ".join(texts).split()
    told: list[str] = []
    given_samples = 0

    def take() -> None:
        nonlocal given_samples
        for piece in spoken.speak():
            told.extend(piece.text.split())
            starts = list(piece.word_starts)
            assert all(0 <= start <= len(piece.pcm) for start in starts)
            assert all(before <= after for before, after in pairwise(starts))
            given_samples += len(piece.pcm)
        spoken.hear(given_samples / OUTPUT_RATE_HZ)

    for pieces, end in [*parts, *[([0.5], "over")] * 200]:
        part = spoken.next_part()
        for number, piece_s in enumerate(pieces):
            placed = part is not None and end == "placed" and number == 0
            places = [word(text, 0.7 * n) for n, text in enumerate((part or "").split())] if placed else []
            spoken.sound(sound(piece_s), places, exact_words=placed)
            take()
            heard = spoken.heard_text(1e9).split()
            assert told == words[: len(told)]
            assert heard == words[: len(heard)]
        if end == "failed":
            spoken.part_failed()
        else:
            spoken.part_over()
        take()
        if part is None and spoken.done:
            break
    assert spoken.done
    if not spoken.silent:
        assert told == words, "and in the end all of it"
