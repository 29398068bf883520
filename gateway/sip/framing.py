"""Messages out of a byte stream (RFC 3261 §18.3), and the keep-alives between them (RFC 5626 §3.5.1)."""

import re
from enum import Enum

from gateway.sip.errors import SipParseError
from gateway.sip.parser import DEFAULT_LIMITS, Limits

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class KeepAlive(Enum):
    """What stands between messages."""

    PING = "double CRLF"
    PONG = "single CRLF"


class StreamFramer:
    """Feed it what arrives, in any pieces; a stream that lost its framing cannot be read on."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._pending = bytearray()
        self._scanned = 0
        self._wanted: int | None = None
        self._newlines = 0

    def push(self, data: bytes) -> list[bytes | KeepAlive]:
        """The messages and keep-alives that ``data`` completes. Raises SipParseError when the framing is lost."""
        self._pending += data
        items: list[bytes | KeepAlive] = []
        while (item := self._next()) is not None:
            items.append(item)
        return items

    def _next(self) -> bytes | KeepAlive | None:
        pending = self._pending
        if self._wanted is None:
            if pending[:2] == b"\r\n":
                if len(pending) < 4 and b"\r\n\r\n".startswith(bytes(pending)):
                    return None  # half a ping, or a pong: what comes next tells
                size = 4 if pending[:4] == b"\r\n\r\n" else 2
                del pending[:size]
                return KeepAlive.PING if size == 4 else KeepAlive.PONG
            end = _HEAD_END.search(pending, max(0, self._scanned - 3))
            if end is None:
                self._scanned = len(pending)
                if len(pending) > self._limits.head_bytes:
                    raise SipParseError("too_large", "no end of the headers in sight", None)
                return None
            lengths = _CONTENT_LENGTH.findall(bytes(pending[: end.end()]))
            if len(set(lengths)) != 1:
                raise SipParseError("content_length", "expected one Content-Length on a stream", None)
            self._wanted = end.end() + int(lengths[0])
            if self._wanted > self._limits.message_bytes:
                raise SipParseError("too_large", f"a message of {self._wanted} bytes", None)
        if len(pending) < self._wanted:
            return None
        message = bytes(pending[: self._wanted])
        del pending[: self._wanted]
        self._wanted, self._scanned = None, 0
        return message
