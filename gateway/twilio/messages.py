"""Twilio Media Streams messages, in and out.

Twilio, "Media Streams - WebSocket Messages". Numbers travel as strings. Outbound is only
``media``, ``mark`` and ``clear``; an extra field in any of them is an error on Twilio's side.
"""

import binascii

import msgspec
from msgspec import Struct, field

from wire.audio.codecs import Codec

CODEC = Codec.PCMU  # the only one Media Streams carries


class StreamMessageError(Exception):
    """The bytes are not a message of Media Streams; the text says why and holds nothing of the payload."""


class Connected(Struct, tag_field="event", tag="connected"):
    protocol: str = ""
    version: str = ""


class MediaFormat(Struct):
    encoding: str
    sample_rate_hz: int = field(name="sampleRate")
    channels: int


class StartDetails(Struct):
    account_sid: str = field(name="accountSid")
    call_sid: str = field(name="callSid")
    media_format: MediaFormat = field(name="mediaFormat")
    tracks: list[str] = field(default_factory=list)
    custom_parameters: dict[str, str] = field(name="customParameters", default_factory=dict)


class Start(Struct, tag_field="event", tag="start"):
    stream_sid: str = field(name="streamSid")
    start: StartDetails


class MediaDetails(Struct):
    payload: bytes
    """Decoded from base64 by msgspec, strictly."""
    timestamp: str = "0"
    """Milliseconds of the stream at the start of the payload."""
    track: str = "inbound"


class Media(Struct, tag_field="event", tag="media"):
    stream_sid: str = field(name="streamSid")
    media: MediaDetails


class DtmfDetails(Struct):
    digit: str


class DtmfMessage(Struct, tag_field="event", tag="dtmf"):
    stream_sid: str = field(name="streamSid")
    dtmf: DtmfDetails


class MarkDetails(Struct):
    name: str


class Mark(Struct, tag_field="event", tag="mark"):
    stream_sid: str = field(name="streamSid")
    mark: MarkDetails


class Stop(Struct, tag_field="event", tag="stop"):
    stream_sid: str = field(name="streamSid")


class Unknown(Struct):
    """An event this release does not know: ignored, so that Twilio may add some."""

    event: str


StreamMessage = Connected | Start | Media | DtmfMessage | Mark | Stop
_KNOWN = frozenset({"connected", "start", "media", "dtmf", "mark", "stop"})
_decoder: msgspec.json.Decoder[StreamMessage] = msgspec.json.Decoder(StreamMessage)
_any_event: msgspec.json.Decoder[Unknown] = msgspec.json.Decoder(Unknown)
_encoder = msgspec.json.Encoder()


def parse(text: bytes) -> StreamMessage | Unknown:
    """Read one WebSocket text message. Raises StreamMessageError, whatever the bytes are."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = error
    try:
        unknown = _any_event.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise StreamMessageError(f"not a stream message: {type(reason).__name__}") from None
    if unknown.event in _KNOWN:
        raise StreamMessageError(f"malformed {unknown.event} message")
    return unknown


class StreamWriter:
    """Writes the outbound messages of one stream; the constant parts are made once."""

    def __init__(self, stream_sid: str) -> None:
        sid = _encoder.encode(stream_sid)
        self._media_head = b'{"event":"media","streamSid":' + sid + b',"media":{"payload":"'
        self._mark_head = b'{"event":"mark","streamSid":' + sid + b',"mark":{"name":'
        self.clear = b'{"event":"clear","streamSid":' + sid + b"}"

    def media(self, payload: bytes) -> bytes:
        """µ-law 8 kHz of any length, without a file header."""
        return self._media_head + binascii.b2a_base64(payload, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        return self._mark_head + _encoder.encode(name) + b"}}"
