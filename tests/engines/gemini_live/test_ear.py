"""What the server is given to hear while the agent's voice is audible."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.duplex.gemini_live.ear import INTERRUPTION_S, TAIL_S, Ear, Playback
from model_worker.seams import Pcm
from wire.audio.codecs import Codec

RATE_HZ, CHUNK = 16_000, 1_600


def chunk(value: int) -> Pcm:
    return np.full(CHUNK, value, np.int16)


def test_a_caller_over_silence_is_heard_as_he_is():
    ear = Ear(Codec.L16_16K)
    assert np.array_equal(ear.hear(chunk(5_000), hold=False), chunk(5_000))
    assert len(ear.release()) == 0


def test_over_the_agent_the_server_hears_quiet_noise_as_long_as_the_caller():
    ear = Ear(Codec.L16_16K)
    heard = [ear.hear(chunk(5_000), hold=True) for _ in range(20)]
    assert [len(sound) for sound in heard] == [CHUNK] * 20
    assert all(0 < np.abs(sound).max() < 300 for sound in heard)
    assert not np.array_equal(heard[0], heard[1])


def test_who_gets_the_floor_is_heard_from_before_that_was_decided():
    ear = Ear(Codec.L16_16K)
    for value in range(100):
        ear.hear(chunk(value), hold=True)
    released = ear.release()
    assert len(released) == INTERRUPTION_S * RATE_HZ
    assert released[-1] == 99
    assert np.array_equal(ear.hear(chunk(7), hold=False), chunk(7)), "and is heard once"


def test_who_answers_the_last_word_early_is_heard_from_his_begin():
    ear = Ear(Codec.L16_16K)
    for value in range(40):
        ear.hear(chunk(value), hold=True)
    heard = ear.hear(chunk(99), hold=False)
    assert len(heard) == round(TAIL_S * RATE_HZ) + CHUNK
    assert list(heard[::CHUNK]) == [34, 35, 36, 37, 38, 39, 99]


@given(st.lists(st.booleans(), max_size=80))
def test_the_server_never_hears_less_time_than_passed(holds):
    ear = Ear(Codec.L16_16K)
    heard = sum(len(ear.hear(chunk(1), hold=hold)) for hold in holds)
    gaps = sum(before and not now for before, now in pairwise(holds))
    assert len(holds) * CHUNK <= heard <= len(holds) * CHUNK + gaps * TAIL_S * RATE_HZ


def test_a_voice_is_audible_while_it_plays_and_was_not_heard_to_its_end():
    playback = Playback()
    assert not playback.audible()
    playback.add(1.0, new_turn=True)
    assert not playback.audible(), "it has not begun"
    playback.played(0.5)
    assert playback.audible()
    playback.played(1.0)
    assert playback.over
    assert not playback.audible()


def test_a_voice_of_which_nothing_more_is_told_has_ended():
    playback = Playback()
    playback.add(5.0, new_turn=True)
    playback.played(0.5)
    assert playback.audible()
    assert not playback.audible()
    assert playback.over


@pytest.mark.parametrize("pause", [False, True])
def test_turns_play_one_after_the_other(pause):
    playback = Playback()
    playback.add(1.0, new_turn=True)
    playback.add(2.0, new_turn=True)
    playback.played(1.0)
    assert playback.audible(), "there is another one"
    if pause:
        assert not playback.audible()
    playback.played(0.1)
    assert playback.audible()
    playback.played(2.0)
    assert playback.over


def test_after_an_interruption_nothing_is_audible():
    playback = Playback()
    playback.add(5.0, new_turn=True)
    playback.played(0.5)
    playback.drop()
    assert playback.over
    assert not playback.audible()
