"""Speech follows the ear, whatever the pace of its text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.seams import Speech, Word
from model_worker.tts.paced_voice import Pace, PacedVoice, Rendered

WORD_SAMPLES = 4_000
PACE = Pace()


class Voice:
    """A quarter of a second a word; the sound of a word is its number, counted over the turn from 1."""

    def __init__(self, exact: bool = True) -> None:
        self.spoken: list[str] = []
        self.words = 0
        self.exact = exact

    def render(self, part: str) -> Rendered:
        self.spoken.append(part)
        words = part.split()
        first, self.words = self.words + 1, self.words + len(words)
        pcm = np.repeat(np.arange(first, first + len(words), dtype=np.int16), WORD_SAMPLES)
        return Rendered(pcm, [Word(word, n * WORD_SAMPLES) for n, word in enumerate(words)], self.exact)


def turn_of(voice: Voice, pace: Pace = PACE) -> PacedVoice[str]:
    return PacedVoice(voice.render, pace)


def test_the_next_clause_waits_until_little_is_unheard() -> None:
    voice = Voice()
    turn = turn_of(voice)
    turn.say("one two three four five six. " * 4)
    turn.speak()
    assert len(voice.spoken) == 2  # two seconds of 1.5 s each, and no look at the third
    turn.hear(0.1)
    assert turn.speak() == []
    turn.hear(1.3)
    turn.speak()
    assert len(voice.spoken) == 3


def test_text_that_comes_late_goes_on_where_the_voice_stopped() -> None:
    turn = turn_of(Voice())
    turn.say("one two. thr")
    first = turn.speak()
    assert " ".join(piece.text for piece in first).split() == ["one", "two."]
    before = turn.done
    assert turn.speak() == []
    turn.say("ee four.")
    turn.finish()
    second = turn.speak()
    assert " ".join(piece.text for piece in second).split() == ["three", "four."]
    assert [before, turn.done] == [False, True]
    sound = np.concatenate([piece.pcm for piece in (*first, *second)])
    assert np.array_equal(sound, np.repeat(np.arange(1, 5, dtype=np.int16), WORD_SAMPLES))


def test_one_step_brings_no_more_than_its_cap() -> None:
    voice = Voice()
    turn = turn_of(voice, Pace(most_per_step_s=0.8))
    turn.say("one two three four. five six seven eight. nine ten eleven twelve.")
    turn.finish()
    assert sum(len(piece.pcm) for piece in turn.speak()) == round(0.8 * 16_000)
    assert turn.unheard_s == pytest.approx(0.8)
    assert len(voice.spoken) == 1


def test_a_turn_without_words_is_over_when_it_is_finished() -> None:
    turn = turn_of(Voice())
    before = turn.done
    turn.finish()
    assert turn.speak() == []
    assert [before, turn.done, turn.played] == [False, True, True]


def test_words_of_a_voice_that_does_not_tell_their_places_come_without_them() -> None:
    turn = turn_of(Voice(exact=False))
    turn.say("one two three. ")
    assert all(piece.word_starts == () for piece in turn.speak())
    assert turn.heard_text(0.3) == "one two"


@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1.0)), max_size=60),
    st.sampled_from([0.8, 1.2, 2.0]),
    st.sampled_from([0.4, 0.8, 2.0]),
)
def test_no_word_is_lost_or_early_whatever_the_pace_of_text_and_ear(
    steps: list[tuple[int, float]], ahead_s: float, most_s: float
) -> None:
    text = "we are open, every day. from seven until ten! on sundays too; come and see us. " * 3
    pace = Pace(ahead_s=ahead_s, most_per_step_s=most_s)
    turn = turn_of(Voice(), pace)
    pieces: list[Speech] = []
    heard_s, at = 0.0, 0
    for characters, ear_s in [*steps, (len(text), 0.0), *[(0, 0.4)] * 120]:
        if at < len(text):
            turn.say(text[at : at + characters])
            at += characters
            if at >= len(text):
                turn.finish()
        heard_s = min(heard_s + ear_s, turn.generated_samples / 16_000)
        turn.hear(heard_s)
        step = turn.speak()
        pieces += step
        assert turn.unheard_s <= ahead_s + 1e-9
        assert sum(len(piece.pcm) for piece in step) <= most_s * 16_000
    assert turn.played
    words = text.split()
    assert " ".join(piece.text for piece in pieces).split() == words
    sound = np.concatenate([piece.pcm for piece in pieces])
    assert np.array_equal(sound, np.repeat(np.arange(1, len(words) + 1, dtype=np.int16), WORD_SAMPLES))
    at_samples = 0
    number = 0
    for piece in pieces:
        for start in piece.word_starts:
            assert at_samples + start == number * WORD_SAMPLES
            number += 1
        at_samples += len(piece.pcm)
    assert number == len(words)
    for heard in range(len(words)):
        assert turn.heard_text(heard * 0.25 + 0.01).split() == words[: heard + 1]
