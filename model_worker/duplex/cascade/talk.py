"""What was said in a call, and how much of it the chat model is told: from a begin that seldom moves.

A server that keeps the keys of a prompt it has seen (prefix caching) reads only what is new, as long as the prompt
begins as the one before did. So old words are left out by the half, not line by line.
"""

from collections.abc import Sequence

from model_worker.answers.context import build_messages
from model_worker.answers.seam import ChatMessage
from model_worker.duplex.history import Entry, History
from wire.ids import TurnId
from wire.messages import Voice

MAX_CHARS = 8_000  # about 2 000 tokens: ten minutes of talk
KEPT_CHARS = 4_000
_NO_LIMIT_CHARS = 10 * MAX_CHARS  # the begin is moved here, by the half, and not line by line


class Talk:
    """``history`` is what both sides said, as far as it was heard."""

    def __init__(self) -> None:
        self.history = History()
        self._lines: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.history.add(entry)
        self._lines.append(entry)
        if sum(len(line.text) for line in self._lines) > MAX_CHARS:
            self._forget()

    def cut(self, turn: TurnId, heard_text: str) -> None:
        """The caller heard no more than ``heard_text`` of ``turn``."""
        self.history.cut(turn, heard_text)
        self._lines = [
            Entry(line.voice, heard_text, turn, cut=True) if line.turn == turn and line.voice is Voice.AGENT else line
            for line in self._lines
        ]

    def question(self, instructions: str, words: str = "") -> list[ChatMessage]:
        """What the chat model is to answer: all so far, and ``words`` of the caller that are not in it yet."""
        return _asked(instructions, [*self._told(), (Voice.CALLER, words)] if words else self._told())

    def _told(self) -> list[tuple[Voice, str]]:
        return [(line.voice, line.text) for line in self._lines if line.text.strip()]

    def _forget(self) -> None:
        while len(self._lines) > 1 and sum(len(line.text) for line in self._lines) > KEPT_CHARS:
            del self._lines[0]


def _asked(instructions: str, lines: Sequence[tuple[Voice, str]]) -> list[ChatMessage]:
    """The caller's last words stand at the end of ``lines``."""
    if not lines or lines[-1][0] is not Voice.CALLER:
        return build_messages(instructions, lines, limit_chars=_NO_LIMIT_CHARS)
    return build_messages(instructions, lines[:-1], lines[-1][1], _NO_LIMIT_CHARS)
