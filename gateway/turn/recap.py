"""What was said in a call so far, in words: for an engine that takes it over without having heard it."""

from collections import deque

from wire.messages import Line, Voice

MAX_LINES = 60
MAX_CHARS = 6_000  # some five minutes of talk


class Recap:
    """The latest lines, bounded in number and length. Of the agent's turns it holds what was heard."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._chars = 0

    @property
    def lines(self) -> tuple[Line, ...]:
        """Oldest first."""
        return tuple(self._lines)

    def add(self, voice: Voice, text: str) -> None:
        """One more line; empty ones are none."""
        text = text.strip()[:MAX_CHARS]
        if not text:
            return
        self._lines.append(Line(voice, text))
        self._chars += len(text)
        while len(self._lines) > MAX_LINES or self._chars > MAX_CHARS:
            self._chars -= len(self._lines.popleft().text)
