"""Media Streams messages from Twilio's side: what it sends to an application, and what it accepts from one.

Twilio, "Media Streams - WebSocket Messages". Numbers travel as strings. Of an application Twilio
takes ``media``, ``mark`` and ``clear`` only; an unknown event, a missing or an extra field and a
wrong streamSid are its error 31951.
"""

import binascii
import json
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct, field

FRAME_MS = 20
FRAME_SAMPLES = 160
SAMPLE_RATE_HZ = 8_000
SILENCE = b"\xff"
"""One silent sample of µ-law."""


class ApplicationError(Exception):
    """The application sent what Twilio does not take; the text begins with Twilio's error code."""


@dataclass(frozen=True, slots=True)
class StreamIds:
    """Who is on the stream."""

    account_sid: str
    call_sid: str
    stream_sid: str


class MediaDetails(Struct, forbid_unknown_fields=True):
    payload: bytes
    """µ-law; decoded from base64 by msgspec, strictly."""


class Media(Struct, tag_field="event", tag="media", forbid_unknown_fields=True):
    stream_sid: str = field(name="streamSid")
    media: MediaDetails


class MarkDetails(Struct, forbid_unknown_fields=True):
    name: str


class Mark(Struct, tag_field="event", tag="mark", forbid_unknown_fields=True):
    stream_sid: str = field(name="streamSid")
    mark: MarkDetails


class Clear(Struct, tag_field="event", tag="clear", forbid_unknown_fields=True):
    stream_sid: str = field(name="streamSid")


ApplicationMessage = Media | Mark | Clear
_decoder: msgspec.json.Decoder[ApplicationMessage] = msgspec.json.Decoder(ApplicationMessage)


def parse(text: str | bytes, stream_sid: str) -> ApplicationMessage:
    """Read one text message of the application, as strictly as Twilio. Raises ApplicationError."""
    try:
        message = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ApplicationError(f"31951 invalid message: {error}") from None
    if message.stream_sid != stream_sid:
        raise ApplicationError("31951 invalid message: streamSid is not that of this stream")
    return message


class TwilioWriter:
    """Writes what Twilio sends on one stream. ``sequenceNumber`` counts all messages but ``connected``."""

    def __init__(self, ids: StreamIds) -> None:
        self._ids = ids
        self._sequence = 0
        self._frames = 0

    def connected(self) -> str:
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, parameters: dict[str, str]) -> str:
        ids = self._ids
        return self._numbered(
            "start",
            {
                "streamSid": ids.stream_sid,
                "accountSid": ids.account_sid,
                "callSid": ids.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": SAMPLE_RATE_HZ, "channels": 1},
                "customParameters": parameters,
            },
        )

    def media(self, frame: bytes) -> str:
        """The next 20 ms of the caller: 160 bytes of µ-law."""
        chunk = self._frames
        self._frames += 1
        return self._numbered(
            "media",
            {
                "track": "inbound",
                "chunk": str(chunk + 1),
                "timestamp": str(chunk * FRAME_MS),
                "payload": binascii.b2a_base64(frame, newline=False).decode(),
            },
        )

    def dtmf(self, digit: str) -> str:
        return self._numbered("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._numbered("mark", {"name": name})

    def stop(self) -> str:
        return self._numbered("stop", {"accountSid": self._ids.account_sid, "callSid": self._ids.call_sid})

    def _numbered(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return json.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                "streamSid": self._ids.stream_sid,
                event: body,
            }
        )
