import numpy as np

from model_worker.asr.recognizer import is_telephone
from tests.model_worker.asr.voices import human_speech


def test_a_telephone_line_is_known_by_its_band():
    assert is_telephone(human_speech(0.5, 1.0))
    assert is_telephone(human_speech(0.5, 1.0) // 64)
    assert is_telephone(np.zeros(8_000, np.int16))


def test_a_wideband_line_is_known_by_its_noise():
    noise = np.random.default_rng(2).normal(0.0, 4.0, 8_000)
    assert not is_telephone(np.rint(noise).astype(np.int16))
