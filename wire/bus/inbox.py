"""What every carrier does with the bytes that arrive: read, count, drop what is stale, hand on."""

import traceback
from pathlib import Path

import structlog

from wire.bus.seam import BusStats, Deliver
from wire.codec import decode_all
from wire.errors import WireError
from wire.messages import AnyMessage, AudioChunk, SpeechChunk

log = structlog.get_logger()


def is_audio(message: AnyMessage) -> bool:
    """Audio alone grows worthless with age; every other message changes a state and must arrive."""
    return isinstance(message, AudioChunk | SpeechChunk)


class Inbox:
    """Turn super-frames into calls of ``deliver``, and survive whatever is in them.

    A damaged frame is counted in ``stats.damaged_frames`` under its reason and costs itself only.
    A ``deliver`` that raises is counted and logged once for each place it raises at: at a thousand
    messages a second the second line would say nothing new.
    """

    def __init__(self, deliver: Deliver, stats: BusStats, audio_ttl_s: float) -> None:
        self._deliver = deliver
        self._stats = stats
        self._audio_ttl_s = audio_ttl_s
        self._logged: set[str] = set()

    def receive(self, superframe: bytes, lag_s: float) -> None:
        """Deliver every message of a super-frame that took ``lag_s`` seconds to come here."""
        for message in decode_all(superframe):
            if isinstance(message, WireError):
                self.count_damaged(message)
            elif lag_s > self._audio_ttl_s and is_audio(message):
                self._stats.stale_messages += 1
            else:
                self._stats.received_messages += 1
                self._hand_on(message, lag_s)

    def count_damaged(self, error: WireError) -> None:
        """Count something that arrived and cannot be read."""
        if self._stats.damaged_frames is None:
            self._stats.damaged_frames = {}
        self._stats.damaged_frames[error.reason] = self._stats.damaged_frames.get(error.reason, 0) + 1

    def _hand_on(self, message: AnyMessage, lag_s: float) -> None:
        try:
            self._deliver(message, lag_s)
        except Exception as error:
            self._stats.failed_deliveries += 1
            # The place, not the text: an exception may quote what the caller said.
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            if where not in self._logged:
                self._logged.add(where)
                log.error("bus.deliver_failed", error=where, kind=type(message).__name__, call=message.call)
