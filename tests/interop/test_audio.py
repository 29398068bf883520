"""The proof of audio: it must find each fault that was put in, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest

from tests.interop.audio import Samples, assert_same_audio, compare, read_wav, write_wav

RATE = 8_000
PACKET = 160


def speech(seconds: float, seed: int = 1) -> Samples:
    """Coloured noise whose loudness comes and goes: unlike itself at every other place, as speech is."""
    chance = np.random.default_rng(seed)
    samples = np.convolve(chance.normal(0, 1, round(seconds * RATE)), np.ones(8) / 8, mode="same")
    loudness = 1.0 + 0.8 * np.sin(np.arange(len(samples)) * 2 * np.pi / RATE * 1.3)
    return (samples * loudness * 6_000).astype(np.int16)


def test_a_copy_fits_perfectly_and_without_lag():
    source = speech(5)
    table = assert_same_audio(source, source, RATE, at_least=0.9999, seconds=5)
    assert [row.lag_s for row in table] == [0.0] * 5


@pytest.mark.parametrize("shift", [1, 159, 160, 4_321])
def test_a_late_recording_shows_its_lag_to_the_sample(shift: int):
    source = speech(6)
    recording = np.concatenate((np.zeros(shift, np.int16), source))[: len(source)]
    table = assert_same_audio(recording, source, RATE, at_least=0.9999, seconds=5)
    assert {round(row.lag_s * RATE) for row in table[1:]} == {shift}


def test_a_recording_that_starts_late_in_the_source_has_a_negative_lag():
    source = speech(6)
    assert compare(source[2_000:], source, RATE)[0].lag_s == -2_000 / RATE


def test_loudness_does_not_matter_but_noise_shows():
    source = speech(4)
    assert compare((source // 4).astype(np.int16), source, RATE)[1].correlation > 0.999
    noise = np.random.default_rng(7).normal(0, np.std(source.astype(float)), len(source))
    noisy = np.clip(source + noise, -32_768, 32_767).astype(np.int16)
    assert 0.6 < compare(noisy, source, RATE)[1].correlation < 0.8


def test_one_dropped_packet_moves_the_lag_by_its_length():
    source = speech(6)
    recording = np.delete(source, slice(20_100, 20_100 + PACKET))
    table = compare(recording, source, RATE)
    assert round((table[4].lag_s - table[1].lag_s) * RATE) == -PACKET
    assert table[2].correlation < 0.95
    with pytest.raises(AssertionError, match="expected every second to fit"):
        assert_same_audio(recording, source, RATE)
    with pytest.raises(AssertionError, match="expected lags within"):
        assert_same_audio(recording, source, RATE, at_least=0.5)


def test_one_packet_played_as_silence_keeps_the_lag_and_lowers_one_second():
    source = speech(6)
    recording = source.copy()
    recording[20_100 : 20_100 + PACKET] = 0
    table = compare(recording, source, RATE)
    assert {row.lag_s for row in table} == {0.0}
    assert [row.correlation < 0.9999 for row in table] == [False, False, True, False, False, False]


def test_a_doubled_packet_moves_the_lag_the_other_way():
    source = speech(6)
    recording = np.insert(source, 20_100, source[20_100 - PACKET : 20_100])
    table = compare(recording, source, RATE)
    assert round((table[4].lag_s - table[1].lag_s) * RATE) == PACKET


def test_stretched_time_is_no_proof():
    source = speech(6)
    stretched = np.interp(np.arange(0, len(source), 1.01), np.arange(len(source)), source).astype(np.int16)
    with pytest.raises(AssertionError, match="expected every second to fit"):
        assert_same_audio(stretched, source, RATE)


def test_foreign_sound_fits_nowhere():
    assert max(row.correlation for row in compare(speech(4, seed=2), speech(4, seed=1), RATE)) < 0.2


def test_silence_proves_nothing():
    silence = np.zeros(5 * RATE, np.int16)
    assert compare(silence, speech(5), RATE) == []
    with pytest.raises(AssertionError, match="expected 3 s with sound, got 0"):
        assert_same_audio(silence, speech(5), RATE)


def test_samples_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="expected the recording as int16"):
        compare(np.zeros(RATE, np.float32), speech(2), RATE)
    with pytest.raises(ValueError, match="expected a source of at least"):
        compare(speech(2), speech(0.5), RATE)


def test_a_wav_file_survives_the_round_trip_and_a_header_never_finished(tmp_path: Path):
    path, samples = tmp_path / "a.wav", speech(1)
    write_wav(path, samples, RATE)
    again, rate = read_wav(path)
    assert rate == RATE
    assert np.array_equal(again, samples)
    raw = bytearray(path.read_bytes())
    raw[40:44] = bytes(4)
    path.write_bytes(bytes(raw))
    assert np.array_equal(read_wav(path)[0], samples)
