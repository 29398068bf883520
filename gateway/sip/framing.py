"""Messages out of a byte stream (RFC 3261 §18.3), and the keep-alives between them (RFC 5626 §3.5.1)."""

import re
from collections.abc import Iterator
from enum import Enum

from gateway.sip.errors import SipParseError
from gateway.sip.parser import DEFAULT_LIMITS, Limits, content_length

_HEAD_END = re.compile(rb"\n\r?\n")
_BLANK = re.compile(rb"(?:\r\n)++")
_FOLD = re.compile(rb"\r?\n[ \t]++")
_CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*+:[ \t]*+([^\r\n]*+)", re.IGNORECASE | re.MULTILINE)


class KeepAlive(Enum):
    """What stands between messages. A ping shows as PONG, PING: its first half looks like the answer to one of ours."""

    PING = "double CRLF"
    """Owed: one CRLF."""
    PONG = "single CRLF"


class StreamFramer:
    """Feed it what arrives, in any pieces: what comes out is the same. A stream that lost its framing is lost."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._pending = bytearray()
        self._scanned = 0
        self._wanted = 0
        self._newlines = 0
        self._lost: SipParseError | None = None

    def push(self, data: bytes) -> Iterator[bytes | KeepAlive]:
        """Yield the messages and keep-alives that ``data`` completes; read it to its end.

        Raises SipParseError when the framing is lost: behind all that came before, and behind the head of
        the message that tells no length, which ``parse_message`` will refuse with the right answer.
        """
        self._pending += data
        return self._items()

    def _items(self) -> Iterator[bytes | KeepAlive]:
        if self._lost is not None:
            raise self._lost
        try:
            yield from self._cut()
        except SipParseError as error:
            self._lost = error
            self._pending.clear()
            raise

    def _cut(self) -> Iterator[bytes | KeepAlive]:
        pending = self._pending
        while True:
            if self._wanted == 0:
                yield from self._keep_alives()
                head_bytes = self._find_head()
                if head_bytes == 0:
                    return
                try:
                    self._wanted = head_bytes + self._body_bytes(head_bytes)
                except SipParseError:
                    yield bytes(pending[:head_bytes])
                    raise
                if self._wanted > self._limits.message_bytes:
                    raise SipParseError("too_large", f"a message of {self._wanted} bytes", None)
            if len(pending) < self._wanted:
                return
            message = bytes(pending[: self._wanted])
            del pending[: self._wanted]
            self._wanted = self._scanned = self._newlines = 0
            yield message

    def _keep_alives(self) -> Iterator[KeepAlive]:
        blank = _BLANK.match(self._pending)
        if blank is None:
            return
        del self._pending[: blank.end()]
        first, count = self._newlines, blank.end() // 2
        self._newlines += count
        pairs = (KeepAlive.PONG, KeepAlive.PING) * (count // 2 + 1)
        yield from pairs[first % 2 : first % 2 + count]

    def _find_head(self) -> int:
        """The bytes of the head with its empty line; 0 while it is not whole."""
        limit = self._limits.head_bytes
        end = _HEAD_END.search(self._pending, max(0, self._scanned - 2), limit)
        if end is not None:
            return end.end()
        self._scanned = len(self._pending)
        if self._scanned >= limit:
            raise SipParseError("too_large", f"expected a head of at most {limit} bytes", None)
        return 0

    def _body_bytes(self, head_bytes: int) -> int:
        head = _FOLD.sub(b" ", self._pending[:head_bytes])
        values = [value.decode("latin-1").strip(" \t") for value in _CONTENT_LENGTH.findall(head)]
        if not values:
            raise SipParseError("content_length", "expected a Content-Length on a stream", None)
        try:
            return content_length(values)
        except SipParseError as error:
            raise SipParseError(error.reason, str(error), None) from None
