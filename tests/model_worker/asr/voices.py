"""What a caller says, by espeak-ng, as a phone line carries it: µ-law at 8 kHz, made 16 kHz again."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from model_worker.asr.sphinx import SphinxAsr
from model_worker.seams import Pcm, Recognition
from model_worker.tts.espeak import EspeakTts
from tests.speech import jfk_ulaw
from wire.audio.g711 import decode_ulaw, encode_ulaw
from wire.audio.resample import Resampler
from wire.ids import CallId

CHUNK_SAMPLES = 6_400

PHRASES = (
    "opening hours",
    "what are your opening hours",
    "what is your address",
    "what are your prices",
    "make an appointment",
    "speak to a person",
    "repeat that",
    "goodbye",
)


def resample(pcm: Pcm, in_hz: int, out_hz: int) -> Pcm:
    resampler = Resampler(in_hz, out_hz)
    return np.concatenate((resampler.push(pcm), resampler.flush()))


def over_the_phone(pcm: Pcm, rate_hz: int) -> Pcm:
    """16 kHz: with 0.3 s of line noise before and 0.6 s after, as the ear hands it on."""
    voice = resample(pcm, rate_hz, 8_000).astype(np.float64)
    voice *= 10_000 / np.abs(voice).max()
    padded = np.concatenate((np.zeros(2_400), voice, np.zeros(4_800)))
    noise: npt.NDArray[np.float64] = np.random.default_rng(1).normal(0.0, 60.0, len(padded))
    return resample(decode_ulaw(encode_ulaw(np.rint(padded + noise).astype(np.int16))), 8_000, 16_000)


def caller_says(tts: EspeakTts, text: str) -> Pcm:
    spoken = tts.synthesize(text)
    return over_the_phone(spoken.pcm, spoken.sample_rate_hz)


def human_speech(start_s: float, end_s: float) -> Pcm:
    """A piece of a real speech, at 16 kHz."""
    return resample(decode_ulaw(jfk_ulaw())[int(start_s * 8_000) : int(end_s * 8_000)], 8_000, 16_000)


def tell(asr: SphinxAsr, call: CallId, pcm: Pcm, phrases: tuple[str, ...] = PHRASES) -> None:
    asr.start(call, phrases)
    for start in range(0, len(pcm), CHUNK_SAMPLES):
        asr.feed(call, pcm[start : start + CHUNK_SAMPLES])
    asr.finish(call)


def hear(asr: SphinxAsr, call: CallId, pcm: Pcm, phrases: tuple[str, ...] = PHRASES) -> Recognition:
    """A whole utterance and its result."""
    tell(asr, call, pcm, phrases)
    return asr.poll(30.0)[call]


@contextmanager
def closing_asr(asr: SphinxAsr) -> Iterator[SphinxAsr]:
    try:
        yield asr
    finally:
        asr.close()
