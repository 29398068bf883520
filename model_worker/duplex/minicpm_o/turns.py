"""Turns of a model that says after every unit whether it listens or speaks, and that cannot be told to stop.

It can be forced to listen with the next unit. Until it says that it does, or that its turn is over, all that comes is
of the turn that was interrupted: these protocols have no other mark.
"""

from collections import deque

from model_worker.duplex.remote.effects import Effect, Sound, TurnOver, Words
from model_worker.seams import Pcm


class Turns:
    """What the server tells, unit by unit, becomes effects in ``found``."""

    def __init__(self, found: deque[Effect]) -> None:
        self.silenced = False
        """A turn was interrupted, and the model has not said yet that it listens: force it."""
        self._found = found
        self._speaking = False

    def speak(self, text: str, pcm: Pcm) -> None:
        """The model speaks: some words, which are a little ahead of the sound, and sound."""
        if self.silenced:
            return
        self._speaking = True
        if text:
            self._found.append(Words(text))
        if len(pcm):
            self._found.append(Sound(pcm))

    def end(self) -> None:
        """The model says that its turn is over, or that it listens."""
        if self._speaking and not self.silenced:
            self._found.append(TurnOver())
        self._speaking = self.silenced = False

    def interrupt(self) -> None:
        """The caller has the floor."""
        self.silenced = self._speaking
        # What was all told is over; a model that listens need not be forced to.
        self._speaking = False
