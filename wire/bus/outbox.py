"""The bounded queue between ``Bus.send`` and the network."""

from collections import deque
from dataclasses import dataclass

from wire.bus.inbox import is_audio
from wire.bus.seam import BusStats
from wire.codec import encode
from wire.messages import AnyMessage


@dataclass(frozen=True, slots=True)
class _Queued:
    to: str
    frame: bytes
    queued_at: float
    audio: bool


class Outbox:
    """First in, first out, over all destinations, bounded in bytes.

    When it is full the oldest messages go first (``stats.unsent_messages``): what is said now is
    worth more than what was said before the network went away, and the receiver sees the gap in
    ``seq``. Audio that waited longer than ``audio_ttl_s`` is not sent any more
    (``stats.stale_messages``).
    """

    def __init__(self, limit_bytes: int, audio_ttl_s: float, stats: BusStats) -> None:
        self._limit_bytes = limit_bytes
        self._audio_ttl_s = audio_ttl_s
        self._stats = stats
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def put(self, to: str, message: AnyMessage, now: float) -> None:
        """Queue a message. Raises ValueError when it is larger than any message may be."""
        frame = encode(message)
        self._queue.append(_Queued(to, frame, now, is_audio(message)))
        self._queued_bytes += len(frame)
        while self._queued_bytes > self._limit_bytes:
            self._pop()
            self._stats.unsent_messages += 1

    def take(self, now: float, batch_bytes: int) -> dict[str, bytes]:
        """Remove the oldest messages, up to ``batch_bytes`` (and always one), as one super-frame per destination."""
        frames: dict[str, list[bytes]] = {}
        taken_bytes = 0
        while self._queue and (not taken_bytes or taken_bytes + len(self._queue[0].frame) <= batch_bytes):
            oldest = self._pop()
            if oldest.audio and now - oldest.queued_at > self._audio_ttl_s:
                self._stats.stale_messages += 1
                continue
            frames.setdefault(oldest.to, []).append(oldest.frame)
            taken_bytes += len(oldest.frame)
            self._stats.sent_messages += 1
        return {to: b"".join(parts) for to, parts in frames.items()}

    def abandon(self) -> None:
        """Give up what is queued; the process ends."""
        self._stats.unsent_messages += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0

    def _pop(self) -> _Queued:
        oldest = self._queue.popleft()
        self._queued_bytes -= len(oldest.frame)
        return oldest
