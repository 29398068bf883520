"""One turn of speech made from text, never far ahead of the caller's ear.

Text comes when it comes: whole prompts, or bit by bit from a language model. The next part goes to
the voice only when little of what was spoken is unheard, so that a barge-in throws little away and
what the caller heard is known to the word.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from model_worker.seams import Pcm, Speech, Word
from model_worker.tts.clauses import Clauses

PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One part as int16 sound at the rate of the turn; word starts in its samples, estimated unless ``exact_words``."""

    pcm: Pcm
    words: Sequence[Word]
    exact_words: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """``piece_s``: words are placed this finely where a voice does not tell where they are.

    ``ahead_s``: what may be generated and unheard. Covers a late chunk or a hand-over of a second; all of it is
    thrown away at a barge-in. ``most_per_step_s``: what one step may bring, where rendering takes long.
    """

    rate_hz: int = 16_000
    piece_s: float = 0.4
    ahead_s: float = 2.0
    most_per_step_s: float = 2.0

    @property
    def piece_samples(self) -> int:
        return round(self.piece_s * self.rate_hz)

    @property
    def ahead_samples(self) -> int:
        return round(self.ahead_s * self.rate_hz)

    @property
    def most_per_step_samples(self) -> int:
        return round(self.most_per_step_s * self.rate_hz)


_PLAYED_TOLERANCE_S = 0.002  # the ledger counts in samples of the codec and rounds


class PacedVoice(Generic[PartT]):
    """Sound of one turn, in pieces. ``render`` speaks one part (text, or what else it knows); only when it is due."""

    def __init__(self, render: Callable[[PartT | str], Rendered], pace: Pace | None = None) -> None:
        self.generated_samples = 0
        self.heard_samples = 0
        self._pace = pace or Pace()
        self._render = render
        self._clauses = Clauses()
        self._parts: deque[PartT | str] = deque()
        self._finished = False
        self._pending: Pcm = np.empty(0, np.int16)
        self._pending_words: deque[Word] = deque()  # not yet emitted; starts are samples of the turn
        self._words: list[Word] = []  # emitted
        self._estimated_until = 0  # up to where the voice did not tell where its words are

    @property
    def done(self) -> bool:
        """Everything was generated, and no more text comes."""
        return self._finished and not self._parts and len(self._pending) == 0

    @property
    def generated_s(self) -> float:
        return self.generated_samples / self._pace.rate_hz

    @property
    def heard_s(self) -> float:
        return self.heard_samples / self._pace.rate_hz

    @property
    def unheard_s(self) -> float:
        """Generated, and not yet heard."""
        return (self.generated_samples - self.heard_samples) / self._pace.rate_hz

    @property
    def played(self) -> bool:
        """The caller heard it to the end."""
        return self.done and self.unheard_s <= _PLAYED_TOLERANCE_S

    def say(self, text: str) -> None:
        """More text; it may end within a word. Not after ``finish``."""
        self._parts.extend(self._clauses.push(text))

    def play(self, part: PartT) -> None:
        """Something that is rendered as a whole, after all text so far."""
        self._parts.extend(self._clauses.finish())
        self._parts.append(part)

    def finish(self) -> None:
        """No more comes in this turn."""
        self._parts.extend(self._clauses.finish())
        self._finished = True

    def cut(self) -> None:
        """No more comes, and what was not generated yet is not said."""
        self._parts.clear()
        self._pending = self._pending[:0]
        self._pending_words.clear()
        self._finished = True

    def hear(self, heard_s: float) -> bool:
        """Note how much the caller has heard; True if that is more than before."""
        heard_samples = min(round(heard_s * self._pace.rate_hz), self.generated_samples)
        more = heard_samples > self.heard_samples
        self.heard_samples = max(heard_samples, self.heard_samples)
        return more

    def speak(self) -> list[Speech]:
        """The pieces that are due now; none while enough is unheard, or no text is there. Raises what ``render`` does.

        A piece shorter than the others is the last, or ran out of text: the next text goes on behind it.
        """
        pieces: list[Speech] = []
        most = min(
            self._pace.ahead_samples - self.generated_samples + self.heard_samples, self._pace.most_per_step_samples
        )
        for _ in range(most // self._pace.piece_samples):
            self._fill()
            if len(self._pending) == 0:
                break
            pieces.append(self._cut_piece())
        return pieces

    def heard_text(self, heard_s: float) -> str:
        """The words that began before ``heard_s`` seconds of the turn."""
        heard_samples = round(heard_s * self._pace.rate_hz)
        return " ".join(word.text for word in self._words if word.start_samples < heard_samples)

    def _fill(self) -> None:
        while len(self._pending) < self._pace.piece_samples and self._parts:
            rendered = self._render(self._parts.popleft())
            offset = self.generated_samples + len(self._pending)
            self._pending = np.concatenate((self._pending, rendered.pcm))
            self._pending_words.extend(Word(word.text, offset + word.start_samples) for word in rendered.words)
            if not rendered.exact_words:
                self._estimated_until = offset + len(rendered.pcm)

    def _cut_piece(self) -> Speech:
        size = self._pace.piece_samples
        pcm, self._pending = self._pending[:size], self._pending[size:]
        start = self.generated_samples
        self.generated_samples += len(pcm)
        begun: list[Word] = []
        # What a voice places behind its own sound goes with the last of it.
        last = len(self._pending) == 0
        while self._pending_words and (last or self._pending_words[0].start_samples < self.generated_samples):
            begun.append(self._pending_words.popleft())
        self._words += begun
        exact = bool(begun) and begun[0].start_samples >= self._estimated_until
        starts = tuple(min(word.start_samples - start, len(pcm)) for word in begun) if exact else ()
        return Speech(pcm, " ".join(word.text for word in begun), starts)
