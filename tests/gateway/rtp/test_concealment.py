import numpy as np
import pytest

from gateway.rtp.concealment import Concealer
from tests.speech import jfk_ulaw
from wire.audio.g711 import decode_ulaw
from wire.audio.resample import Resampler


def vowel(rate_hz: int, seconds: float, pitch_hz: float = 120.0) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = sum((np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 9)), np.zeros_like(t))
    return (wave * 4_000).astype(np.int16)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
@pytest.mark.parametrize("pitch_hz", [90.0, 120.0, 180.0, 260.0])
def test_a_lost_packet_of_a_vowel_is_hardly_missed(rate_hz, pitch_hz):
    signal = vowel(rate_hz, 0.5, pitch_hz)
    lost = round(0.02 * rate_hz)
    concealer = Concealer(rate_hz)
    concealer.start(signal[: rate_hz // 4])
    made = concealer.take(lost)
    assert made.dtype == np.int16
    assert correlation(made, signal[rate_hz // 4 : rate_hz // 4 + lost]) > 0.9


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_it_fades_to_silence_within_sixty_milliseconds(rate_hz):
    concealer = Concealer(rate_hz)
    concealer.start(vowel(rate_hz, 0.1))
    made = concealer.take(rate_hz)
    assert len(made) == round(0.06 * rate_hz)
    ten = rate_hz // 100
    levels = [np.abs(made[n * ten : (n + 1) * ten].astype(int)).max() for n in range(6)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > 2 * levels[4]
    assert levels[4] > 1.5 * levels[5] > 0
    assert len(concealer.take(160)) == 0


def test_pieces_give_the_same_samples_as_the_whole():
    signal = decode_ulaw(jfk_ulaw()[8_000:9_000])
    whole, pieces = Concealer(8_000), Concealer(8_000)
    whole.start(signal)
    pieces.start(signal)
    assert np.array_equal(whole.take(480), np.concatenate([pieces.take(n) for n in (1, 79, 200, 200)]))


def test_the_joint_to_what_came_is_no_louder_a_step_than_speech_itself():
    speech = decode_ulaw(jfk_ulaw())
    concealer = Concealer(8_000)
    for end in range(4_000, 84_000, 997):
        history = speech[end - 390 : end].astype(int)
        concealer.start(history.astype(np.int16))
        made = concealer.take(480).astype(int)
        if len(made):
            assert abs(made[0] - history[-1]) <= np.abs(np.diff(history)).max() + 1


def spectrum_db(pcm: np.ndarray) -> np.ndarray:
    """Of one windowed packet; the floor is the line's noise."""
    return np.asarray(20 * np.log10(np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) + 300))


def test_a_concealed_packet_of_speech_sounds_like_the_lost_one():
    """The distance of the spectra, over 20 ms losses all through the speech of a recording."""
    speech = decode_ulaw(jfk_ulaw()).astype(float)
    concealer = Concealer(8_000)
    concealed, silent = [], []
    for end in range(4_000, 84_000, 400):
        true = speech[end : end + 160]
        if true.std() > 300:
            concealer.start(speech[end - 390 : end].astype(np.int16))
            distance = spectrum_db(concealer.take(160)) - spectrum_db(true)
            concealed.append(np.sqrt(np.mean(distance**2)))
            silent.append(np.sqrt(np.mean((spectrum_db(np.zeros(160)) - spectrum_db(true)) ** 2)))
    assert len(concealed) > 100
    assert np.mean(concealed) < 0.45 * np.mean(silent)


def test_wideband_speech_is_concealed_too():
    speech = Resampler(8_000, 16_000).push(decode_ulaw(jfk_ulaw()))
    concealer = Concealer(16_000)
    concealer.start(speech[40_000:40_780])
    assert np.abs(concealer.take(320).astype(int)).max() > 0


def test_silence_and_nothing_are_continued_by_nothing():
    concealer = Concealer(8_000)
    for history in (np.zeros(390, np.int16), np.zeros(0, np.int16)):
        concealer.start(history)
        assert len(concealer.take(160)) == 0


def test_a_history_that_is_too_short_still_serves():
    concealer = Concealer(8_000)
    concealer.start(vowel(8_000, 0.02))
    assert np.abs(concealer.take(80).astype(int)).max() > 1_000


def test_the_loudest_signal_is_not_turned_over():
    square = np.where(np.arange(400) // 40 % 2, 32_767, -32_768).astype(np.int16)
    concealer = Concealer(8_000)
    concealer.start(square)
    made = concealer.take(80).astype(int)
    assert (np.sign(made) == np.sign(made[np.arange(80) // 40 * 40])).mean() > 0.9
