"""What a model thinks before it answers, where its server does not tell that apart from the answer.

vLLM and SGLang do so only with a reasoning parser; without one, ``<think>...</think>`` stands before the words.
"""

OPEN, CLOSE = "<think>", "</think>"


class Thoughts:
    """Leaves them out of a text that comes in pieces, however it is cut."""

    def __init__(self) -> None:
        self._held: str | None = ""
        """What came so far while that may still be, or is, a thought; None behind it."""
        self._thinking = False

    def push(self, text: str) -> str:
        """More text; returns what of it is for the caller."""
        if self._held is None:
            return text
        self._held += text
        if not self._thinking:
            begun = self._held.lstrip()
            if len(begun) < len(OPEN) and OPEN.startswith(begun):
                return ""
            if not begun.startswith(OPEN):
                return self.finish()
            self._thinking = True
        _, closed, said = self._held.partition(CLOSE)
        self._held = None if closed else self._held[-len(CLOSE) :]
        return said

    def finish(self) -> str:
        """No more text comes; returns what was held back and is no thought."""
        held, self._held = self._held, None
        return "" if held is None or self._thinking else held
