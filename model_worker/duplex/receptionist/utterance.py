"""One turn of the agent: its speech in pieces, never far ahead of the caller's ear."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from model_worker.dialog.agent import Spoken, text_of
from model_worker.duplex.receptionist.voice import OUTPUT_RATE_HZ, Rendered, parts_of
from model_worker.seams import Pcm, Speech, Word
from wire.ids import TurnId

PIECE_SAMPLES = 6_400
"""0.4 s: words are placed this finely where the gateway splits a turn into heard and unheard."""
AHEAD_SAMPLES = 32_000
"""2 s: what may be generated and unheard. Covers a late chunk or a hand-over of a second; all of
it is thrown away at a barge-in. The first output of a turn brings all of it."""
PLAYED_TOLERANCE_SAMPLES = 32  # 2 ms: the ledger counts in samples of the codec and rounds

Render = Callable[[Spoken], Rendered]


class AgentTurn:
    """What the agent says in one turn. Sound is rendered only when it is due."""

    def __init__(self, turn: TurnId, texts: Sequence[Spoken], render: Render) -> None:
        self.id = turn
        self.text = " ".join(text_of(text) for text in texts)
        self.generated_samples = 0
        self.heard_samples = 0
        self._render = render
        self._parts: Iterator[Spoken] = (part for text in texts for part in parts_of(text))
        self._exhausted = False
        self._pending: Pcm = np.empty(0, np.int16)
        self._pending_words: deque[Word] = deque()  # not yet emitted; starts are samples of the turn
        self._words: list[Word] = []  # emitted
        self._estimated_until = 0  # up to where the voice did not tell where its words are

    @property
    def done(self) -> bool:
        """Everything was generated."""
        return self._exhausted and len(self._pending) == 0

    @property
    def heard_s(self) -> float:
        return self.heard_samples / OUTPUT_RATE_HZ

    @property
    def played(self) -> bool:
        """The caller heard it to the end."""
        return self.done and self.heard_samples >= self.generated_samples - PLAYED_TOLERANCE_SAMPLES

    def hear(self, heard_s: float) -> bool:
        """Note how much the caller has heard; True if that is more than before."""
        heard_samples = min(round(heard_s * OUTPUT_RATE_HZ), self.generated_samples)
        more = heard_samples > self.heard_samples
        self.heard_samples = max(heard_samples, self.heard_samples)
        return more

    def speak(self) -> list[Speech]:
        """The pieces that are due: as many as fit into two seconds ahead of the caller's ear. May raise TtsError."""
        pieces: list[Speech] = []
        while self.generated_samples - self.heard_samples + PIECE_SAMPLES <= AHEAD_SAMPLES:
            self._fill()
            if len(self._pending) == 0:
                break
            pieces.append(self._cut_piece())
        if not self.done:
            self._fill()  # so that ``done`` is known with the last piece, not a chunk later
        return pieces

    def text_before(self, heard_s: float) -> str:
        """The words that began before ``heard_s`` seconds of the turn."""
        heard_samples = round(heard_s * OUTPUT_RATE_HZ)
        return " ".join(word.text for word in self._words if word.start_samples < heard_samples)

    def _fill(self) -> None:
        while len(self._pending) < PIECE_SAMPLES and not self._exhausted:
            part = next(self._parts, None)
            if part is None:
                self._exhausted = True
                return
            rendered = self._render(part)
            offset = self.generated_samples + len(self._pending)
            self._pending = np.concatenate((self._pending, rendered.pcm))
            self._pending_words.extend(Word(word.text, offset + word.start_samples) for word in rendered.words)
            if not rendered.exact_words:
                self._estimated_until = offset + len(rendered.pcm)

    def _cut_piece(self) -> Speech:
        pcm, self._pending = self._pending[:PIECE_SAMPLES], self._pending[PIECE_SAMPLES:]
        self.generated_samples += len(pcm)
        start = self.generated_samples - len(pcm)
        begun: list[Word] = []
        last = self.done
        while self._pending_words and (last or self._pending_words[0].start_samples < self.generated_samples):
            begun.append(self._pending_words.popleft())
        self._words += begun
        exact = bool(begun) and begun[0].start_samples >= self._estimated_until
        starts = tuple(min(word.start_samples - start, len(pcm)) for word in begun) if exact else ()
        return Speech(pcm, " ".join(word.text for word in begun), starts)
