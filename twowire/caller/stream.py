"""Twilio's end of one media stream, pure: a 20 ms media clock, a playout buffer, messages.

The clock starts with ``start``. Tick *n* is due 20·n ms later: it sends the caller's frame *n*
and begins to play what the caller hears as frame *n*. A tick that is late is made up for and
moves no other: one frame per 20 ms for ever, as a phone does.
"""

from collections import deque
from dataclasses import dataclass

from twowire.caller.messages import (
    FRAME_MS,
    FRAME_SAMPLES,
    SILENCE,
    ApplicationError,
    Clear,
    Mark,
    Media,
    StreamIds,
    TwilioWriter,
    parse,
)
from twowire.caller.playout import PlayoutBuffer

MAX_VIOLATIONS = 20  # kept for the report; an application that breaks the rules more often is not more wrong


@dataclass(frozen=True, slots=True)
class Tick:
    """20 ms of the call, both directions, 160 bytes of µ-law each. ``late_s``: when it ran, behind its due time."""

    index: int
    sent: bytes
    heard: bytes
    late_s: float


class TwilioCaller:
    """One stream from ``start`` to ``stop``. ``now`` is monotonic seconds; ``poll`` gives the texts to send."""

    def __init__(self, ids: StreamIds, parameters: dict[str, str], now: float) -> None:
        self.violations: list[str] = []
        """What the application sent that Twilio would not take."""
        self.ended = False
        self._ids = ids
        self._started_at = now
        self._ticks = 0
        self._writer = TwilioWriter(ids)
        self._playout = PlayoutBuffer()
        self._speech = bytearray()
        self._texts: deque[str] = deque((self._writer.connected(), self._writer.start(parameters)))

    @property
    def unsent_bytes(self) -> int:
        """Caller's audio that is left to send."""
        return len(self._speech)

    @property
    def agent_buffered(self) -> bool:
        """True while there is agent's audio left to play."""
        return not self._playout.empty

    def media_s(self, now: float) -> float:
        """``now`` on the media clock."""
        return now - self._started_at

    def next_due(self) -> float:
        """When the next tick is due, on the clock of ``now``."""
        return self._started_at + self._ticks * FRAME_MS / 1_000

    def tick(self, now: float) -> Tick:
        """Do one tick. The caller of this runs it once per due time, however late."""
        index, late_s = self._ticks, now - self.next_due()
        self._ticks += 1
        heard = self._playout.next_frame()
        self._echo(self._playout.played_marks())
        sent = self.next_sent(heard)
        self._texts.append(self._writer.media(sent))
        return Tick(index, sent, heard, late_s)

    def next_sent(self, heard: bytes) -> bytes:
        """The caller's next frame, while ``heard`` is played: speech, else silence. A noisier line overrides it."""
        del heard
        sent = bytes(self._speech[:FRAME_SAMPLES]).ljust(FRAME_SAMPLES, SILENCE)
        del self._speech[:FRAME_SAMPLES]
        return sent

    def receive(self, text: str | bytes) -> Media | Mark | Clear | None:
        """Take one text message of the application; None when Twilio would not (see ``violations``).

        All ticks that were due before it came must have been done.
        """
        try:
            message = parse(text, self._ids.stream_sid)
        except ApplicationError as error:
            self.note_violation(str(error))
            return None
        match message:
            case Media():
                self._playout.add(message.media.payload)
            case Mark():
                self._playout.mark(message.mark.name)
                self._echo(self._playout.played_marks())
            case Clear():
                self._echo(self._playout.clear())
        return message

    def note_violation(self, text: str) -> None:
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(text)

    def speak(self, ulaw: bytes) -> None:
        """Say this from the next tick on, after what is being said. A last frame is filled up with silence."""
        self._speech += ulaw

    def press(self, digit: str) -> None:
        self._texts.append(self._writer.dtmf(digit))

    def hang_up(self) -> None:
        """``stop``; no tick may follow."""
        if not self.ended:
            self.ended = True
            self._texts.append(self._writer.stop())

    def poll(self) -> str | None:
        """The next text to send, in order; None when there is none."""
        return self._texts.popleft() if self._texts else None

    def _echo(self, names: list[str]) -> None:
        for name in names:
            self._texts.append(self._writer.mark(name))
