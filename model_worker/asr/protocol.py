"""What the recognizer's process is told and what it answers: MessagePack frames over its pipes.

A frame is a 4-byte little-endian length and that many bytes. Both ends are of one release and
start together, so that the frames carry no version. Only ``Finish`` is answered, in order.
"""

import struct
from typing import IO

import msgspec


class Begin(msgspec.Struct, frozen=True, tag="begin", array_like=True):
    """An utterance in which something of a grammar (JSGF, and the CMU dictionary of its words) is expected."""

    utterance: int
    jsgf: str
    dictionary: str


class Feed(msgspec.Struct, frozen=True, tag="feed", array_like=True):
    """int16 mono samples at 16 kHz, in the machine's byte order."""

    utterance: int
    pcm: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish", array_like=True):
    """The utterance is over; its ``Hypothesis`` is awaited."""

    utterance: int


class Drop(msgspec.Struct, frozen=True, tag="drop", array_like=True):
    """Nobody waits for this utterance any more."""

    utterance: int


class Hypothesis(msgspec.Struct, frozen=True, array_like=True):
    """What the grammar made of an utterance; ``words`` is empty when no path through it fits.

    ``distance`` is how much better per frame a free loop of phones explains the sound than the
    grammar does, in units of 1e-4 natural log probability. Speech outside the grammar has more.
    """

    words: str
    distance: float


Command = Begin | Feed | Finish | Drop

_ENCODER = msgspec.msgpack.Encoder()
_COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_HYPOTHESES = msgspec.msgpack.Decoder(Hypothesis)


def write(pipe: IO[bytes], message: Command | Hypothesis) -> None:
    """Write one frame. Raises OSError when the other end is gone."""
    body = _ENCODER.encode(message)
    pipe.write(struct.pack("<I", len(body)) + body)
    pipe.flush()


def read_command(pipe: IO[bytes]) -> Command | None:
    """The next command; None when the pipe has ended."""
    body = _read_frame(pipe)
    return None if body is None else _COMMANDS.decode(body)


def read_hypothesis(pipe: IO[bytes]) -> Hypothesis | None:
    """The next answer; None when the pipe has ended."""
    body = _read_frame(pipe)
    return None if body is None else _HYPOTHESES.decode(body)


def _read_frame(pipe: IO[bytes]) -> bytes | None:
    header = pipe.read(4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack("<I", header)
    body = pipe.read(length)
    return body if len(body) == length else None
