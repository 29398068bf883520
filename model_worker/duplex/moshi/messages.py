"""Messages of a Moshi server: binary WebSocket frames, their kind in the first octet (``rust/protocol.md`` there)."""

from enum import IntEnum

from model_worker.duplex.remote.effects import Frame

MAX_FRAME_BYTES = 256 * 1024  # servers send 40 to 80 ms of sound at once, some hundred bytes


class Kind(IntEnum):
    """Of what a message is. CONTROL and PING are of no use here, and no server sends them."""

    HANDSHAKE = 0
    """The server is ready: versions of the protocol and of the model, or nothing behind the kind."""
    AUDIO = 1
    """More of an Ogg Opus stream of 24 kHz, mono; both ways."""
    TEXT = 2
    """UTF-8: the next piece of what the model says, often part of a word."""
    CONTROL = 3
    METADATA = 4
    """JSON about the server."""
    ERROR = 5
    """UTF-8: why the session ends."""
    PING = 6


class GarbageError(Exception):
    """Not a message of the protocol. The text quotes nothing of it."""


def read(frame: Frame) -> tuple[Kind, bytes] | None:
    """Kind and content; None for a kind that is not known, which is to be passed over. Raises GarbageError."""
    if isinstance(frame, str):
        raise GarbageError("a frame of text, expected a binary one")
    if not 1 <= len(frame) <= MAX_FRAME_BYTES:
        raise GarbageError(f"a frame of {len(frame)} bytes, expected 1 to {MAX_FRAME_BYTES}")
    try:
        return Kind(frame[0]), frame[1:]
    except ValueError:
        return None


def read_version(content: bytes) -> int:
    """The version of the protocol in a handshake; servers in Python leave it out. Raises GarbageError."""
    if len(content) not in (0, 8):
        raise GarbageError(f"a handshake of {len(content)} bytes, expected none or 8")
    return int.from_bytes(content[:4], "little")


def write_audio(octets: bytes) -> bytes:
    return bytes((Kind.AUDIO,)) + octets
