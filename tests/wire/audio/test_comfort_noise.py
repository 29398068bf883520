"""Noise instead of nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.audio.codecs import Codec
from wire.audio.comfort_noise import LEVEL_DBFS, comfort_noise, enliven
from wire.audio.g711 import decode


@given(st.sampled_from(list(Codec)), st.integers(0, 2_000), st.integers(0, 2**32))
def test_it_is_as_long_as_asked_and_the_same_for_the_same_seed(codec: Codec, samples: int, seed: int) -> None:
    noise = comfort_noise(codec, samples, seed)
    assert len(noise) == samples * codec.bytes_per_sample
    assert noise == comfort_noise(codec, samples, seed)


@pytest.mark.parametrize("codec", list(Codec))
def test_its_level_is_that_of_a_quiet_line_and_it_is_not_silence(codec: Codec) -> None:
    pcm = decode(codec, comfort_noise(codec, 16_000, [7, 1])).astype(np.float64)
    assert 20 * np.log10(np.sqrt(np.mean(pcm**2)) / 32_768) == pytest.approx(LEVEL_DBFS, abs=1.0)
    assert abs(pcm.mean()) < 1.5
    assert np.abs(pcm).max() < 250
    longest_run = max(len(run) for run in np.split(pcm, np.flatnonzero(np.diff(pcm)) + 1))
    assert longest_run < 10


def test_other_seeds_give_other_noise() -> None:
    assert len({comfort_noise(Codec.PCMU, 400, [call, chunk]) for call in range(5) for chunk in range(5)}) == 25


def test_digital_silence_comes_alive_and_sound_is_not_touched() -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(0, 1_000, (2, 3_200)).astype(np.int16)
    assert enliven(sound, 8_000) is sound
    sound[1, 800:1_640] = 0
    live = enliven(sound, 8_000)
    assert np.array_equal(live[0], sound[0])
    assert np.array_equal(live[1, :800], sound[1, :800])
    assert np.array_equal(live[1, 1_600:], sound[1, 1_600:]), "less than 10 ms is part of the sound"
    assert 20 < live[1, 800:1_600].astype(float).std() < 50
    assert not sound[1, 800:1_600].any(), "what was given is not changed"


@pytest.mark.parametrize("codec", Codec)
def test_the_silence_of_every_codec_is_told(codec: Codec) -> None:
    silent = decode(codec, codec.silence * codec.sample_rate_hz).reshape(1, -1)
    assert (np.abs(enliven(silent, codec.sample_rate_hz)) > 8).mean() > 0.5


def test_what_is_shorter_than_a_block_stays() -> None:
    silent = np.zeros((1, 50), np.int16)
    assert enliven(silent, 8_000) is silent
