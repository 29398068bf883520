"""Digits on their way out as telephone events (RFC 4733)."""

import struct
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

EVENTS = {digit: code for code, digit in enumerate("0123456789*#ABCD")}
"""RFC 4733 §3.2, table 3."""

VOLUME = 10  # -10 dBm0, near what a telephone set sends (RFC 4733 §2.3.3 counts without the sign)
END_PACKETS = 3  # RFC 4733 §2.5.1.4
MIN_EVENT_MS = 40  # ITU-T Q.24: the shortest tone, and the shortest pause, that every exchange takes
MIN_GAP_MS = 40
MAX_DIGITS = 64

_MAX_DURATION = 0xFFFF  # longer events come in segments (§2.5.1.3), which no digit needs
_END_BIT = 0x80
_PAYLOAD = struct.Struct("!BBH")


class EventPacket(NamedTuple):
    """What the next RTP packet carries: the payload, the timestamp of the event's start, and the marker bit."""

    payload: bytes
    timestamp: int
    marker: bool


@dataclass(slots=True)
class _Digit:
    event: int
    duration: int  # in units of the RTP clock, as everything below
    gap: int


class DtmfSender:
    """Sends one digit after the other, one packet each time it is asked.

    Every packet stands for one packet time of media, as an audio packet does: the duration grows by it until the
    event's own is reached; the packet that reaches it has the E bit and is sent twice more in the packet times
    that follow, which are part of the gap.
    """

    def __init__(self, clock_hz: int, step: int) -> None:
        """``step``: packet time in units of the clock."""
        self._clock_hz = clock_hz
        self._step = step
        self._waiting: deque[_Digit] = deque()
        self._digit: _Digit | None = None
        self._start = 0
        self._elapsed = 0
        self._ends_left = 0
        self.digits_sent = 0

    @property
    def busy(self) -> bool:
        """True while packets of an event, or the gap before the next one, are to be sent."""
        return self._digit is not None or bool(self._waiting)

    def send(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Append digits. Raises ValueError, and appends none, when one of them or a time cannot be sent."""
        unknown = [digit for digit in digits.upper() if digit not in EVENTS]
        if unknown:
            raise ValueError(f"expected digits of 0-9 * # A-D, got {len(unknown)} other characters")
        if len(self._waiting) + len(digits) > MAX_DIGITS:
            raise ValueError(f"expected at most {MAX_DIGITS} digits, got {len(self._waiting) + len(digits)}")
        duration = duration_ms * self._clock_hz // 1_000
        if duration_ms < MIN_EVENT_MS or duration > _MAX_DURATION:
            limit_ms = _MAX_DURATION * 1_000 // self._clock_hz
            raise ValueError(f"expected an event of {MIN_EVENT_MS} to {limit_ms} ms, got {duration_ms}")
        if gap_ms < MIN_GAP_MS:
            raise ValueError(f"expected a gap of at least {MIN_GAP_MS} ms, got {gap_ms}")
        gap = gap_ms * self._clock_hz // 1_000
        self._waiting.extend(_Digit(EVENTS[digit], duration, gap) for digit in digits.upper())

    def restep(self, clock_hz: int, step: int) -> None:
        """Go on with another packet time; the clock of what is queued does not change."""
        self._clock_hz = clock_hz
        self._step = step

    def abort(self) -> None:
        """Forget all digits. The receiver ends an event that goes silent by itself (RFC 4733 §2.5.2.2)."""
        self._waiting.clear()
        self._digit = None

    def next_packet(self, timestamp: int) -> EventPacket | None:
        """The event packet of the packet time that starts at ``timestamp``; None for silence or when not busy."""
        digit = self._digit
        if digit is None:
            if not self._waiting:
                return None
            digit = self._digit = self._waiting.popleft()
            self._start = timestamp
            self._elapsed = 0
            self._ends_left = END_PACKETS
        self._elapsed += self._step
        packet = None
        if self._ends_left:
            ended = self._elapsed >= digit.duration
            flags = VOLUME | (_END_BIT if ended else 0)
            payload = _PAYLOAD.pack(digit.event, flags, min(self._elapsed, digit.duration))
            packet = EventPacket(payload, self._start, marker=self._elapsed == self._step)
            self._ends_left -= ended
        if not self._ends_left and (not self._waiting or self._elapsed >= digit.duration + digit.gap):
            self._digit = None
            self.digits_sent += 1
        return packet
