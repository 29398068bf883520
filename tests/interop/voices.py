"""What callers say, as a microphone at 48 kHz hears it."""

import numpy as np

from model_worker.tts.espeak import EspeakTts
from tests.interop.audio import Samples
from wire.audio.resample import Resampler

RATE_HZ = 48_000


def microphone(*parts: float | str) -> Samples:
    """Texts are spoken, numbers are seconds of silence, one after the other."""
    tts = EspeakTts()
    try:
        sound = [_silence(part) if isinstance(part, float) else _spoken(part, tts) for part in parts]
    finally:
        tts.close()
    return np.concatenate(sound)


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def _spoken(text: str, tts: EspeakTts) -> Samples:
    utterance = tts.synthesize(text)
    resampler = Resampler(utterance.sample_rate_hz, RATE_HZ)
    return np.concatenate((resampler.push(utterance.pcm), resampler.flush()))
