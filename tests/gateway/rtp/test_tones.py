import numpy as np
import pytest

from gateway.rtp.tones import ToneDetector
from tests.speech import jfk_ulaw
from wire.audio.g711 import decode_ulaw, encode_ulaw

LOW = (697, 770, 852, 941)
HIGH = (1_209, 1_336, 1_477, 1_633)
KEYS = "123A456B789C*0#D"


def tone(key: str, ms: float, low_db=-12.0, high_db=-12.0, off=0.0, high_off=None) -> np.ndarray:
    """A key at levels relative to full scale, its frequencies ``off`` by a part; through µ-law, as on a line."""
    high_off = off if high_off is None else high_off
    row, column = divmod(KEYS.index(key), 4)
    t = np.arange(round(ms * 8)) / 8_000
    wave = 10 ** (low_db / 20) * np.sin(2 * np.pi * LOW[row] * (1 + off) * t + 0.3)
    wave += 10 ** (high_db / 20) * np.sin(2 * np.pi * HIGH[column] * (1 + high_off) * t)
    return decode_ulaw(encode_ulaw(np.rint(wave * 32_767 * 0.99).clip(-32_768, 32_767).astype(np.int16)))


def silence(ms: float) -> np.ndarray:
    return np.zeros(round(ms * 8), np.int16)


def keys(*pieces: np.ndarray, split: int = 160) -> str:
    pcm = np.concatenate([silence(30), *pieces, silence(60)])
    detector = ToneDetector()
    return "".join(detector.push(pcm[at : at + split]) for at in range(0, len(pcm), split))


def test_every_key_is_found_once():
    assert keys(*(piece for key in KEYS for piece in (tone(key, 80), silence(60)))) == KEYS


@pytest.mark.parametrize("key", KEYS)
def test_forty_milliseconds_are_a_key_wherever_they_begin(key):
    for shift in range(0, 40, 7):
        assert keys(silence(shift / 8), tone(key, 40)) == key


@pytest.mark.parametrize("key", KEYS)
def test_twenty_three_milliseconds_are_none(key):
    for shift in range(0, 40, 7):
        assert keys(silence(shift / 8), tone(key, 23)) == ""


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_frequencies_off_by_one_and_a_half_percent_are_a_key(key, off):
    assert keys(tone(key, 60, off=off)) == key


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("off", [-0.035, 0.035])
def test_frequencies_off_by_three_and_a_half_percent_are_none(key, off):
    assert keys(tone(key, 200, off=off)) == ""
    assert keys(tone(key, 200, off=off, high_off=0.0)) == ""
    assert keys(tone(key, 200, off=0.0, high_off=off)) == ""


def test_twist_is_borne_as_the_standard_says_and_no_further():
    assert keys(tone("5", 60, low_db=-16.5, high_db=-13.0)) == "5"
    assert keys(tone("5", 60, low_db=-13.0, high_db=-20.5)) == "5"
    assert keys(tone("5", 60, low_db=-20.0, high_db=-13.0)) == ""
    assert keys(tone("5", 60, low_db=-13.0, high_db=-24.0)) == ""


def test_levels_from_loud_to_faint_are_heard_and_crosstalk_is_not():
    assert keys(tone("8", 60, -7, -7)) == "8"
    assert keys(tone("8", 60, -33, -33)) == "8"
    assert keys(tone("8", 60, -42, -42)) == ""


def test_one_tone_alone_is_no_key():
    assert keys(tone("8", 200, low_db=-12, high_db=-90)) == ""


def test_a_pause_of_forty_milliseconds_parts_two_presses_and_one_of_ten_does_not():
    assert keys(tone("1", 60), silence(40), tone("1", 60)) == "11"
    assert keys(tone("1", 60), silence(10), tone("1", 60)) == "1"


def test_a_long_press_is_one_key():
    assert keys(tone("0", 3_000)) == "0"


def test_any_split_gives_the_same_keys():
    pieces = [tone("3", 70), silence(50), tone("#", 45)]
    for split in (1, 33, 80, 101, 480, 4_000):
        assert keys(*pieces, split=split) == "3#"


def test_a_key_is_heard_over_line_noise():
    rng = np.random.default_rng(1)
    noisy = tone("6", 80, -15, -15).astype(float)
    noisy += rng.normal(0, 32_767 * 10 ** (-33 / 20), len(noisy))
    assert keys(noisy.astype(np.int16)) == "6"


def test_speech_presses_no_key():
    speech = decode_ulaw(jfk_ulaw())
    for gain in (0.25, 0.5, 1.0, 1.7):
        assert keys((speech * gain).clip(-32_768, 32_767).astype(np.int16)) == ""


def test_chords_of_music_and_dial_tones_press_no_key():
    t = np.arange(16_000) / 8_000
    for pair in ((350, 440), (440, 480), (480, 620), (425, 850), (697, 880), (1_209, 1_480)):
        wave = 6_000 * sum((np.sin(2 * np.pi * hz * t) for hz in pair), np.zeros_like(t))
        assert keys(wave.astype(np.int16)) == ""


def test_noise_presses_no_key():
    rng = np.random.default_rng(2)
    assert keys((rng.normal(0, 4_000, 80_000)).clip(-32_768, 32_767).astype(np.int16)) == ""
