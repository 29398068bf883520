"""The call's events on their way to its page, over a data channel."""

import json

from aiortc import RTCDataChannel

from gateway.runner.feed import Subscription

_EVERY_S = 0.2  # a message costs SCTP half a millisecond of Python, so events travel together
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
        events = [event for event in self._subscription.drain_nowait() if event["event"] not in _LEFT_OUT]
        if events:
            channel.send(json.dumps(events, separators=(",", ":")))

    def close(self) -> None:
        self._subscription.close()
