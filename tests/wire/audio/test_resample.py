"""Resampling: pieces equal the whole, lengths are exact, the telephone band survives, images do not."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.audio.resample import RATES_HZ, BatchResampler, Resampler

PAIRS = [(a, b) for a in RATES_HZ for b in RATES_HZ if a != b]
SPEECH_PAIRS = [(a, b) for a, b in PAIRS if {a, b} <= {8_000, 16_000, 24_000}]
Pcm = npt.NDArray[np.int16]


def sine(hz: float, rate_hz: int, seconds: float = 0.5, level: float = 16_000) -> Pcm:
    return np.rint(level * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.int16)


def level_db(pcm: Pcm, hz: float, rate_hz: int) -> float:
    """Level of one tone in dB of ``sine``'s, over whole periods past the filter's start."""
    settled = pcm[rate_hz // 10 : rate_hz // 10 * 4].astype(float)
    turns = np.exp(-2j * np.pi * hz * np.arange(len(settled)) / rate_hz)
    return float(20 * np.log10(max(2 * abs(settled @ turns) / len(settled), 1e-9) / 16_000))


def noise(seed: int, samples: int) -> Pcm:
    return np.random.default_rng(seed).integers(-32_768, 32_768, samples).astype(np.int16)


@given(
    pair=st.sampled_from(PAIRS),
    seed=st.integers(0, 1_000),
    cuts=st.lists(st.integers(0, 700), max_size=12),
)
def test_resampling_in_pieces_equals_resampling_whole(pair: tuple[int, int], seed: int, cuts: list[int]) -> None:
    whole = noise(seed, 700)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = Resampler(*pair)
    joined = [pieces.push(whole[a:b]) for a, b in pairwise(edges)]
    once = Resampler(*pair)
    assert np.array_equal(np.concatenate(joined), once.push(whole))
    assert np.array_equal(pieces.flush(), once.flush())


@given(pair=st.sampled_from(PAIRS), lengths=st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_output_length_never_drifts(pair: tuple[int, int], lengths: list[int]) -> None:
    resampler = Resampler(*pair)
    pushed = returned = 0
    for length in lengths:
        pushed += length
        returned += len(resampler.push(np.zeros(length, np.int16)))
        assert returned == -(-pushed * pair[1] // pair[0])


@pytest.mark.parametrize("pair", SPEECH_PAIRS)
def test_speech_rates_are_delayed_by_no_more_than_4_ms(pair: tuple[int, int]) -> None:
    resampler = Resampler(*pair)
    assert resampler.delay_s <= 0.004
    click = np.zeros(pair[0] // 10, np.int16)
    click[0] = 30_000
    assert np.abs(resampler.push(click)).argmax() / pair[1] <= 0.004


@pytest.mark.parametrize("pair", PAIRS)
def test_telephone_band_passes_within_half_a_decibel(pair: tuple[int, int]) -> None:
    for hz in (200, 1_000, 2_000, 3_000, 3_400):
        out = Resampler(*pair).push(sine(hz, pair[0]))
        assert abs(level_db(out, hz, pair[1])) < 0.5, hz


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[0] > p[1]])
def test_what_the_lower_rate_cannot_hold_is_40_db_down(pair: tuple[int, int]) -> None:
    in_hz, out_hz = pair
    for hz in (0.58 * out_hz, 0.7 * out_hz, 0.95 * out_hz):
        if hz < in_hz / 2:
            alias_hz = abs(hz - out_hz * round(hz / out_hz))
            out = Resampler(*pair).push(sine(hz, in_hz))
            assert level_db(out, alias_hz, out_hz) < -40, hz


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[0] < p[1]])
def test_images_of_the_lower_rate_are_40_db_down(pair: tuple[int, int]) -> None:
    in_hz, out_hz = pair
    for hz in (0.1 * in_hz, 0.42 * in_hz):
        image_hz = in_hz - hz
        if image_hz < out_hz / 2:
            assert level_db(Resampler(*pair).push(sine(hz, in_hz)), image_hz, out_hz) < -40, hz


@pytest.mark.parametrize("pair", PAIRS)
def test_a_constant_stays_itself_and_full_scale_is_clipped(pair: tuple[int, int]) -> None:
    out = Resampler(*pair).push(np.full(4_000, 12_345, np.int16))
    assert (out[len(out) // 2 :] == 12_345).all()
    square = np.where(np.arange(4_000) // 20 % 2, 32_767, -32_768).astype(np.int16)
    loud = Resampler(*pair).push(square)
    assert loud.max() == 32_767
    assert loud.min() == -32_768


def test_equal_rates_pass_through_untouched() -> None:
    resampler = Resampler(8_000, 8_000)
    assert np.array_equal(resampler.push(noise(1, 100)), noise(1, 100))
    assert resampler.delay_s == 0
    assert len(resampler.flush()) == 0


def test_flush_ends_the_stream_and_the_next_push_begins_another() -> None:
    resampler = Resampler(22_050, 8_000)
    first = resampler.push(noise(1, 999))
    assert 0 < len(resampler.flush()) / 8_000 <= 2 * resampler.delay_s
    assert np.array_equal(resampler.push(noise(1, 999)), first)


def test_an_unknown_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="44100"):
        Resampler(44_100, 8_000)


@pytest.mark.parametrize("pair", [*SPEECH_PAIRS, (48_000, 16_000), (8_000, 8_000)])
def test_a_batch_gives_each_stream_the_bits_of_its_own_resampler(pair: tuple[int, int]) -> None:
    batch = BatchResampler(*pair)
    chunk = pair[0] * 2 // 5
    streams = [noise(seed, 3 * chunk) for seed in range(4)]
    alone = [Resampler(*pair) for _ in streams]
    histories = np.stack([batch.new_history()] * len(streams))
    for n in range(3):
        pieces = np.stack([stream[n * chunk : (n + 1) * chunk] for stream in streams])
        out, histories = batch.push(histories, pieces)
        for row, resampler, piece in zip(out, alone, pieces, strict=True):
            assert np.array_equal(row, resampler.push(piece))


def test_a_batch_refuses_pieces_that_would_shift_the_phase() -> None:
    batch = BatchResampler(24_000, 16_000)
    with pytest.raises(ValueError, match="multiple of 3"):
        batch.push(batch.new_history()[None], np.zeros((1, 100), np.int16))
