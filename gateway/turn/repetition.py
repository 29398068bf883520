"""Hear when a text goes round in circles: the same words, several times in a row."""

from collections import deque

LONGEST_PERIOD = 40  # words; a sentence of a prompt has 15
_AGAIN = {1: 10, 2: 5, 3: 4}
"""How often in a row periods this short must come: "no, no, no" is no loop, nor a number with six zeros."""


class Repetition:
    """One text, word by word. ``repeats``: how often in a row a clause must come to be a loop."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._words: deque[str] = deque(maxlen=LONGEST_PERIOD)
        self._runs = [0] * (LONGEST_PERIOD + 1)  # by period: how many words in a row are those of one period before

    def clear(self) -> None:
        """A new text begins."""
        self._words.clear()
        self._runs = [0] * (LONGEST_PERIOD + 1)

    def push(self, text: str) -> bool:
        """More of the text, in whole words. True when, with it, some clause has come too often in a row."""
        found = [self._push_word(word) for word in text.casefold().split()]
        return any(found)

    def _push_word(self, word: str) -> bool:
        word = word.strip(".,;:!?\"'()")
        found = False
        for period, before in enumerate(reversed(self._words), start=1):
            if before == word:
                self._runs[period] += 1
                again = max(self._repeats, _AGAIN.get(period, 0))
                found = found or self._runs[period] >= period * (again - 1)
            else:
                self._runs[period] = 0
        self._words.append(word)
        return found
