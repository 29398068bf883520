"""JSON protocols over WebSockets: one event a text frame, its type in ``type``, sound in base64."""

from collections.abc import Mapping
from typing import Any

import msgspec

from model_worker.duplex.remote.effects import Frame
from model_worker.seams import Pcm
from wire.audio import g711
from wire.audio.codecs import Codec

MAX_FRAME_CHARACTERS = 4 * 1024 * 1024  # half a minute of sound; servers send a fraction of a second at once


class GarbageError(Exception):
    """Not an event of the protocol. The text quotes nothing of it."""


class _Head(msgspec.Struct):
    type: str


_head = msgspec.json.Decoder(_Head)


class Events:
    """Reads a server's events: types that are not listed are passed over, for servers add some."""

    def __init__(self, types: Mapping[str, type[msgspec.Struct]]) -> None:
        self._decoders = {name: msgspec.json.Decoder(struct) for name, struct in types.items()}

    def read(self, frame: Frame) -> msgspec.Struct | None:
        """The event; None for one of a type that is not listed. Raises GarbageError."""
        if not isinstance(frame, str):
            raise GarbageError("a binary frame, expected JSON")
        if len(frame) > MAX_FRAME_CHARACTERS:
            raise GarbageError(f"a frame of {len(frame)} characters, expected at most {MAX_FRAME_CHARACTERS}")
        try:
            decoder = self._decoders.get(_head.decode(frame).type)
            return None if decoder is None else decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise GarbageError(f"not an event: {type(error).__name__}") from None


def write(event: Mapping[str, Any]) -> str:
    """An event of ours; bytes in it become base64."""
    return msgspec.json.encode(event).decode()


def sound_of(octets: bytes, codec: Codec) -> Pcm:
    """Sound as it came. Raises GarbageError where it ends within a sample."""
    try:
        return g711.decode(codec, octets)
    except ValueError:
        raise GarbageError("sound that ends within a sample") from None
