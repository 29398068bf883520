"""Events of the Wyoming protocol, version 1: a line of JSON, then data and payload of the lengths that it names."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

MAX_LINE_BYTES = 64 * 1024
MAX_DATA_BYTES = 256 * 1024
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024  # a server that sends a whole sentence in one piece


class WyomingError(Exception):
    """What came is not of the protocol; nothing of it is in here."""


@dataclass(frozen=True, slots=True)
class Event:
    """``data``: what the type's definition names; ``payload``: sound, for types that carry some."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


class _Header(msgspec.Struct):
    type: str
    data: dict[str, Any] | None = None
    data_length: int | None = None
    payload_length: int | None = None


_header = msgspec.json.Decoder(_Header)
_data = msgspec.json.Decoder(dict[str, Any])


def write(event: Event) -> bytes:
    """An event as it crosses the wire."""
    header: dict[str, object] = {"type": event.type}
    data = msgspec.json.encode(event.data) if event.data else b""
    if data:
        header["data_length"] = len(data)
    if event.payload:
        header["payload_length"] = len(event.payload)
    return msgspec.json.encode(header) + b"\n" + data + event.payload


class Events:
    """The events of one connection. Any split of the same bytes gives the same events."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._header: _Header | None = None

    def feed(self, received: bytes) -> list[Event]:
        """What is whole by now. Raises WyomingError; nothing can be read after that."""
        self._received += received
        events: list[Event] = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def _next(self) -> Event | None:
        if self._header is None:
            line, ended, _ = self._received.partition(b"\n")
            if len(line) > MAX_LINE_BYTES:
                raise WyomingError("a line without end")
            if not ended:
                return None
            self._header = _read_header(bytes(line))
            del self._received[: len(line) + 1]
        header = self._header
        data_bytes, payload_bytes = header.data_length or 0, header.payload_length or 0
        if len(self._received) < data_bytes + payload_bytes:
            return None
        data = dict(header.data or {})
        if data_bytes:
            data |= _read_data(bytes(self._received[:data_bytes]))
        payload = bytes(self._received[data_bytes : data_bytes + payload_bytes])
        del self._received[: data_bytes + payload_bytes]
        self._header = None
        return Event(header.type, data, payload)


def _read_header(line: bytes) -> _Header:
    try:
        header = _header.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise WyomingError("a line that is no event") from None
    if not 0 <= (header.data_length or 0) <= MAX_DATA_BYTES:
        raise WyomingError("data of a length that nobody sends")
    if not 0 <= (header.payload_length or 0) <= MAX_PAYLOAD_BYTES:
        raise WyomingError("a payload of a length that nobody sends")
    return header


def _read_data(octets: bytes) -> dict[str, Any]:
    try:
        return _data.decode(octets)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise WyomingError("data that is none") from None
