"""What of the caller's sound reaches the recognizer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.duplex.receptionist.ear import Ear
from model_worker.seams import Pcm, Recognition
from tests.model_worker.receptionist.fakes import LEVELS, QUIET, LevelAsr, LevelVad
from wire.ids import CallId

CALL = CallId("call-1")


def utterance(start: int, length: int) -> Pcm:
    pcm = np.zeros(6_400 * 8, np.int16)
    pcm[start : start + length] = LEVELS["yes"]
    return pcm


@settings(max_examples=40)
@given(st.integers(6_400, 12_800), st.integers(4_000, 16_000), st.sampled_from([640, 1_280, 6_400, 16_000]))
def test_every_sample_of_an_utterance_and_what_came_before_is_fed_once(start: int, length: int, cut: int) -> None:
    asr = LevelAsr()
    fed: list[Pcm] = []
    ear = Ear(CALL, LevelVad(), asr)
    pcm = utterance(start, length)
    for at in range(0, len(pcm), cut):
        ear.hear(pcm[at : at + cut], ("yes",), agent_audible=False)
        fed = asr.fed.get(CALL, fed)
    heard = np.concatenate(fed)
    assert np.count_nonzero(heard) == length
    first = int(np.flatnonzero(heard)[0])
    assert 4_800 - 3 * 512 <= first <= 4_800  # the quiet before it, less the frames that it took to be sure
    assert asr.ready == {CALL: Recognition("yes", 0.9)}


@pytest.mark.parametrize("stopped", [True, False])
def test_speech_over_the_agent_counts_only_when_the_agent_was_stopped(stopped: bool) -> None:
    ear = Ear(CALL, LevelVad(), LevelAsr())
    ear.hear(utterance(0, 6_400)[:6_400], ("yes",), agent_audible=True)
    if stopped:
        ear.agent_stopped()
    for _ in range(2):
        ear.hear(QUIET, ("yes",), agent_audible=not stopped)
    assert ear.awaiting
    assert ear.overheard is not stopped


def test_what_was_overheard_is_an_answer_when_the_agent_is_stopped_for_it() -> None:
    ear = Ear(CALL, LevelVad(), LevelAsr())
    ear.hear(utterance(0, 6_400)[:6_400], ("yes",), agent_audible=True)
    for _ in range(2):
        ear.hear(QUIET, ("yes",), agent_audible=True)
    assert ear.overheard
    ear.agent_stopped()
    assert not ear.overheard


def test_speech_and_quiet_are_told_to_a_frame() -> None:
    ear = Ear(CALL, LevelVad(), LevelAsr())
    ear.hear(utterance(6_400, 6_400), ("yes",), agent_audible=True)
    total_s = len(utterance(6_400, 6_400)) / 16_000
    assert ear.speech_s(10.0) == pytest.approx(0.4, abs=0.07)
    assert ear.quiet_s == pytest.approx(total_s - 0.8, abs=0.07)
    assert ear.speech_s(max(0.0, total_s - 0.8 - 0.1)) == 0.0


def test_a_result_nobody_waits_for_is_dropped() -> None:
    ear = Ear(CALL, LevelVad(), LevelAsr())
    ear.deliver(Recognition("yes", 0.9))
    assert ear.take_result() is None
