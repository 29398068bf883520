from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.seams import Pcm
from model_worker.vad.silero import FRAME_SAMPLES, SileroVad
from tests.speech import jfk_ulaw
from wire.audio.g711 import decode_ulaw
from wire.audio.resample import Resampler


def speech(start_s: float, end_s: float) -> Pcm:
    resampler = Resampler(8_000, 16_000)
    pcm = decode_ulaw(jfk_ulaw())[int(start_s * 8_000) : int(end_s * 8_000)]
    return np.concatenate((resampler.push(pcm), resampler.flush()))


PIECE = speech(0.0, 1.5)
WHOLE = SileroVad().push(PIECE)


def test_speech_is_told_from_silence_and_from_noise():
    noise = np.random.default_rng(1).normal(0, 300, 16_000).astype(np.int16)
    assert np.mean(np.array(SileroVad().push(speech(5.5, 7.5))) > 0.5) > 0.8
    assert max(SileroVad().push(noise)) < 0.5
    assert max(SileroVad().push(np.zeros(16_000, np.int16))) < 0.1


def test_the_network_is_spared_a_line_that_is_only_noisy():
    vad = SileroVad()
    noise = np.random.default_rng(2).normal(0, 100, 160_000).astype(np.int16)
    assert np.mean(np.array(vad.push(noise)) == 0.0) > 0.95


def test_a_caller_twenty_decibels_down_is_heard_like_a_loud_one():
    loud = speech(0, 11)
    soft = (loud * 0.1).astype(np.int16)
    at_full, at_a_tenth = (np.array(SileroVad().push(pcm)) > 0.5 for pcm in (loud, soft))
    assert np.sum(at_a_tenth) >= 0.95 * np.sum(at_full)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(PIECE)), max_size=12))
def test_any_split_of_the_sound_gives_the_same_probabilities(cuts: list[int]):
    vad = SileroVad()
    edges = [0, *sorted(cuts), len(PIECE)]
    pieces = [vad.push(PIECE[start:end]) for start, end in pairwise(edges)]
    assert [probability for piece in pieces for probability in piece] == WHOLE


def test_a_frame_is_answered_by_the_push_that_completes_it():
    vad = SileroVad()
    assert vad.push(PIECE[: FRAME_SAMPLES - 1]) == []
    assert len(vad.push(PIECE[FRAME_SAMPLES - 1 : FRAME_SAMPLES])) == 1


def test_reset_forgets_the_sound_before():
    vad = SileroVad()
    vad.push(speech(5.5, 7.0)[:-100])
    vad.reset()
    assert vad.push(PIECE) == WHOLE


def test_two_calls_do_not_hear_each_other():
    one, two = SileroVad(), SileroVad()
    mixed = []
    for start in range(0, len(PIECE), 6_400):
        mixed += one.push(PIECE[start : start + 6_400])
        two.push(speech(5.5, 5.9))
    assert mixed == WHOLE
