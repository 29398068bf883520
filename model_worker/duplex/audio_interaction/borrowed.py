"""A reply whose words come from elsewhere: the model decides that it speaks, and in which mood; others find words.

The model tells no transcript of the caller. So it writes a few words of its own first, which nobody hears: they say
what it understood, go to whoever answers as a hint, and are taken out of the context again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model_worker.duplex.audio_interaction.tokens import Emotion, is_word
from wire.ids import TurnId

LONGEST_WORD = 60  # characters; without a blank for so long it is none, and goes on in parts
Encode = Callable[[str], Sequence[int]]
_WORD = re.compile(rf"\S{{1,{LONGEST_WORD}}}")
_EMOTIONS = frozenset(Emotion)


@dataclass(frozen=True, slots=True)
class Ask:
    """Find words for a turn. ``draft``: what the model would have said, or its beginning."""

    turn: TurnId
    draft: str


@dataclass(frozen=True, slots=True)
class Drop:
    """They are not wanted any more."""


Wish = Ask | Drop


class Draft:
    """The model's own words, unheard. ``limit``: of tokens."""

    def __init__(self, limit: int) -> None:
        self.tokens: list[int] = []
        self.ended = False
        """The model had no more to say."""
        self._limit = limit

    @property
    def full(self) -> bool:
        return len(self.tokens) >= self._limit

    @property
    def words(self) -> list[int]:
        return [token for token in self.tokens if is_word(token)]

    @property
    def emotion(self) -> Emotion:
        """How the model would have said it."""
        first = self.tokens[0] if self.tokens else None
        return Emotion(first) if first in _EMOTIONS else Emotion.NORMAL


class Borrowed:
    """Words that come piece by piece: whole ones go on, with their tokens."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.any = False
        """Some were given on."""
        self._rest = ""

    def take(self, text: str, encode: Encode, *, last: bool = False) -> Iterator[tuple[str, list[int]]]:
        """The words that are whole now, a blank between two, each with its tokens; all is whole with the ``last`` text.

        Special tokens are none of them, whatever is written there.
        """
        self._rest += text
        found = list(_WORD.finditer(self._rest))
        if found and not last and not self._rest[-1].isspace():
            found.pop()
        whole = [word.group() for word in found]
        self._rest = self._rest[found[-1].end() :] if found else self._rest.lstrip()
        for word in whole:
            spaced = f" {word}" if self.any else word
            self.any = True
            yield spaced, [token for token in encode(spaced) if is_word(token)]
