"""One media stream, pure: text messages in, what they mean for the call out."""

from collections import Counter
from dataclasses import dataclass

from gateway.events import KeyPressed, LegEnded, MarkPlayed, is_keys
from gateway.twilio.messages import (
    CODEC,
    Connected,
    DtmfMessage,
    Mark,
    Media,
    Start,
    Stop,
    StreamMessageError,
    Unknown,
    parse,
)
from gateway.twilio.stream_clock import StreamClock

MAX_BAD_MESSAGES = 50  # a peer that breaks the protocol this often will not stop: the stream ends


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The stream names its call and shows the token it was given."""

    stream_sid: str
    call_sid: str
    token: str


StreamEvent = bytes | StreamStarted | MarkPlayed | KeyPressed | LegEnded
"""``bytes`` are the caller's µ-law, without holes."""


class TwilioStream:
    """Reads one stream in order. Bad messages are counted by reason and change nothing."""

    def __init__(self) -> None:
        self.bad: Counter[str] = Counter()
        self._stream_sid: str | None = None
        self._clock = StreamClock(CODEC)

    def receive(self, text: bytes) -> StreamEvent | None:
        """Take one text message; None when it means nothing to the call."""
        try:
            message = parse(text)
        except StreamMessageError:
            return self._count("malformed")
        match message:
            case Media():
                return self._receive_media(message)
            case Mark() if self._is_ours(message.stream_sid):
                return MarkPlayed(message.mark.name)
            case DtmfMessage() if self._is_ours(message.stream_sid):
                digit = message.dtmf.digit
                return KeyPressed(digit) if len(digit) == 1 and is_keys(digit) else self._count("bad_digit")
            case Start():
                return self._receive_start(message)
            case Stop() if self._is_ours(message.stream_sid):
                return LegEnded("caller_hung_up")
            case Connected():
                return None
            case Unknown():
                self.bad["unknown_event"] += 1  # counted, but not held against the peer
                return None
        return self._count("wrong_stream" if self._stream_sid else "before_start")

    def _receive_media(self, message: Media) -> StreamEvent | None:
        if not self._is_ours(message.stream_sid):
            return self._count("wrong_stream" if self._stream_sid else "before_start")
        media = message.media
        if media.track != "inbound":
            return self._count("wrong_track")
        noise = self._clock.conceal(media.timestamp, len(media.payload))
        return noise + media.payload if noise else media.payload

    def _receive_start(self, message: Start) -> StreamEvent | None:
        if self._stream_sid is not None:
            return self._count("second_start")
        audio = message.start.media_format
        if (audio.encoding, audio.sample_rate_hz, audio.channels) != ("audio/x-mulaw", 8_000, 1):
            self._count("media_format")
            return LegEnded("bad_media_format")
        self._stream_sid = message.stream_sid
        token = message.start.custom_parameters.get("token", "")
        return StreamStarted(message.stream_sid, message.start.call_sid, token)

    def _is_ours(self, stream_sid: str) -> bool:
        return stream_sid == self._stream_sid

    def _count(self, reason: str) -> LegEnded | None:
        self.bad[reason] += 1
        if self.bad.total() - self.bad["unknown_event"] > MAX_BAD_MESSAGES:
            return LegEnded("bad_input")
        return None
