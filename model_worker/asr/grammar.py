"""From the phrases that are expected to a grammar that PocketSphinx can decode with.

A grammar is one of the phrases, with small words around it if the caller says some ("um ...
please"). Only its own words go into the decoder's dictionary: a decoder then takes 10 ms and
3 MB instead of 150 ms and 30 MB.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pocketsphinx import get_model_path

_NOT_WORDS = re.compile(r"[^\w']+")

# What callers put around an answer. In the grammar these words are marked, so that they can be told from a phrase's.
MARK = "_"
BEFORE = ("um", "uh", "hello", "hi", "well", "okay", "can you tell me", "i would like to know", "please")
AFTER = ("please", "thank you", "thanks")


class UnknownWordError(Exception):
    """A phrase has a word whose pronunciation is not known; ``word`` and ``phrase`` name them."""

    def __init__(self, word: str, phrase: str) -> None:
        hint = "write numbers as words" if any(c.isdigit() for c in word) else "choose another word, or split it in two"
        super().__init__(f"the recognizer does not know the word {word!r} of the phrase {phrase!r}; {hint}")
        self.word = word
        self.phrase = phrase


@dataclass(frozen=True, slots=True)
class Grammar:
    """A JSGF grammar and the CMU dictionary of its words."""

    jsgf: str
    dictionary: str


class Lexicon:
    """How words are pronounced: the CMU dictionary of 134,000 English words. Looks up each word once."""

    def __init__(self, path: Path) -> None:
        self._entries = b"\n" + path.read_bytes()
        self._known: dict[str, tuple[str, ...]] = {}

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """The phones of a lower-case word, most usual first; empty when it is unknown."""
        if word not in self._known:
            # A search through 3 MB takes 1 ms, once per word; a dict of all words would hold 30 MB.
            found: list[str] = []
            while (phones := self._find(word if not found else f"{word}({len(found) + 1})")) is not None:
                found.append(phones)
            self._known[word] = tuple(found)
        return self._known[word]

    def _find(self, entry: str) -> str | None:
        start = self._entries.find(f"\n{entry} ".encode())
        if start < 0:
            return None
        start += len(entry.encode()) + 2
        return self._entries[start : self._entries.index(b"\n", start)].decode().strip()


@cache
def english() -> Lexicon:
    """The dictionary that comes with PocketSphinx."""
    return Lexicon(Path(get_model_path()) / "en-us" / "cmudict-en-us.dict")


def normalize_phrase(text: str) -> str:
    """Lower case, words and apostrophes only, one space between."""
    words = (word.strip("'_") for word in _NOT_WORDS.split(text.replace("’", "'").lower()))
    return " ".join(word for word in words if word)


def check_phrases(phrases: Iterable[str]) -> None:
    """Raise UnknownWordError for the first word that cannot be recognized: for whoever loads an agent."""
    for phrase in phrases:
        for word in normalize_phrase(phrase).split():
            if not english().pronunciations(word):
                raise UnknownWordError(word, phrase)


def build_grammar(phrases: Sequence[str]) -> Grammar:
    """The grammar of some phrases. Raises UnknownWordError, and ValueError when there is no word in them."""
    check_phrases(phrases)
    wanted = list(dict.fromkeys(filter(None, map(normalize_phrase, phrases))))
    if not wanted:
        raise ValueError("expected at least one phrase with a word in it")
    before, after = (" | ".join(map(_marked, words)) for words in (BEFORE, AFTER))
    jsgf = (
        "#JSGF V1.0;\ngrammar phrases;\n"
        f"public <utterance> = [<before>] <phrase> [<after>];\n"
        f"<before> = {before};\n<after> = {after};\n"
        f"<phrase> = {' | '.join(wanted)};\n"
    )
    return Grammar(jsgf, _dictionary(wanted))


def without_fillers(hypothesis: str) -> str:
    """The phrase in what a decoder heard."""
    return " ".join(word for word in hypothesis.split() if not word.startswith(MARK))


def _marked(words: str) -> str:
    return " ".join(MARK + word for word in words.split())


def _dictionary(phrases: Iterable[str]) -> str:
    lines = []
    for mark, texts in (("", phrases), (MARK, (*BEFORE, *AFTER))):
        for word in sorted({word for text in texts for word in text.split()}):
            for number, phones in enumerate(english().pronunciations(word), 1):
                lines.append(f"{mark}{word}{f'({number})' if number > 1 else ''} {phones}\n")
    return "".join(lines)
