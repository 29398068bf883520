"""Keys pressed, as named events (RFC 4733 §2): one digit per press, however its packets arrive.

A press is a timestamp of one source. The digit is given with the first packet of it that comes, be
it the first that was sent or the last retransmission of the end. The marker bit is not looked at:
it is lost with its packet, and some senders set it in every one.
"""

DIGITS = "0123456789*#ABCD"
MIN_PAYLOAD_BYTES = 4
OVER_S = 0.150  # three update intervals of 50 ms without a packet: the end was lost
_LONG_AGO_S = 5.0  # a timestamp further back than this is a sender that restarted its clock
_SEGMENT = 0xFFFF
_HALF = 1 << 31
_WRAP = 1 << 32


class DtmfReceiver:
    """Reads the telephone-event packets of one leg; ``clock_hz`` is their RTP clock."""

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._ssrc = -1
        self._event = -1
        self._timestamp = 0
        self._duration = 0
        self._ended = True
        self._heard_at = 0.0
        self.malformed = 0

    def receive(self, ssrc: int, timestamp: int, payload: bytes, now: float) -> str | None:
        """The digit of a press not known yet, else None. Events that are no keys (flash, tones) are ignored."""
        if len(payload) < MIN_PAYLOAD_BYTES:
            self.malformed += 1
            return None
        event = payload[0]
        if event >= len(DIGITS):
            return None
        ended = bool(payload[1] & 0x80)
        duration = int.from_bytes(payload[2:4], "big")
        known = self._is_known(ssrc, timestamp, event, now)
        if known is None:
            return None
        if known:
            self._ended = self._ended or ended
            self._duration = max(self._duration, duration)
        else:
            self._ssrc, self._event, self._ended, self._duration = ssrc, event, ended, duration
            self._timestamp = timestamp
        self._heard_at = now
        return None if known else DIGITS[event]

    def _is_known(self, ssrc: int, timestamp: int, event: int, now: float) -> bool | None:
        """Whether the packet belongs to the press known last; None when to one before it."""
        if ssrc != self._ssrc:
            return False
        later = (timestamp - self._timestamp + _HALF) % _WRAP - _HALF
        if later == 0:
            return True
        if later < 0:
            return None if -later < _LONG_AGO_S * self._clock_hz else False
        # A press longer than 0xFFFF ticks goes on in segments, each beginning where the one before
        # stopped (§2.5.1.3); and some senders count the timestamp up within a press.
        held = event == self._event and not self._ended and now - self._heard_at <= OVER_S
        if held and (later <= self._duration or later == _SEGMENT <= self._duration + OVER_S * self._clock_hz):
            self._timestamp, self._duration = timestamp, 0
            return True
        return False
