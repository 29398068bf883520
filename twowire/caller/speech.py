"""The caller's voice: a text spoken by the installed voice, or a wav file, as µ-law at 8 kHz."""

from pathlib import Path

import numpy as np

from model_worker.seams import Tts
from twowire.caller.messages import SAMPLE_RATE_HZ
from wire.audio.g711 import encode_ulaw
from wire.audio.resample import Pcm, Resampler
from wire.audio.wav import read_wav


def to_ulaw(pcm: Pcm, rate_hz: int) -> bytes:
    """Int16 mono to µ-law at 8 kHz. Raises ValueError for a rate that is not one of ``RATES_HZ``."""
    if rate_hz == SAMPLE_RATE_HZ:
        return encode_ulaw(pcm)
    resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)
    return encode_ulaw(np.concatenate((resampler.push(pcm), resampler.flush())))


def speak(text: str, tts: Tts) -> bytes:
    """A text as one utterance. Raises TtsError."""
    utterance = tts.synthesize(text)
    return to_ulaw(utterance.pcm, utterance.sample_rate_hz)


def recorded(path: Path) -> bytes:
    """A recording. Raises WavError."""
    recording = read_wav(path)
    return to_ulaw(recording.pcm, recording.sample_rate_hz)
