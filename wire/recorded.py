"""A call as its worker was told it, in one file: what ``twowire replay`` runs again.

``TWOWIRE-CALL 1``, a line of JSON (``Header``), then frames of the wire: what went up, in order, and each
``Decision`` where it came. Docs: docs/REPLAY.md.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from wire.codec import decode_all, encode
from wire.errors import WireError
from wire.ids import CallId
from wire.messages import AnyMessage

MAGIC = b"TWOWIRE-CALL 1\n"
_MAX_HEADER_BYTES = 4_096


class Header(Struct, frozen=True):
    """Which call it was, and which engine decided. Times: Unix seconds, milliseconds."""

    call: CallId
    engine: str
    agent: str
    chunk_ms: int
    first_chunk_ms: int
    started_unix_s: float


class BadRecordingError(ValueError):
    """The bytes are no recorded call; the text says where they stop being one."""


def begin(header: Header) -> bytes:
    """What a recorded call begins with."""
    return MAGIC + msgspec.json.encode(header) + b"\n"


def append(message: AnyMessage) -> bytes:
    """One more message of it."""
    return encode(message)


def read(data: bytes) -> tuple[Header, Iterator[AnyMessage]]:
    """The header and the messages. Raises BadRecordingError, for a damaged message when it is reached."""
    if not data.startswith(MAGIC):
        raise BadRecordingError("no recorded call: it does not begin with TWOWIRE-CALL 1")
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + _MAX_HEADER_BYTES)
    if end < 0:
        raise BadRecordingError("the header has no end")
    try:
        header = msgspec.json.decode(data[len(MAGIC) : end], type=Header)
    except msgspec.DecodeError as error:
        raise BadRecordingError(f"the header cannot be read: {error}") from None
    return header, _messages(data[end + 1 :])


def _messages(frames: bytes) -> Iterator[AnyMessage]:
    for number, message in enumerate(decode_all(frames)):
        if isinstance(message, WireError):
            raise BadRecordingError(f"message {number} is damaged: {message}")
        yield message
