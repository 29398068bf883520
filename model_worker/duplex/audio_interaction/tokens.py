"""The vocabulary of Audio-Interaction (arXiv 2606.05121): Qwen2.5's, with special tokens of its own above 151,600."""

from collections.abc import Sequence
from enum import IntEnum

CHUNK_SAMPLES = 6_400
"""0.4 s at 16 kHz."""
AUDIO_TOKENS = 10
"""Vectors of the audio tower for one chunk, 40 ms each."""
LISTEN_TOKENS = AUDIO_TOKENS + 3
"""AUDIO_BEGIN, the vectors, ASSISTANT, the decision."""

VOCABULARY = 151_936
USER = 151_601
ASSISTANT = 151_602
KEEP_SILENCE = 151_605
PAD = 151_608
"""Its embedding is overwritten with a vector of the audio tower."""
ONLINE = 151_609
OFFLINE = 151_610
ENGLISH = 151_611
TEXT_END = 151_643
TEXT_BEGIN = 151_644
SYSTEM = TEXT_BEGIN
AUDIO_BEGIN = 151_647


_OF_ITS_OWN = range(151_601, 151_620)  # taken from the end of Qwen's vocabulary


def is_word(token: int) -> bool:
    """Whether it is text, rather than one of the special tokens."""
    return token < TEXT_END and token not in _OF_ITS_OWN


class Emotion(IntEnum):
    """The first token of a reply; how it is to be said."""

    HAPPY = 151_614
    SAD = 151_615
    ANGRY = 151_616
    SURPRISE = 151_617
    NORMAL = 151_618
    URGENT = 151_619


SYSTEM_PROMPT = (
    "You are a helpful assistant. When there is no user text, if the audio contains a question, please answer it. "
    "If it is a sound effect, determine based on the sound whether help is needed."
)
"""The one that the model was trained with; another costs quality."""


def prefix(system_ids: Sequence[int]) -> list[int]:
    """What every call begins with. ``system_ids``: the system prompt, encoded."""
    return [ONLINE, ENGLISH, SYSTEM, TEXT_BEGIN, *system_ids, TEXT_END]
