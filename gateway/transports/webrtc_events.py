"""The call's events on their way to its page, over a data channel."""

import json
from collections.abc import Iterator

from aiortc import RTCDataChannel

from gateway.runner.feed import Subscription
from gateway.runner.story import Event

_EVERY_S = 0.2  # a message costs SCTP half a millisecond of Python, so events travel together
_MAX_MESSAGE_BYTES = 16 * 1_024  # what every browser takes in one piece
_MAX_BUFFERED_BYTES = 64 * 1_024  # a page that does not read gets newer events later, and loses the oldest
_LEFT_OUT = frozenset({"levels"})  # the page has the sound itself


class EventWriter:
    """Sends what a subscription has, as JSON arrays."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._next_at = 0.0

    def write(self, channel: RTCDataChannel | None, now: float) -> None:
        """Every tick; without a channel the events wait in the bounded queue of the subscription."""
        if now < self._next_at or channel is None:
            return
        self._next_at = now + _EVERY_S
        if channel.readyState != "open" or channel.bufferedAmount > _MAX_BUFFERED_BYTES:
            return
        most_bytes = min(_MAX_MESSAGE_BYTES, channel.transport._remote_max_message_size)
        for message in _messages(self._subscription.drain_nowait(), most_bytes):
            channel.send(message)

    def close(self) -> None:
        self._subscription.close()


def _messages(events: list[Event], most_bytes: int) -> Iterator[str]:
    """JSON arrays that the peer takes; an event that is longer by itself is left out."""
    part: list[str] = []
    size = 2
    for event in events:
        text = json.dumps(event, separators=(",", ":"))  # ASCII: a character an octet
        if event["event"] in _LEFT_OUT or len(text) + 2 > most_bytes:
            continue
        if size + len(text) > most_bytes:
            yield f"[{','.join(part)}]"
            part, size = [], 2
        part.append(text)
        size += len(text) + 1
    if part:
        yield f"[{','.join(part)}]"
