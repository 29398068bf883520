"""Where the words of a text begin in its sound."""

import re
from collections.abc import Sequence

import numpy as np

from model_worker.seams import Word

_TOKEN = re.compile(r"\S+")


def place_words(text: str, marks: Sequence[tuple[int, int]], total_samples: int) -> list[Word]:
    """Give every word of ``text`` its start, in samples of a voice that takes ``total_samples``.

    Words are what blanks separate, punctuation included, so that they join to the text again.
    ``marks`` are (character, sample) pairs as a voice reports them. A voice may have several
    marks within a word ("$12.50": the first counts) and none for another ("of the" said as one):
    that one lies between its neighbours in proportion to characters. Without marks all words do.
    """
    tokens = list(_TOKEN.finditer(text))
    known: dict[int, int] = {}
    for character, sample in sorted(marks):
        index = max((n for n, token in enumerate(tokens) if token.start() <= character), default=None)
        if index is not None:
            known.setdefault(index, sample)
    places = {0: 0, len(text): total_samples, **{tokens[n].start(): sample for n, sample in known.items()}}
    anchors = sorted(places.items())
    samples = np.maximum.accumulate([min(sample, total_samples) for _, sample in anchors])
    starts = np.interp([token.start() for token in tokens], [character for character, _ in anchors], samples)
    return [Word(token.group(), int(start)) for token, start in zip(tokens, starts, strict=True)]
