"""Prompts as sound at the engine's output rate, with the place of every word.

A sentence is synthesized when it is needed and kept: an agent's prompts are few and the same
in every call, so that after the first one a prompt costs nothing.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model_worker.dialog.agent import Clip, Spoken
from model_worker.seams import Pcm, Tts, Word
from model_worker.tts.words import place_words
from wire.audio.resample import Resampler
from wire.audio.wav import read_wav

OUTPUT_RATE_HZ = 16_000
MAX_KEPT_SAMPLES = 16_000 * 600  # ten minutes of prompts, 19 MB: several times a large agent file

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")
_CLAUSE_CHARACTERS = 120  # about 8 s at 160 words a minute; longer sentences are split at a comma as well
_CLAUSE_END = re.compile(r"(?<=,)\s+")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A sentence or recording at 16 kHz; word starts in its samples, estimated unless ``exact_words``."""

    pcm: Pcm
    words: Sequence[Word]
    exact_words: bool = False


class VoiceBox:
    """One voice. ``render`` may raise TtsError."""

    def __init__(self, tts: Tts) -> None:
        self._tts = tts
        self._kept: OrderedDict[Spoken, Rendered] = OrderedDict()
        self._kept_samples = 0

    def render(self, part: Spoken) -> Rendered:
        """Speak one part as ``parts_of`` makes them."""
        if (known := self._kept.get(part)) is not None:
            self._kept.move_to_end(part)
            return known
        rendered = self._read(part) if isinstance(part, Clip) else self._synthesize(part)
        self._kept[part] = rendered
        self._kept_samples += len(rendered.pcm)
        while self._kept_samples > MAX_KEPT_SAMPLES and len(self._kept) > 1:
            self._kept_samples -= len(self._kept.popitem(last=False)[1].pcm)
        return rendered

    def close(self) -> None:
        """End the voice; it must not be used any more."""
        self._tts.close()

    def _synthesize(self, text: str) -> Rendered:
        spoken = self._tts.synthesize(text)
        words = [Word(word.text, word.start_samples * OUTPUT_RATE_HZ // spoken.sample_rate_hz) for word in spoken.words]
        return Rendered(_to_output_rate(spoken.pcm, spoken.sample_rate_hz), words, spoken.exact_words)

    def _read(self, clip: Clip) -> Rendered:
        recording = read_wav(clip.clip)
        pcm = _to_output_rate(recording.pcm, recording.sample_rate_hz)
        return Rendered(pcm, place_words(clip.text, (), len(pcm)))


def parts_of(text: Spoken) -> Iterator[Spoken]:
    """What is synthesized at once: a recording, a sentence, or the clauses of a long sentence."""
    if isinstance(text, Clip):
        yield text
        return
    for sentence in _SENTENCE_END.split(text.strip()):
        if len(sentence) <= _CLAUSE_CHARACTERS:
            yield sentence
        else:
            yield from _CLAUSE_END.split(sentence)


def _to_output_rate(pcm: Pcm, rate_hz: int) -> Pcm:
    if rate_hz == OUTPUT_RATE_HZ:
        return pcm
    resampler = Resampler(rate_hz, OUTPUT_RATE_HZ)
    return np.concatenate((resampler.push(pcm), resampler.flush()))
