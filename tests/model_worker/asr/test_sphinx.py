"""The recognizer with real decoders in real processes."""

import os
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from model_worker.asr.grammar import UnknownWordError
from model_worker.asr.sphinx import MAX_BACKLOG, NOTHING, SphinxAsr
from model_worker.tts.espeak import EspeakTts
from tests.model_worker.asr.voices import (
    CHUNK_SAMPLES,
    PHRASES,
    caller_says,
    closing_asr,
    hear,
    human_speech,
    over_the_phone,
    tell,
)
from wire.ids import CallId

ANN, BOB = CallId("ann"), CallId("bob")
LONG_S = 60.0


@pytest.fixture(scope="module")
def tts() -> Iterator[EspeakTts]:
    voice = EspeakTts()
    yield voice
    voice.close()


@pytest.fixture(scope="module")
def asr() -> Iterator[SphinxAsr]:
    """For the tests that leave it as it was."""
    with closing_asr(SphinxAsr(processes=1, deadline_s=LONG_S)) as recognizer:
        yield recognizer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether it came true within 10 s; another thread makes it so."""
    step = threading.Event()
    return any(condition() or step.wait(0.01) for _ in range(1_000))


@pytest.mark.parametrize("phrase", ["what are your opening hours", "make an appointment", "what is your address"])
def test_a_phrase_over_the_phone_is_recognized(asr: SphinxAsr, tts: EspeakTts, phrase: str):
    heard = hear(asr, ANN, caller_says(tts, phrase))
    assert heard.text == phrase
    assert 0.5 <= heard.confidence <= 1.0


def test_words_around_a_phrase_are_left_out(asr: SphinxAsr, tts: EspeakTts):
    assert hear(asr, ANN, caller_says(tts, "um, what are your opening hours, please")).text == PHRASES[1]


def test_capitals_and_punctuation_of_a_phrase_do_not_matter(asr: SphinxAsr, tts: EspeakTts):
    heard = hear(asr, ANN, caller_says(tts, "goodbye"), ("Goodbye!", "What's that?"))
    assert heard.text == "goodbye"


def test_a_real_voice_is_recognized(asr: SphinxAsr):
    phrases = (*PHRASES, "ask what you can do for your country", "and so my fellow americans")
    pcm = over_the_phone(human_speech(8.0, 11.0), 16_000)
    assert hear(asr, ANN, pcm, phrases).text == "ask what you can do for your country"


@pytest.mark.parametrize("sentence", ["my cat sat on the kitchen table", "i lost my umbrella on the train"])
def test_a_sentence_outside_the_grammar_is_rejected(asr: SphinxAsr, tts: EspeakTts, sentence: str):
    assert hear(asr, ANN, caller_says(tts, sentence)) == NOTHING


def test_a_real_speech_is_not_taken_for_a_phrase(asr: SphinxAsr):
    assert hear(asr, ANN, human_speech(3.2, 7.8)) == NOTHING


def test_an_utterance_does_not_depend_on_the_one_before(asr: SphinxAsr, tts: EspeakTts):
    pcm = caller_says(tts, "goodbye")
    first = hear(asr, ANN, pcm)
    hear(asr, ANN, human_speech(0.3, 2.5) // 8)
    assert hear(asr, BOB, pcm) == first


def test_calls_that_speak_at_once_are_told_apart(asr: SphinxAsr, tts: EspeakTts):
    said = {CallId(phrase): caller_says(tts, phrase) for phrase in PHRASES[1:6]}
    for call in said:
        asr.start(call, PHRASES)
    for start in range(0, max(map(len, said.values())), CHUNK_SAMPLES):
        for call, pcm in said.items():
            asr.feed(call, pcm[start : start + CHUNK_SAMPLES])
    for call in said:
        asr.finish(call)
    assert {call: heard.text for call, heard in asr.poll(LONG_S).items()} == {call: str(call) for call in said}


def test_a_new_utterance_drops_the_one_before(asr: SphinxAsr, tts: EspeakTts):
    tell(asr, ANN, caller_says(tts, "what are your prices"))
    tell(asr, ANN, caller_says(tts, "goodbye"))
    assert [heard.text for heard in asr.poll(LONG_S).values()] == ["goodbye"]
    assert asr.poll(0.0) == {}


@pytest.mark.parametrize("samples", [0, 1, 159, 400, 7_999, 16_000])
def test_silence_of_any_length_is_nothing_and_disturbs_nobody(asr: SphinxAsr, tts: EspeakTts, samples: int):
    asr.start(BOB, PHRASES)
    asr.feed(BOB, caller_says(tts, "goodbye"))
    asr.start(ANN, PHRASES)  # dropped as short as it is
    assert hear(asr, ANN, np.zeros(samples, np.int16)) == NOTHING
    asr.finish(BOB)
    assert asr.poll(LONG_S)[BOB].text == "goodbye"


def test_poll_does_not_wait_when_nothing_was_asked(asr: SphinxAsr):
    assert asr.poll(LONG_S) == {}
    asr.finish(CallId("never begun"))
    assert asr.poll(LONG_S) == {}


def test_an_unknown_word_is_named_at_the_start(asr: SphinxAsr):
    with pytest.raises(UnknownWordError, match="'zzyzx' of the phrase 'drive to zzyzx'"):
        asr.start(ANN, ["goodbye", "drive to zzyzx"])


def test_a_child_that_hangs_is_replaced_at_the_deadline(tts: EspeakTts):
    clock = Clock()
    pcm = caller_says(tts, "goodbye")
    with closing_asr(SphinxAsr(processes=1, deadline_s=2.0, clock=clock)) as asr:
        assert hear(asr, ANN, pcm).text == "goodbye"
        (hung,) = asr.pids
        os.kill(hung, signal.SIGSTOP)
        tell(asr, ANN, pcm)
        asr.start(BOB, PHRASES)  # in the same child, still speaking
        assert asr.poll(0.0) == {}
        clock.now += 2.0
        assert asr.poll(0.0) == {ANN: NOTHING}
        assert asr.poll(LONG_S) == {}
        assert asr.hangs == 1
        asr.finish(BOB)
        assert asr.poll(LONG_S) == {BOB: NOTHING}
        assert hear(asr, ANN, pcm).text == "goodbye"
        assert asr.pids != [hung]
        assert not is_running(hung)


def test_a_child_that_dies_costs_only_what_it_was_hearing(tts: EspeakTts):
    pcm = caller_says(tts, "goodbye")
    with closing_asr(SphinxAsr(processes=2, deadline_s=LONG_S)) as asr:
        for call in (ANN, BOB):  # one in each child
            asr.start(call, PHRASES)
            asr.feed(call, pcm)
        survivor = hear(asr, CallId("warm both up"), pcm)
        assert survivor.text == "goodbye"
        first = asr.pids[0]
        os.kill(first, signal.SIGKILL)
        asr.finish(ANN)
        asr.finish(BOB)
        heard = asr.poll(LONG_S)
        assert sorted(heard[call].text for call in (ANN, BOB)) == ["", "goodbye"]
        assert hear(asr, ANN, pcm).text == "goodbye"
        assert asr.hangs == 0


def test_a_child_that_hears_nothing_for_long_is_replaced_and_counted_once(tts: EspeakTts):
    with closing_asr(SphinxAsr(processes=1, deadline_s=LONG_S)) as asr:
        assert hear(asr, ANN, caller_says(tts, "goodbye")).text == "goodbye"
        (hung,) = asr.pids
        os.kill(hung, signal.SIGSTOP)
        asr.start(ANN, PHRASES)
        for _ in range(4 * MAX_BACKLOG):  # a stopped child's pipe holds some thousands of these
            asr.feed(ANN, np.zeros(1, np.int16))
        asr.finish(ANN)
        assert asr.poll(LONG_S) == {ANN: NOTHING}
        assert asr.hangs == 1
        assert hear(asr, ANN, caller_says(tts, "goodbye")).text == "goodbye"
        assert not is_running(hung)


def test_another_child_starts_before_there_is_work_for_it(tts: EspeakTts):
    with closing_asr(SphinxAsr(processes=1, deadline_s=LONG_S)) as asr:
        asr.start(ANN, PHRASES)
        assert hear(asr, BOB, caller_says(tts, "goodbye")).text == "goodbye"
        (first,) = asr.pids
        os.kill(first, signal.SIGSTOP)
        asr.finish(ANN)
        os.kill(first, signal.SIGKILL)
        assert asr.poll(LONG_S) == {ANN: NOTHING}
        assert wait_until(lambda: asr.pids not in ([], [first]))


def test_close_leaves_no_process_behind_even_a_stopped_one(tts: EspeakTts):
    with closing_asr(SphinxAsr(processes=2, deadline_s=LONG_S)) as asr:
        for call in (ANN, BOB):
            hear(asr, call, caller_says(tts, "goodbye"))
        pids = asr.pids
        os.kill(pids[0], signal.SIGSTOP)
        tell(asr, ANN, human_speech(0.0, 11.0))
    assert pids
    assert not any(map(is_running, pids))
