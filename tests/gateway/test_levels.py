"""The packed levels of a voice: where they lie, how high they are, how many are kept."""

import numpy as np
import pytest

from gateway.runner.levels import MAX_STEPS, LevelTape, level_of
from wire.audio.codecs import Codec
from wire.audio.g711 import encode

CODECS = [Codec.PCMU, Codec.PCMA, Codec.L16_16K, Codec.L16_24K]


def step_of(codec: Codec) -> int:
    return codec.sample_rate_hz // 20


def sound(codec: Codec, peaks: list[int]) -> bytes:
    """50 ms steps of silence, each with one sample of this amplitude in its middle."""
    pcm = np.zeros((len(peaks), step_of(codec)), np.int16)
    pcm[:, step_of(codec) // 2] = peaks
    return encode(codec, pcm.reshape(-1))


@pytest.mark.parametrize(
    ("amplitude", "level"), [(32_768, 100), (16_384, 90), (3_277, 67), (327, 33), (33, 0), (1, 0), (0, 0)]
)
def test_a_level_is_a_hundredth_of_sixty_decibels(amplitude: int, level: int):
    assert level_of(np.array([amplitude], np.int32))[0] == level


@pytest.mark.parametrize("codec", CODECS)
def test_a_step_is_as_high_as_its_loudest_sample_of_either_sign(codec: Codec):
    tape = LevelTape(codec)
    tape.push(0, sound(codec, [0, 16_000, -16_000, 1_000]))
    silent, high, low, soft = tape.snapshot()
    assert silent <= 2
    assert abs(high - 90) <= 1
    assert abs(low - high) <= 1
    assert abs(soft - 49) <= 1


def test_the_lowest_sample_there_is_is_full_scale():
    tape = LevelTape(Codec.L16_16K)
    tape.push(0, np.full(800, -32_768, np.int16).tobytes())
    assert tape.snapshot() == bytes([100])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("piece_samples", [1, 37, 160, 399, 401, 3_200])
def test_any_split_of_the_sound_gives_the_same_levels(codec: Codec, piece_samples: int):
    chance = np.random.default_rng(1)
    envelope = np.repeat(chance.uniform(0, 1, 20), step_of(codec))
    payload = encode(codec, (chance.uniform(-32_000, 32_000, len(envelope)) * envelope).astype(np.int16))
    whole, split = LevelTape(codec), LevelTape(codec)
    whole.push(0, payload)
    size = piece_samples * codec.bytes_per_sample
    for number, at in enumerate(range(0, len(payload), size)):
        split.push(at // codec.bytes_per_sample, payload[at : at + size])
        if number % 3 == 0:
            split.measure()
    assert split.snapshot() == whole.snapshot()
    assert len(whole.snapshot()) == 20


def test_silence_lies_between_sounds_that_are_apart():
    tape = LevelTape(Codec.PCMU)
    tape.push(0, sound(Codec.PCMU, [16_000]))
    tape.push(1_200, sound(Codec.PCMU, [16_000]))
    assert list(tape.snapshot()) == [90, 0, 0, 90]


def test_a_first_chunk_of_another_length_shifts_nothing():
    codec = Codec.L16_16K  # 1.035 s ends within a step
    tape = LevelTape(codec)
    pcm = np.zeros(16_560 + 16_000, np.int16)
    pcm[16_559] = pcm[16_560] = 16_384
    tape.push(0, pcm[:16_560].tobytes())
    tape.measure()
    tape.push(16_560, pcm[16_560:].tobytes())
    levels = tape.snapshot()
    assert [step for step, level in enumerate(levels) if level] == [20]
    assert len(levels) == 41


def test_what_was_taken_back_is_silent_and_what_was_heard_of_the_step_stays():
    tape = LevelTape(Codec.PCMU)
    tape.push(0, sound(Codec.PCMU, [16_000] * 4))
    assert tape.take_changed() == (0, bytes([90] * 4))
    tape.cut(500)
    assert tape.take_changed() == (2, bytes(2))
    assert list(tape.snapshot()) == [90, 90, 0, 0]


def test_only_what_changed_is_told_again():
    tape = LevelTape(Codec.PCMU)
    assert tape.take_changed() is None
    tape.push(0, sound(Codec.PCMU, [16_000] * 8))
    assert tape.take_changed() == (0, bytes([90] * 8))
    tape.push(3_200, sound(Codec.PCMU, [1_000] * 8))
    first, levels = tape.take_changed() or (0, b"")
    assert (first, len(levels)) == (8, 8)
    assert tape.take_changed() is None


def test_an_hour_is_kept_and_the_oldest_goes_first():
    tape = LevelTape(Codec.PCMU)
    loud, soft = sound(Codec.PCMU, [16_000] * 8), sound(Codec.PCMU, [1_000] * 8)
    chunks = MAX_STEPS // 8 + 400
    for chunk in range(chunks):
        tape.push(chunk * 3_200, loud if chunk == chunks - 1 else soft)
        tape.measure()
    levels = tape.snapshot()
    assert MAX_STEPS <= len(levels) < MAX_STEPS + 1_200
    assert tape.first_step + len(levels) == chunks * 8
    assert list(levels[-8:]) == [90] * 8


def test_what_belongs_before_the_hour_that_is_kept_is_passed_over():
    tape = LevelTape(Codec.PCMU)
    tape.push((MAX_STEPS + 5_000) * 400, sound(Codec.PCMU, [16_000]))
    tape.measure()
    assert tape.first_step > 0
    tape.push(0, sound(Codec.PCMU, [16_000] * 4))
    assert sum(level > 0 for level in tape.snapshot()) == 1
