"""From a voice at its own rate to sound at the turn's, with its words in place."""

import numpy as np

from model_worker.seams import Pcm, Tts, Word
from model_worker.tts.paced_voice import Rendered
from wire.audio.resample import Resampler


def render(tts: Tts, text: str, rate_hz: int) -> Rendered:
    """Speak ``text``. Raises TtsError."""
    spoken = tts.synthesize(text)
    words = [Word(word.text, word.start_samples * rate_hz // spoken.sample_rate_hz) for word in spoken.words]
    return Rendered(to_rate(spoken.pcm, spoken.sample_rate_hz, rate_hz), words, spoken.exact_words)


def to_rate(pcm: Pcm, rate_hz: int, wanted_hz: int) -> Pcm:
    """A whole recording at another rate."""
    if rate_hz == wanted_hz:
        return pcm
    resampler = Resampler(rate_hz, wanted_hz)
    return np.concatenate((resampler.push(pcm), resampler.flush()))
