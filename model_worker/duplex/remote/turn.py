"""One turn of a server's voice: sound as it comes, words somewhere beside it."""

import numpy as np

from model_worker.seams import Pcm, Speech, Word
from model_worker.tts.paced_voice import Pace, PacedVoice, Rendered
from wire.ids import TurnId

# A server sends words ahead of their sound or behind it, and never says where they are. 200 words a minute from the
# begin of the turn is a guess for as long as nobody knows how long it will be.
WORD_S = 0.3


def _as_it_is(part: Rendered | str) -> Rendered:
    assert isinstance(part, Rendered), "a server's voice is sound, not text"
    return part


class RemoteTurn:
    """``sound`` and ``words`` in any order until ``finish``; ``speak`` when there may be something to say."""

    def __init__(self, turn: TurnId, rate_hz: int) -> None:
        self.turn = turn
        self.text = ""
        self.told_done = False
        """It was said that nothing more of it comes."""
        self._rate_hz = rate_hz
        self._voice: PacedVoice[Rendered] = PacedVoice(_as_it_is, Pace(rate_hz))
        self._received_samples = 0
        self._begun_word = ""
        self._words: list[Word] = []  # starts are samples of the turn
        self._told_words = 0
        self._finished = False

    @property
    def done(self) -> bool:
        """All of it was given to the gateway."""
        return self._voice.done

    @property
    def played(self) -> bool:
        """The caller heard it to the end."""
        return self._voice.played

    @property
    def heard_s(self) -> float:
        return self._voice.heard_s

    @property
    def unheard_s(self) -> float:
        """Sound that came, and was not heard yet."""
        return self._received_samples / self._rate_hz - self.heard_s

    def sound(self, pcm: Pcm) -> None:
        if self._finished or len(pcm) == 0:
            return
        self._received_samples += len(pcm)
        self._voice.play(Rendered(pcm, ()))

    def words(self, text: str) -> None:
        if self._finished:
            return
        self.text += text
        *whole, self._begun_word = f"{self._begun_word}{text}".split(" ")
        for word in whole:
            self._place(word)

    def finish(self) -> None:
        """Nothing more comes."""
        if self._finished:
            return
        self._place(self._begun_word)
        self._spread()
        self._finished = True
        self._voice.finish()

    def cut(self) -> None:
        """Nothing more comes, and what was not given to the gateway yet is not said."""
        self._finished = True
        del self._words[self._told_words :]
        self.text = " ".join(word.text for word in self._words)
        self._voice.cut()

    def hear(self, heard_s: float) -> None:
        """Note how much the caller has heard."""
        self._voice.hear(heard_s)

    def speak(self) -> list[Speech]:
        """What may be given to the gateway now; each piece with the words that begin in it, as far as they came."""
        end_samples = self._voice.generated_samples
        speech: list[Speech] = []
        for piece in self._voice.speak():
            end_samples += len(piece.pcm)
            speech.append(Speech(piece.pcm, self._words_before(end_samples)))
        if self._voice.done and (late := self._words_before(None)):
            speech.append(Speech(np.empty(0, np.int16), late))
        return speech

    def heard_text(self, heard_s: float) -> str:
        """The words that began before ``heard_s`` seconds of the turn, as far as can be told."""
        if self._voice.done and heard_s >= self._voice.generated_s:
            return self.text.strip()
        heard_samples = round(heard_s * self._rate_hz)
        return " ".join(word.text for word in self._words if word.start_samples < heard_samples)

    def _words_before(self, end_samples: int | None) -> str:
        due = self._words[self._told_words :]
        if end_samples is not None:
            due = [word for word in due if word.start_samples < end_samples]
        self._told_words += len(due)
        return " ".join(word.text for word in due)

    def _spread(self) -> None:
        """Now that it is known how long it all is: a word takes its share by its letters."""
        letters = sum(len(word.text) + 1 for word in self._words)
        before = 0
        for place, word in enumerate(self._words):
            self._words[place] = Word(word.text, self._received_samples * before // letters)
            before += len(word.text) + 1

    def _place(self, word: str) -> None:
        if word := word.strip():
            self._words.append(Word(word, round(len(self._words) * WORD_S * self._rate_hz)))
