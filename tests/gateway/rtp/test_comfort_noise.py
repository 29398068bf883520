import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.comfort_noise import ComfortNoise
from tests.speech import is_quiet
from wire.audio.codecs import Codec
from wire.audio.g711 import decode


def level_dbov(noise: bytes, codec: Codec) -> float:
    pcm = decode(codec, noise).astype(float)
    return float(20 * np.log10(np.sqrt(np.mean(pcm**2)) / 32_767))


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
@pytest.mark.parametrize("level", [30, 45, 60])
def test_noise_has_the_level_the_sender_measured(codec, level):
    noise = ComfortNoise(codec)
    assert noise.receive(bytes([level]))
    assert level_dbov(noise.take(codec.sample_rate_hz), codec) == pytest.approx(-level, abs=1.0)


@pytest.mark.parametrize("codec", Codec)
def test_before_a_payload_there_is_quiet_noise(codec):
    assert is_quiet(ComfortNoise(codec).take(1_600), codec)


def test_a_level_below_sixteen_bits_is_quiet_noise_too():
    noise = ComfortNoise(Codec.PCMA)
    noise.receive(b"\x7f")
    assert is_quiet(noise.take(800), Codec.PCMA)


def test_the_first_coefficient_tilts_the_spectrum():
    """A first reflection coefficient near -1 is a low-pass: 1 / (1 - 0.9 z^-1)."""
    noise = ComfortNoise(Codec.L16_16K)
    noise.receive(bytes([40, 127 - 114]))
    pcm = decode(Codec.L16_16K, noise.take(16_000)).astype(float)
    power = np.abs(np.fft.rfft(pcm)) ** 2
    assert power[:2_000].sum() > 5 * power[4_000:].sum()
    assert level_dbov(noise.take(16_000), Codec.L16_16K) == pytest.approx(-40, abs=0.5)


def test_an_empty_payload_says_nothing():
    noise = ComfortNoise(Codec.PCMU)
    noise.receive(b"\x28")
    assert not noise.receive(b"")
    assert noise.take(80) != b"\xff" * 80


def test_pieces_follow_each_other_and_the_second_repeats():
    whole, pieces = ComfortNoise(Codec.PCMU), ComfortNoise(Codec.PCMU)
    whole.receive(b"\x28")
    pieces.receive(b"\x28")
    expected = whole.take(20_000)
    assert b"".join(pieces.take(n) for n in (1, 7_999, 3, 11_997)) == expected
    assert expected[:8_000] == expected[8_000:16_000]


@given(st.binary(min_size=1, max_size=40))
def test_any_payload_makes_noise_of_the_right_length(payload):
    noise = ComfortNoise(Codec.PCMU)
    noise.receive(payload)
    assert len(noise.take(333)) == 333
