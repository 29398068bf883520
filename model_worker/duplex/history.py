"""What was said in a call by both sides, as far as it was heard."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from wire.ids import NO_TURN, TurnId
from wire.messages import Voice

MAX_ENTRIES = 200  # an hour of a menu dialog; older ones fall off


@dataclass(frozen=True, slots=True)
class Entry:
    """One side's words. ``cut``: the agent was interrupted, ``text`` is what the caller heard."""

    voice: Voice
    text: str
    turn: TurnId = NO_TURN
    cut: bool = False


class History:
    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)

    def cut(self, turn: TurnId, heard_text: str) -> None:
        """The caller heard no more than ``heard_text`` of ``turn``. A turn that fell off is ignored."""
        for position in range(len(self._entries) - 1, -1, -1):
            if self._entries[position].turn == turn:
                self._entries[position] = replace(self._entries[position], text=heard_text, cut=True)
                return

    def last(self, count: int) -> list[Entry]:
        """At most ``count`` of the newest entries, oldest first."""
        return list(self._entries)[-count:]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Oldest first, as ``Engine.history`` gives them."""
        return [
            {"voice": entry.voice.value, "text": entry.text, "turn": entry.turn, "cut": entry.cut}
            for entry in self._entries
        ]
