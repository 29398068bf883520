"""Seconds of speech by loudness: tones of known length in silence, in noise, and after it."""

import numpy as np
import pytest

from gateway.runner.voice_meter import FRAME_S, VoiceMeter
from wire.audio.codecs import Codec
from wire.audio.g711 import encode


def tone(codec: Codec, seconds: float, dbfs: float) -> np.ndarray:
    at = np.arange(round(seconds * codec.sample_rate_hz)) / codec.sample_rate_hz
    sound: np.ndarray = 32_767 * 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * 440 * at)
    return sound


def noise(codec: Codec, seconds: float, dbfs: float, seed: int = 1) -> np.ndarray:
    samples = round(seconds * codec.sample_rate_hz)
    return np.random.default_rng(seed).normal(0, 32_767 * 10 ** (dbfs / 20), samples)


def spoken_s(meter: VoiceMeter, codec: Codec, sound: np.ndarray) -> float:
    """Seconds found, fed in chunks of 0.4 s."""
    octets = encode(codec, sound.round().clip(-32_768, 32_767).astype(np.int16))
    size = round(0.4 * codec.sample_rate_hz) * codec.bytes_per_sample
    found = sum(int(meter.voiced(octets[at : at + size]).sum()) for at in range(0, len(octets), size))
    return found * FRAME_S


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
def test_a_tone_in_silence_has_its_length(codec):
    sound = np.zeros(round(4 * codec.sample_rate_hz))
    start = codec.sample_rate_hz
    sound[start : start + round(0.5 * codec.sample_rate_hz)] = tone(codec, 0.5, -20)
    assert spoken_s(VoiceMeter(codec), codec, sound) == pytest.approx(0.5, abs=FRAME_S)


def test_silence_and_what_is_below_50_dbfs_is_no_speech():
    assert spoken_s(VoiceMeter(Codec.PCMU), Codec.PCMU, np.zeros(32_000)) == 0
    assert spoken_s(VoiceMeter(Codec.L16_16K), Codec.L16_16K, tone(Codec.L16_16K, 2, -53)) == 0


def test_the_noise_of_a_line_is_learned_within_two_seconds_and_speech_above_it_found():
    meter = VoiceMeter(Codec.PCMU)
    assert spoken_s(meter, Codec.PCMU, noise(Codec.PCMU, 6, -40)) < 2.0
    assert spoken_s(meter, Codec.PCMU, noise(Codec.PCMU, 4, -40, seed=2)) == 0
    talking = noise(Codec.PCMU, 4, -40, seed=3)
    talking[8_000:16_000] += tone(Codec.PCMU, 1, -20)
    assert spoken_s(meter, Codec.PCMU, talking) == pytest.approx(1.0, abs=2 * FRAME_S)


def test_a_line_that_falls_quiet_is_heard_in_again_at_once():
    meter = VoiceMeter(Codec.PCMU)
    spoken_s(meter, Codec.PCMU, noise(Codec.PCMU, 10, -25))
    quiet = np.zeros(6_400)
    quiet[3_200:4_800] = tone(Codec.PCMU, 0.2, -35)
    assert spoken_s(meter, Codec.PCMU, quiet) == pytest.approx(0.2, abs=FRAME_S)


def test_less_than_a_frame_is_nothing():
    meter = VoiceMeter(Codec.PCMU)
    assert len(meter.voiced(b"")) == 0
    assert len(meter.voiced(b"\x80" * 159)) == 0
    assert len(meter.voiced(b"\x80" * 400)) == 2
