"""Which words of a turn lie before a sample: the map from the ledger to the transcript."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WORDS = 20_000  # two hours of speech; a turn that long is a fault upstream


@dataclass(frozen=True, slots=True)
class Split:
    """The words that had begun by some sample, and the others.

    ``estimated``: a word near the cut was placed by its share of the sound, not by the voice's own timing.
    """

    heard: str
    unheard: str
    estimated: bool


class TextSpans:
    """The words of one turn and where they begin, in samples of the turn.

    Where a voice does not tell, the words of a piece are spread by their length over the sound until the next
    piece that has words; so the last such piece ends where the turn does by now.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._starts: list[int] = []
        self._guessed_from: int | None = None  # the first word of the piece whose end is not known
        self._guesses: set[int] = set()

    def add(self, start_samples: int, text: str, word_starts: Sequence[int] = ()) -> None:
        """Note the words of the piece at ``start_samples``; pieces come in order. Empty text is ignored."""
        words = text.split()
        if not words or len(self._words) + len(words) > MAX_WORDS:
            return
        self._spread(start_samples)
        told = len(word_starts) == len(words) and list(word_starts) == sorted(word_starts)
        first = len(self._words)
        self._words += words
        floor = self._starts[-1] if self._starts else 0
        self._starts += [max(at, floor) for at in word_starts] if told else [max(start_samples, floor)] * len(words)
        if not told:
            self._guessed_from = first
            self._guesses.update(range(first, first + len(words)))

    def split(self, heard_samples: int, end_samples: int) -> Split:
        """The words of which something lies before ``heard_samples``; the turn has ``end_samples`` by now."""
        self._spread(end_samples, final=False)
        at = bisect_left(self._starts, heard_samples)
        estimated = at in self._guesses or at - 1 in self._guesses
        return Split(" ".join(self._words[:at]), " ".join(self._words[at:]), estimated)

    def word_at(self, samples: int, end_samples: int) -> int:
        """Where the word begins that is being said at ``samples``; ``samples`` itself before the first word."""
        self._spread(end_samples, final=False)
        at = bisect_right(self._starts, samples)
        return self._starts[at - 1] if at else samples

    def _spread(self, until_samples: int, final: bool = True) -> None:
        """Place the words of the last untimed piece between its begin and ``until_samples``."""
        first = self._guessed_from
        if first is None:
            return
        begin = self._starts[first]
        letters = [len(word) + 1 for word in self._words[first:]]
        span, total, before = max(0, until_samples - begin), sum(letters), 0
        for offset, count in enumerate(letters):
            self._starts[first + offset] = begin + span * before // total
            before += count
        if final:
            self._guessed_from = None
