"""A voice of this machine (espeak-ng) as a voice that is polled: it has spoken by the time it was asked."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoicePiece, VoiceWish
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Tts, TtsError
from model_worker.tts.rendering import render
from wire.ids import CallId

_EMPTY = np.empty(0, np.int16)
_NAMES = {"en": "en-us", "zh": "cmn", "pt": "pt-br", "no": "nb"}
"""What espeak-ng calls a language otherwise than BCP 47 does, or knows by region only."""
_REGIONAL = frozenset({"en-gb", "en-us", "es-419", "fr-be", "fr-ch", "pt-br"})
"""Regions that it has a voice of their own for."""


class LocalVoice:
    """``StreamingTts`` by a blocking voice. ``make``: of a voice by its name, kept for all calls that wish it."""

    def __init__(self, make: Callable[[str], Tts]) -> None:
        self._make = make
        self._voices: dict[str, Tts] = {}
        self._pieces: list[VoicePiece] = []

    @property
    def ready(self) -> bool:
        return bool(self._pieces)

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Nothing comes by itself."""

    def ask(self, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        self.cancel(call)
        try:
            said = render(self._voice(voice_name(wish)), text, OUTPUT_RATE_HZ)
        except TtsError:
            self._pieces.append(VoicePiece(call, part, _EMPTY, done=True, fault=SessionFault.SERVER_ERROR))
            return
        self._pieces.append(VoicePiece(call, part, said.pcm, said.words, exact_words=said.exact_words, done=True))

    def poll(self) -> list[VoicePiece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def cancel(self, call: CallId) -> None:
        self._pieces = [piece for piece in self._pieces if piece.call != call]

    def close(self) -> None:
        for voice in self._voices.values():
            with suppress(OSError):
                voice.close()
        self._voices.clear()

    def _voice(self, name: str) -> Tts:
        if name not in self._voices:
            self._voices[name] = self._make(name)
        return self._voices[name]


def voice_name(wish: VoiceWish) -> str:
    """Of the voice for a wish: the name it gives, else one of its language."""
    tag = wish.language.lower()
    language = tag.partition("-")[0]
    return wish.name or (tag if tag in _REGIONAL else _NAMES.get(language, language))
