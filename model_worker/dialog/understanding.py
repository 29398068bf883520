"""From recognized words to one of the phrases that were expected."""

import re
from collections.abc import Mapping
from typing import TypeVar

Meant = TypeVar("Meant")

_NOT_WORDS = re.compile(r"[^\w']+")


def normalize(text: str) -> str:
    """Lower case, words and apostrophes only, one space between: the form in which phrases are compared."""
    words = (word.strip("'_") for word in _NOT_WORDS.split(text.replace("’", "'").lower()))
    return " ".join(word for word in words if word)


def match(text: str, phrases: Mapping[str, Meant]) -> Meant | None:
    """What ``text`` means, or None.

    ``phrases`` are normalized. The whole text may be a phrase, or hold phrases among other words
    ("um what are your opening hours please"); then the longest one (in words) counts, unless two
    of the same length mean different things.
    """
    said = normalize(text)
    if said in phrases:
        return phrases[said]
    padded = f" {said} "
    found = [phrase for phrase in phrases if f" {phrase} " in padded]
    if not found:
        return None
    longest = max(len(phrase.split()) for phrase in found)
    meanings = [phrases[phrase] for phrase in found if len(phrase.split()) == longest]
    return meanings[0] if all(meaning == meanings[0] for meaning in meanings) else None
