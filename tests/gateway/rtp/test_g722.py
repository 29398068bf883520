"""Wideband speech in half the bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.g722 import DELAY_SAMPLES, SAMPLE_RATE_HZ, G722Decoder, G722Encoder


def tone(hz: float, samples: int = 3_200, level: float = 8_000) -> bytes:
    wave = level * np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE_HZ)
    return bytes(wave.astype("<i2").tobytes())


def test_twenty_milliseconds_are_160_octets_and_320_samples():
    octets = G722Encoder().encode(tone(440, 320))
    assert len(octets) == 160
    assert len(G722Decoder().decode(octets)) == 640


@pytest.mark.parametrize(("hz", "least_db"), [(300, 30), (1_000, 30), (3_000, 20), (5_500, 12)])
def test_a_tone_survives_and_comes_out_22_samples_later(hz, least_db):
    pcm = tone(hz)
    heard = np.frombuffer(G722Decoder().decode(G722Encoder().encode(pcm)), "<i2").astype(float)
    sent = np.frombuffer(pcm, "<i2").astype(float)
    settled = slice(640, 3_000)  # the first 40 ms adapt
    noise = heard[DELAY_SAMPLES:][settled] - sent[settled]
    assert 10 * np.log10((sent[settled] ** 2).mean() / (noise**2).mean()) > least_db


@given(st.lists(st.integers(0, 400), max_size=8))
def test_any_split_of_the_input_gives_the_same_stream(pairs):
    pcm = tone(700, 2 * sum(pairs))
    encoder, decoder, start = G722Encoder(), G722Decoder(), 0
    octets, heard = b"", b""
    for count in pairs:
        piece = encoder.encode(pcm[start : start + 4 * count])
        octets += piece
        heard += decoder.decode(piece)
        start += 4 * count
    assert octets == G722Encoder().encode(pcm)
    assert heard == G722Decoder().decode(octets)


def test_streams_do_not_share_their_state():
    one, other = G722Encoder(), G722Encoder()
    first = one.encode(tone(900))
    one.encode(tone(200))
    assert other.encode(tone(900)) == first


def test_the_high_band_is_in_the_top_two_bits():
    octets = G722Encoder().encode(tone(1_000))
    muffled = bytes(octet & 0x3F | 0xC0 for octet in octets)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(G722Decoder().decode(muffled), "<i2")[640:].astype(float)))
    peak_hz = np.argmax(spectrum) * SAMPLE_RATE_HZ / (2 * (len(spectrum) - 1))
    assert abs(peak_hz - 1_000) < 20
    mistaken = bytes(octet & 0xFC for octet in octets)  # were it the bottom two, this would be the same
    assert G722Decoder().decode(mistaken) != G722Decoder().decode(octets)


def test_half_an_octet_of_samples_is_refused():
    with pytest.raises(ValueError, match="pairs of 16-bit samples, got 6 bytes"):
        G722Encoder().encode(bytes(6))


@given(st.binary(max_size=300))
def test_any_octets_decode(octets):
    assert len(G722Decoder().decode(octets)) == 4 * len(octets)
