"""Where utterances begin, pause and end, and which sound of them the recognizer gets."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.duplex.cascade.hearing import (
    MAX_HELD_SAMPLES,
    PRE_ROLL_SAMPLES,
    RESULT_DEADLINE_CHUNKS,
    Hearing,
    Utterance,
)
from model_worker.duplex.remote.effects import SessionFault
from tests.engines.cascade.fakes import CALL, TENTH, FakeAsr, FakeVad, line

FRAME_S = 0.032


class Ear:
    """A hearing with its recognizer."""

    def __init__(self, language: str = "en") -> None:
        self.asr = FakeAsr()
        self.hearing = Hearing(CALL, language, FakeVad(), self.asr)

    def hears(self, pattern: str, *, agent_audible: bool = False) -> None:
        """In chunks of 0.4 s; the last may be shorter."""
        pcm = line(pattern)
        for start in range(0, len(pcm), 4 * TENTH):
            self.hearing.hear(pcm[start : start + 4 * TENTH], agent_audible=agent_audible)

    def reads(self, text: str, *, final: bool = False, fault: SessionFault | None = None) -> None:
        self.asr.hears(text, final=final, fault=fault)
        for heard in self.asr.poll():
            self.hearing.deliver(heard)

    def quiet_until_over(self, words: str) -> float:
        """Seconds of silence after ``words``, to the next 0.1 s."""
        self.hears("####")
        self.reads(words)
        for tenths in range(1, 20):
            self.hears(".")
            if not self.hearing.speaking:
                return tenths / 10
        raise AssertionError("the turn never ends")


def test_an_utterance_goes_to_the_recognizer_from_a_moment_before_its_onset_to_its_end():
    ear = Ear()
    ear.hears("........")
    assert ear.asr.told == []
    ear.hears("####........")
    assert ear.asr.told == ["start", "finish"]
    (sound,) = ear.asr.utterances
    before = next(n for n, sample in enumerate(sound) if sample)
    assert PRE_ROLL_SAMPLES - TENTH <= before <= PRE_ROLL_SAMPLES
    assert sum(sound > 0) == 4 * TENTH, "no sample of it is lost or doubled"
    assert ear.hearing.awaiting
    ear.reads("hello", final=True)
    assert ear.hearing.take() == Utterance("hello", overheard=False)
    assert ear.hearing.take() is None
    assert not ear.hearing.busy


@pytest.mark.parametrize(("words", "over_s"), [("Yes.", 0.4), ("my bill", 0.7), ("my bill and", 1.1)])
def test_the_silence_that_ends_a_turn_hangs_on_its_words(words: str, over_s: float):
    assert Ear().quiet_until_over(words) == pytest.approx(over_s, abs=0.11)


def test_words_are_those_of_the_calls_language():
    assert Ear("de").quiet_until_over("rufen Sie mich an") < Ear("en").quiet_until_over("I am looking for an")


def test_a_pause_is_told_before_the_end():
    ear = Ear()
    pausing = []
    for tenth in "####....#":
        ear.hears(tenth)
        pausing.append(ear.hearing.pausing)
    assert pausing == [False] * 6 + [True] * 2 + [False]
    assert ear.hearing.speaking


def test_a_click_is_no_utterance():
    ear = Ear()
    ear.hears("...'............")
    assert ear.asr.told == ["start", "cancel"]
    assert ear.hearing.take() is None
    assert not ear.hearing.busy


def test_words_of_a_click_do_not_stay():
    ear = Ear()
    ear.hears("...'")
    ear.reads("a")
    ear.hears("............")
    assert ear.hearing.words == ""


def test_a_late_recognizer_is_taken_at_its_words_so_far():
    ear = Ear()
    ear.hears("####")
    ear.reads("my bill")
    ear.hears("." * 4 * 2)
    assert ear.hearing.awaiting
    ear.hears("." * 4 * (RESULT_DEADLINE_CHUNKS + 1))
    assert ear.hearing.take() == Utterance("my bill", overheard=False)
    assert ear.asr.told == ["start", "finish", "cancel"]
    ear.reads("my bill please", final=True)
    assert ear.hearing.take() is None, "what comes after that is too late"


def test_a_recognizer_that_tells_nothing_in_time_has_failed():
    ear = Ear()
    ear.hears("####" + "." * 4 * (RESULT_DEADLINE_CHUNKS + 3))
    assert ear.hearing.take() == Utterance("", overheard=False, fault=SessionFault.TOO_SLOW)


def test_a_fault_within_an_utterance_drops_the_rest_of_it():
    ear = Ear()
    ear.hears("####")
    ear.reads("my", fault=SessionFault.LOST)
    result = ear.hearing.take()
    assert result is not None
    assert result.fault is SessionFault.LOST
    ear.hears("########........")
    assert ear.asr.told == ["start"]
    ear.hears("####........")
    assert ear.asr.told == ["start", "start", "finish"]


def test_who_speaks_on_before_the_result_loses_no_word():
    ear = Ear()
    ear.hears("####........")
    ear.hears("########")
    assert ear.asr.told == ["start", "finish"]
    ear.reads("first", final=True)
    assert ear.hearing.take() == Utterance("first", overheard=False)
    ear.hears("####........")
    assert ear.asr.told == ["start", "finish"] * 2
    assert sum(ear.asr.utterances[1] > 0) == 12 * TENTH


def test_an_utterance_that_is_over_before_the_result_of_the_one_before_is_not_lost():
    ear = Ear()
    ear.hears("####........")
    ear.hears("###.........")
    assert ear.hearing.awaiting
    ear.reads("first", final=True)
    assert ear.hearing.take() == Utterance("first", overheard=False)
    assert ear.hearing.busy, "there is more to come"
    ear.hears("....")
    assert ear.asr.told == ["start", "finish"] * 2
    assert sum(ear.asr.utterances[1] > 0) == 3 * TENTH
    ear.reads("second", final=True)
    assert ear.hearing.take() == Utterance("second", overheard=False)
    assert not ear.hearing.busy


def test_a_click_while_a_result_is_awaited_is_nothing():
    ear = Ear()
    ear.hears("####........'...........")
    ear.reads("first", final=True)
    ear.hearing.take()
    ear.hears("....")
    assert ear.asr.told == ["start", "finish"]
    assert not ear.hearing.busy


def test_what_is_held_for_the_next_utterance_is_bounded():
    ear = Ear()
    ear.hears("####........")
    for _ in range(40):
        ear.hears("####")
        ear.hearing._waited_chunks = 0  # a recognizer whose result never is late enough
    ear.reads("first", final=True)
    ear.hearing.take()
    ear.hears("####")
    assert len(ear.asr.utterances[1]) <= MAX_HELD_SAMPLES + 4 * TENTH


def test_words_of_the_utterance_before_do_not_make_the_next_one_wait():
    ear = Ear()
    ear.hears("####")
    ear.reads("my bill and")
    ear.hears("............")
    assert ear.hearing.awaiting
    ear.hears("####....")
    assert ear.hearing.speaking
    ear.hears("....")
    assert not ear.hearing.speaking, "0.7 s of silence end an utterance whose words are not known"


def test_what_is_dropped_is_not_recognized():
    ear = Ear()
    ear.hears("####")
    ear.hearing.drop()
    ear.hears("####........")
    assert ear.asr.told == ["start", "cancel"]
    assert ear.hearing.take() is None
    ear.hears("####........")
    assert ear.asr.told == ["start", "cancel", "start", "finish"]


def test_a_result_that_is_awaited_is_dropped_too():
    ear = Ear()
    ear.hears("####........")
    ear.hearing.drop()
    ear.reads("old", final=True)
    assert ear.hearing.take() is None
    assert not ear.hearing.busy


@pytest.mark.parametrize("audible", [True, False])
def test_where_the_last_of_it_was_said_decides_whether_it_was_over_the_agent(audible: bool):
    ear = Ear()
    ear.hears("####", agent_audible=not audible)
    ear.hears("####", agent_audible=audible)
    ear.hears("........", agent_audible=not audible)
    ear.reads("hello", final=True)
    result = ear.hearing.take()
    assert result is not None
    assert result.overheard is audible


def test_what_is_said_after_it_does_not_change_where_an_utterance_was_said():
    ear = Ear()
    ear.hears("####........", agent_audible=True)
    ear.hears("####", agent_audible=False)
    ear.reads("first", final=True)
    first = ear.hearing.take()
    assert first is not None
    assert first.overheard


def test_what_stopped_the_agent_counts():
    ear = Ear()
    ear.hears("####........", agent_audible=True)
    ear.hearing.agent_stopped()
    ear.reads("hello", final=True)
    assert ear.hearing.take() == Utterance("hello", overheard=False)


def test_speech_and_quiet_of_the_last_seconds_are_counted_in_frames():
    ear = Ear()
    ear.hears("........####........")
    assert ear.hearing.quiet_s == pytest.approx(0.8, abs=2 * FRAME_S)
    assert ear.hearing.speech_s(10) == pytest.approx(0.4, abs=2 * FRAME_S)
    assert ear.hearing.speech_s(0.5) == 0.0


def test_a_closed_call_is_closed_at_the_recognizer():
    ear = Ear()
    ear.hearing.close()
    assert ear.asr.closed == [CALL]


@given(st.lists(st.integers(1, 6_400), min_size=1, max_size=60))
def test_any_split_of_the_sound_gives_the_recognizer_the_same(sizes: list[int]):
    pcm = line("....####...##..####................")
    ear = Ear()
    ends = [end for end in accumulate([*sizes, *[6_400] * 10]) if end < len(pcm)]
    for sound in np.split(pcm, ends):
        ear.hearing.hear(sound, agent_audible=False)
    assert ear.asr.told[:2] == ["start", "finish"]
    assert len(ear.asr.utterances) == 1, "what is waited for the result is counted in calls, and no part of this"
    assert sum(ear.asr.utterances[0] > 0) == 10 * TENTH
