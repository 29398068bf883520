"""One turn of the agent: words as the model finds them, sound as the voice makes it, no more of either than is due.

The voice is given a sentence at a time, the next one when most of the sound before it was heard: a barge-in throws
little away, and which words were heard is known.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoiceWish
from model_worker.seams import Pcm, Speech, Word
from model_worker.tts.clauses import Clauses
from model_worker.tts.paced_voice import Pace, PacedVoice, Rendered
from model_worker.tts.words import place_words
from wire.ids import NO_TURN, TurnId

CHARACTER_S = 0.065  # 170 words a minute: of a part of which it is not known yet how long it will be
ASK_AHEAD_S = 4.0  # of unheard sound; a voice that needs longer for its next sentence cannot keep up anyway
MAX_SOUND_S = 180.0  # of a turn: nobody listens that long, and it is memory


def _as_it_is(part: Rendered | str) -> Rendered:
    assert isinstance(part, Rendered), "the voice's sound, not text"
    return part


class SpokenTurn:
    """``add`` words until ``finish``; ``next_part`` tells what is to be said, ``sound`` and ``part_over`` bring it."""

    def __init__(self, wish: VoiceWish, *, fixed: bool = False, spare: bool = False) -> None:
        self.wish = wish
        self.fixed = fixed
        """Not the model's words: it is said even if the caller began to speak before it."""
        self.spare = spare
        """The voice of this machine says it, or the rest of it."""
        self.turn: TurnId = NO_TURN
        """Given with its first sound."""
        self.text = ""
        self.finished = False
        """No more words come."""
        self.told_done = False
        """It was said that nothing more of it comes."""
        self._clauses = Clauses()
        self._parts: deque[str] = deque()
        self._voice: PacedVoice[Rendered] = PacedVoice(_as_it_is, Pace(OUTPUT_RATE_HZ))
        self._samples = 0  # of sound that came
        self._part = ""  # being spoken
        self._part_start = 0
        self._part_words: list[Word] = []  # starts are samples of the turn
        self._words: list[Word] = []  # of the parts before
        self._part_placed = False  # the voice told where its words are
        self._told_words = 0
        self._exact_until = 0  # words so far whose place the voice told
        self._cut = False

    @property
    def silent(self) -> bool:
        """Nothing of it went out."""
        return self._voice.generated_samples == 0

    @property
    def done(self) -> bool:
        """All of it was given to the gateway."""
        return self._voice.done

    @property
    def played(self) -> bool:
        return self._voice.played

    @property
    def heard_s(self) -> float:
        return self._voice.heard_s

    @property
    def all_heard(self) -> bool:
        """The caller is waiting for more of it, or for nothing more."""
        return self._voice.heard_samples >= self._voice.generated_samples

    @property
    def said(self) -> str:
        """Its words, as far as they were given to the gateway."""
        return self.heard_text(self._voice.generated_s)

    def add(self, text: str) -> None:
        """More words, cut anywhere."""
        if self.finished:
            return
        self.text += text
        self._parts.extend(self._clauses.push(text))

    def finish(self) -> None:
        """No more words come."""
        if self.finished:
            return
        self.finished = True
        self._parts.extend(self._clauses.finish())
        self._end_voice()

    def cut(self) -> None:
        """No more words and no more sound; what was not given to the gateway yet is not said."""
        self._cut = self._cut or not self._voice.done
        self.finished = True
        self._parts.clear()
        self._part = ""
        self._voice.cut()

    def next_part(self) -> str | None:
        """What the voice is to say now; None while it is saying something, there are no words, or enough is unheard."""
        unheard_s = self._samples / OUTPUT_RATE_HZ - self._voice.heard_s
        if self._part or not self._parts or unheard_s > ASK_AHEAD_S:
            return None
        self._part = self._parts.popleft()
        self._part_start = self._samples
        self._part_placed = False
        self._part_words = [
            Word(word.text, self._part_start + word.start_samples)
            for word in place_words(self._part, (), round(len(self._part) * CHARACTER_S * OUTPUT_RATE_HZ))
        ]
        return self._part

    def sound(self, pcm: Pcm, words: Sequence[Word] = (), *, exact_words: bool = False) -> None:
        """Sound of the part; ``words`` of all of it, where the voice tells them, starts in samples of the part."""
        if not self._part:
            return
        if self._samples > MAX_SOUND_S * OUTPUT_RATE_HZ:
            self.cut()
            return
        if words:
            starts = np.maximum.accumulate([max(word.start_samples, 0) for word in words])
            self._part_words = [
                Word(word.text, self._part_start + int(start)) for word, start in zip(words, starts, strict=True)
            ]
            if exact_words and len(self._words) == self._exact_until and not self._part_placed:
                self._exact_until += len(words)
            self._part_placed = self._part_placed or exact_words
        if len(pcm):
            self._samples += len(pcm)
            self._voice.play(Rendered(pcm, ()))

    def part_over(self) -> None:
        """The voice has said the part."""
        if not self._part:
            return
        samples = self._samples - self._part_start
        if not self._part_placed:
            self._part_words = [
                Word(word.text, self._part_start + word.start_samples) for word in place_words(self._part, (), samples)
            ]
        # What a voice places behind its own sound would stand behind words of the next part.
        self._words += [Word(word.text, min(word.start_samples, self._samples)) for word in self._part_words]
        self._part, self._part_words = "", []
        self._end_voice()

    def part_failed(self) -> None:
        """The voice failed in the part: what it has not said of it is to be said after all."""
        begun = [word for word in self._part_words if word.start_samples < self._samples]
        rest = self._part_words[len(begun) :]
        self._words += begun
        self._exact_until = min(self._exact_until, len(self._words))
        if rest:
            self._parts.appendleft(" ".join(word.text for word in rest))
        self._part, self._part_words = "", []
        self._end_voice()

    def hear(self, heard_s: float) -> bool:
        """Note how much the caller has heard; whether that is more than before."""
        return self._voice.hear(heard_s)

    def speak(self) -> list[Speech]:
        """What may be given to the gateway now, each piece with the words that begin in it."""
        end_samples = self._voice.generated_samples
        speech: list[Speech] = []
        for piece in self._voice.speak():
            start_samples, end_samples = end_samples, end_samples + len(piece.pcm)
            first = self._told_words
            words = self._words_before(end_samples)
            exact = bool(words) and first + len(words) <= self._exact_until
            starts = [min(max(word.start_samples - start_samples, 0), len(piece.pcm)) for word in words]
            text = " ".join(word.text for word in words)
            speech.append(Speech(piece.pcm, text, tuple(starts) if exact else ()))
        if self._voice.done and not self._cut and (late := self._words_before(None)):
            speech.append(Speech(np.empty(0, np.int16), " ".join(word.text for word in late)))
        return speech

    def heard_text(self, heard_s: float) -> str:
        """The words that began before ``heard_s`` seconds of the turn, as far as can be told."""
        if self._voice.done and not self._cut and heard_s >= self._voice.generated_s:
            return self.text.strip()
        heard_samples = min(round(heard_s * OUTPUT_RATE_HZ), self._voice.generated_samples)
        words = [*self._words, *self._part_words]
        return " ".join(word.text for word in words if word.start_samples < heard_samples)

    def _words_before(self, end_samples: int | None) -> list[Word]:
        due = [*self._words, *self._part_words][self._told_words :]
        if end_samples is not None:
            due = [word for word in due if word.start_samples < end_samples]
        self._told_words += len(due)
        return due

    def _end_voice(self) -> None:
        if self.finished and not self._part and not self._parts:
            self._voice.finish()
