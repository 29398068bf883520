"""What the recognizer's process is told and what it answers: MessagePack frames over its pipes.

A frame is a 4-byte little-endian length and that many bytes. Both ends are of one release and
start together, so that the frames carry no version.
"""

import struct
from collections.abc import Iterator

import msgspec

MAX_FRAME_BYTES = 16 * 1024 * 1024


class Define(msgspec.Struct, frozen=True, tag="define", array_like=True):
    """A grammar that utterances will name; ``warm``: build a recognizer for it now."""

    grammar: int
    jsgf: str
    dictionary: str


class Start(msgspec.Struct, frozen=True, tag="start", array_like=True):
    utterance: int
    grammar: int


class Feed(msgspec.Struct, frozen=True, tag="feed", array_like=True):
    """int16 little-endian mono samples at 16 kHz."""

    utterance: int
    pcm: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish", array_like=True):
    utterance: int


class Drop(msgspec.Struct, frozen=True, tag="drop", array_like=True):
    """Nobody waits for this utterance any more: it gets no result."""

    utterance: int


class Ready(msgspec.Struct, frozen=True, tag="ready", array_like=True):
    """The process is up."""


class Result(msgspec.Struct, frozen=True, tag="result", array_like=True):
    """``text`` is a phrase of the grammar, or empty when nothing fits."""

    utterance: int
    text: str
    confidence: float


Command = Define | Start | Feed | Finish | Drop
Answer = Ready | Result

_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Command | Answer) -> bytes:
    """One message as a frame."""
    body = _ENCODER.encode(message)
    return struct.pack("<I", len(body)) + body


class FrameReader:
    """Cuts what comes out of a pipe into the bodies of frames, for a decoder of their type."""

    def __init__(self) -> None:
        self._data = bytearray()

    def push(self, data: bytes) -> Iterator[bytes]:
        """The bodies that ``data`` completes. Raises ValueError on a frame over the limit."""
        self._data += data
        while len(self._data) >= 4:
            (length,) = struct.unpack_from("<I", self._data)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"expected a frame of at most {MAX_FRAME_BYTES} bytes, got {length}")
            if len(self._data) < 4 + length:
                return
            body = bytes(self._data[4 : 4 + length])
            del self._data[: 4 + length]
            yield body
