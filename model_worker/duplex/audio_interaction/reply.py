"""One reply: the model's tokens become words, the words a voice, and what was heard of it tokens again."""

import re
from collections.abc import Callable, Sequence

from model_worker.duplex.audio_interaction.tokens import TEXT_BEGIN, Emotion, is_word
from model_worker.seams import Speech
from model_worker.tts.paced_voice import PacedVoice, Rendered
from wire.ids import TurnId

_WORD = re.compile(r"\S+")
_EMOTIONS = frozenset(Emotion)
LONGEST_LOOP = 16  # tokens

Decode = Callable[[Sequence[int]], str]
Render = Callable[[str, Emotion], Rendered]


class Reply:
    """A turn. ``at``: position of its TEXT_BEGIN in the context. Tokens are fed by the call, in order."""

    def __init__(self, turn: TurnId, at: int, decode: Decode, render: Render) -> None:
        self.turn = turn
        self.at = at
        self.tokens: list[int] = [TEXT_BEGIN]
        self.emotion = Emotion.NORMAL
        self.written = False
        """TEXT_END came, or was put."""
        self.told_done = False
        """It was said that nothing more of it comes."""
        self.text = ""
        self._decode = decode
        self._words: list[int] = []
        self._ends: list[int] = []  # of the text after each token of ``tokens``
        self._ends.append(0)
        self.voice: PacedVoice[str] = PacedVoice(lambda text: render(text, self.emotion))

    def add(self, token: int) -> list[Speech]:
        """The next token, which is not TEXT_END; returns what can be said by it."""
        first = len(self.tokens) == 1
        self.tokens.append(token)
        if first and token in _EMOTIONS:
            self.emotion = Emotion(token)
        elif is_word(token):
            self._words.append(token)
            self._say(self._decode(self._words).rstrip("\ufffd"))  # a character may take several tokens
        self._ends.append(len(self.text))
        return self.voice.speak()

    def add_words(self, text: str, tokens: Sequence[int]) -> list[Speech]:
        """More words that are not the model's own, with their tokens; returns what can be said by them."""
        if len(self.tokens) == 1:
            self.tokens.append(self.emotion)
            self._ends.append(0)
        self.text += text
        self.tokens += tokens
        self._ends += [len(self.text)] * len(tokens)
        self.voice.say(text)
        return self.voice.speak()

    def finish(self) -> list[Speech]:
        """No more tokens come."""
        self.written = True
        self.voice.finish()
        return self.voice.speak()

    def loops(self, repeats: int) -> bool:
        """Whether the last tokens are the same few, ``repeats`` times in a row."""
        said = self.tokens[1:]
        for period in range(1, LONGEST_LOOP + 1):
            tail = said[-period * repeats :]
            if len(tail) < period * repeats:
                return False
            if period * repeats >= 12 and tail == tail[:period] * repeats:
                return True
        return False

    def heard_tokens(self, heard_s: float) -> int:
        """How many of ``tokens`` the caller has heard: those up to the last word that began, and the emotion."""
        words = len(self.voice.heard_text(heard_s).split())
        ends = [found.end() for found in _WORD.finditer(self.text)]
        heard_until = ends[min(words, len(ends)) - 1] if words and ends else 0
        silent = sum(1 for end in self._ends[:2] if end == 0)  # TEXT_BEGIN, and the emotion where there is one
        if heard_until == 0:
            return max(1, silent)
        return next((n + 1 for n, end in enumerate(self._ends) if end >= heard_until), len(self.tokens))

    def _say(self, text: str) -> None:
        if len(text) > len(self.text) and text.startswith(self.text):
            self.voice.say(text[len(self.text) :])
            self.text = text
