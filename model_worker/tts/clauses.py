"""Cut text that comes bit by bit into parts a voice speaks at once: sentences, and clauses of long ones."""

import re

SENTENCE_CHARACTERS = 120
"""About 8 s at 160 words a minute; a longer sentence is cut at a comma."""
LONGEST_CHARACTERS = 240
"""Without any punctuation a part ends at the last blank before this."""

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")
_CLAUSE_END = re.compile(r"(?<=[.!?;:,])\s+")


class Clauses:
    """The same parts, however the text was cut when it came; joined by blanks they are the text again."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, text: str) -> list[str]:
        """Add ``text``, which may end within a word; returns the parts that are whole."""
        self._text += text
        return self._cut()

    def finish(self) -> list[str]:
        """No more text comes; returns the rest."""
        self._text += "\n"
        parts = self._cut()
        rest, self._text = self._text.strip(), ""
        return [*parts, rest] if rest else parts

    def _cut(self) -> list[str]:
        parts = []
        self._text = self._text.lstrip()
        while (end := _first_end(self._text)) is not None:
            parts.append(self._text[:end].rstrip())
            self._text = self._text[end:].lstrip()
        return parts


def _first_end(text: str) -> int | None:
    """Where the first part of ``text`` ends; None while more text may still change that.

    Each look reaches no further than what is there when it counts, so that the parts do not hang on how text comes.
    """
    sentence = _SENTENCE_END.search(text)
    if sentence is not None and sentence.start() <= SENTENCE_CHARACTERS:
        return sentence.start()
    if len(text) <= SENTENCE_CHARACTERS + 1:
        return None
    ends = [found.start() for found in _CLAUSE_END.finditer(text[: LONGEST_CHARACTERS + 2])]
    if short := [end for end in ends if end <= SENTENCE_CHARACTERS]:
        return short[-1]
    if ends and ends[0] <= LONGEST_CHARACTERS:
        return ends[0]
    if len(text) <= LONGEST_CHARACTERS + 1:
        return None
    blank = text.rfind(" ", 1, LONGEST_CHARACTERS + 1)
    return blank if blank > 0 else LONGEST_CHARACTERS
