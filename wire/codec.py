"""The one codec of the wire: messages to frames and back.

A frame is ten bytes of header and a MessagePack body::

    0      1         2              6              10
    | 'T'  | version | body length  | CRC-32 body  | body ...

Frames carry their own length, so a **super-frame**, all frames of one flush to one
destination, is their concatenation. A damaged body costs its own frame only; a
damaged header costs the rest of its super-frame, because nothing says where the next begins.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from wire.errors import DamagedFrameError, OversizedFrameError, ShortFrameError, UnknownVersionError, WireError
from wire.messages import AnyMessage

VERSION = 1
MAX_BODY_BYTES = 128 * 1024  # 2.7 s of 24 kHz PCM; the longest message today is a 1 s unit of 48 kB

_MAGIC = 0x54
_HEADER = struct.Struct("!BBII")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """Write one message as a frame. Raises ValueError when it is larger than any message may be."""
    body = _encoder.encode(message)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"message of {len(body)} bytes, expected no more than {MAX_BODY_BYTES}")
    return _HEADER.pack(_MAGIC, VERSION, len(body), zlib.crc32(body)) + body


def decode(frame: bytes) -> AnyMessage:
    """Read exactly one frame. Raises a ``WireError`` and nothing else, whatever the bytes are."""
    message, end = _decode_at(memoryview(frame), 0)
    if isinstance(message, WireError):
        raise message
    if end != len(frame):
        raise DamagedFrameError(f"{len(frame) - end} bytes follow the frame")
    return message


def decode_all(superframe: bytes) -> Iterator[AnyMessage | WireError]:
    """Yield every message of a super-frame, and in place of each unreadable one its error."""
    view = memoryview(superframe)
    at = 0
    while at < len(view):
        message, at = _decode_at(view, at)
        yield message


def _decode_at(view: memoryview, at: int) -> tuple[AnyMessage | WireError, int]:
    """Decode the frame that starts at ``at``; the second value is where the next one starts."""
    lost = len(view)  # without a header that can be trusted, nothing after it can be found
    if lost - at < _HEADER.size:
        return ShortFrameError(f"{lost - at} bytes, expected a header of {_HEADER.size}"), lost
    magic, version, length, checksum = _HEADER.unpack_from(view, at)
    if magic != _MAGIC:
        return DamagedFrameError(f"frame starts with {magic:#04x}, expected {_MAGIC:#04x}"), lost
    if version != VERSION:
        return UnknownVersionError(f"wire version {version}, expected {VERSION}"), lost
    if length > MAX_BODY_BYTES:
        return OversizedFrameError(f"body of {length} bytes, expected no more than {MAX_BODY_BYTES}"), lost
    start = at + _HEADER.size
    end = start + length
    if end > len(view):
        return ShortFrameError(f"body of {len(view) - start} bytes, header says {length}"), lost
    body = view[start:end]
    if zlib.crc32(body) != checksum:
        return DamagedFrameError("checksum of the body does not match"), end
    try:
        return _decoder.decode(body), end
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return DamagedFrameError(f"body is not a message: {type(error).__name__}"), end
