"""Twilio's playout buffer: what the caller hears of what the application sent, every 20 ms.

A mark comes back when the audio before it has been played. ``clear`` drops what is buffered
and brings all pending marks back at once ("Send a mark": also if the buffer was cleared).
"""

from collections import deque

from twowire.caller.messages import FRAME_SAMPLES, SILENCE


class PlayoutBuffer:
    """µ-law bytes in order, with marks between them. Positions count bytes since the beginning."""

    def __init__(self) -> None:
        self._queued = bytearray()
        self._received = 0
        self._begun = 0  # end of the frame that is being played
        self._played = 0
        self._marks: deque[tuple[int, str]] = deque()

    @property
    def empty(self) -> bool:
        """True when the next frame would be silence."""
        return not self._queued

    def add(self, payload: bytes) -> None:
        self._queued += payload
        self._received += len(payload)

    def mark(self, name: str) -> None:
        """Set a mark after all audio received so far."""
        self._marks.append((self._received, name))

    def clear(self) -> list[str]:
        """Drop what has not begun to play; returns all pending marks, oldest first."""
        self._queued.clear()
        self._received = self._begun
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def played_marks(self) -> list[str]:
        """Marks before which nothing is left to play; each is returned once, oldest first."""
        names = []
        while self._marks and self._marks[0][0] <= self._played:
            names.append(self._marks.popleft()[1])
        return names

    def next_frame(self) -> bytes:
        """End one frame and begin the next: its 160 bytes, silence where nothing is buffered."""
        frame = bytes(self._queued[:FRAME_SAMPLES])
        del self._queued[:FRAME_SAMPLES]
        self._played = self._begun
        self._begun += len(frame)
        return frame.ljust(FRAME_SAMPLES, SILENCE)
