"""Prompts as sound at the engine's output rate, with the place of every word.

A sentence is synthesized when it is needed and kept: an agent's prompts are few and the same
in every call, so that after the first one a prompt costs nothing.
"""

from collections import OrderedDict

from model_worker.dialog.agent import Clip, Spoken
from model_worker.seams import Tts
from model_worker.tts.clauses import Clauses
from model_worker.tts.paced_voice import Rendered
from model_worker.tts.rendering import render, to_rate
from model_worker.tts.words import place_words
from wire.audio.wav import read_wav

OUTPUT_RATE_HZ = 16_000
MAX_KEPT_SAMPLES = 16_000 * 600  # ten minutes of prompts, 19 MB: several times a large agent file


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
        rendered = self._read(part) if isinstance(part, Clip) else render(self._tts, part, OUTPUT_RATE_HZ)
        self._kept[part] = rendered
        self._kept_samples += len(rendered.pcm)
        while self._kept_samples > MAX_KEPT_SAMPLES and len(self._kept) > 1:
            self._kept_samples -= len(self._kept.popitem(last=False)[1].pcm)
        return rendered

    def close(self) -> None:
        """End the voice; it must not be used any more."""
        self._tts.close()

    def _read(self, clip: Clip) -> Rendered:
        recording = read_wav(clip.clip)
        pcm = to_rate(recording.pcm, recording.sample_rate_hz, OUTPUT_RATE_HZ)
        return Rendered(pcm, place_words(clip.text, (), len(pcm)))


def parts_of(text: Spoken) -> list[Spoken]:
    """What is synthesized at once: a recording, a sentence, or the clauses of a long sentence."""
    if isinstance(text, Clip):
        return [text]
    clauses = Clauses()
    return [*clauses.push(text), *clauses.finish()]
