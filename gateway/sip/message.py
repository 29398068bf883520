"""Requests and responses (RFC 3261 §7): a start line, header fields, a body."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers
from gateway.sip.lexer import NAME_CHAR
from gateway.sip.name_addr import NameAddr, parse_name_addr
from gateway.sip.uri import Uri
from gateway.sip.via import Via, parse_via

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    199: "Early Dialog Terminated", 200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 428: "Use Identity Header",
    429: "Provide Referrer Identity", 433: "Anonymity Disallowed", 437: "Unsupported Certificate",
    438: "Invalid Identity Header", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
    493: "Undecipherable", 494: "Security Agreement Required", 500: "Server Internal Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 580: "Precondition Failure", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
"""Reason phrases of the statuses IANA lists."""

MAX_CSEQ = 2**31 - 1  # RFC 3261 §8.1.1.5
MAX_DELTA_S = 2**32 - 1  # §20.19

_CSEQ = re.compile(rf"[ \t]*+0*([0-9]{{1,10}})[ \t]++({NAME_CHAR}++)[ \t]*+")
_NO_BREAKS = str.maketrans("\r\n", "  ")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class _Message:
    """What both kinds share. The headers are the truth: typed accessors read them, and remember what they read.

    Accessors raise SipParseError where a header is missing or not what its grammar wants. ``parse_message``
    has checked those that every message has, and the addresses of requests and of responses below 300.
    """

    __slots__ = ("_read", "body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body
        # By name, what stood there and what it means. The strings are compared, so no change goes unseen.
        self._read: dict[str, tuple[Any, Any]] = {}

    @property
    def via(self) -> Via:
        """The topmost Via."""
        vias = self.vias
        if not vias:
            raise SipParseError("missing_header", "expected a Via header")
        return vias[0]

    @property
    def vias(self) -> list[Via]:
        return self._all("Via", parse_via)

    @property
    def from_(self) -> NameAddr:
        return self._one("From", parse_name_addr)

    @property
    def to(self) -> NameAddr:
        return self._one("To", parse_name_addr)

    @property
    def call_id(self) -> str:
        value = self.headers.get("Call-ID")
        if not value:
            raise SipParseError("missing_header", "expected a Call-ID header")
        return value

    @property
    def cseq(self) -> CSeq:
        return self._one("CSeq", parse_cseq)

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact; none for ``*`` (see ``contact_is_wildcard``)."""
        if self.headers.get("Contact") == "*" and self.contact_is_wildcard:
            return []
        return self._all("Contact", parse_name_addr)

    @property
    def contact_is_wildcard(self) -> bool:
        """``Contact: *``, all registrations (RFC 3261 §10.2.2); beside others it is an error."""
        return self.headers.get_all("Contact") == ["*"]

    @property
    def record_routes(self) -> list[NameAddr]:
        return self._all("Record-Route", parse_name_addr)

    @property
    def routes(self) -> list[NameAddr]:
        return self._all("Route", parse_name_addr)

    @property
    def content_type(self) -> str:
        """As written; "" where there is none."""
        return self.headers.get("Content-Type") or ""

    @property
    def max_forwards(self) -> int | None:
        """From 0 to 255; None where there is none, as in RFC 2543."""
        value = self.headers.get("Max-Forwards")
        if value is None:
            return None
        number = _number(value, "Max-Forwards")
        if number > 255:
            raise SipParseError("number", f"expected at most 255 in Max-Forwards, got {value[:40]}")
        return number

    @property
    def expires(self) -> int | None:
        """Seconds, at most 2**32 - 1 (RFC 3261 §20.19). None where there are none: RFC 2543 had dates here as well."""
        try:
            return min(_number(self.headers.get("Expires") or "", "Expires"), MAX_DELTA_S)
        except SipParseError:
            return None

    def tokens(self, name: str) -> list[str]:
        """The words of Require, Supported, Allow and their like, as written. Never raises."""
        values = self.headers.get_all(name)
        return [token for value in values for word in value.split(",") if (token := word.strip(" \t"))]

    def _one(self, name: str, parse: Callable[[str], _T]) -> _T:
        value = self.headers.get(name)
        if value is None:
            raise SipParseError("missing_header", f"expected a {name} header")
        known = self._read.get(name)
        if known is None or known[0] is not value:
            known = self._read[name] = (value, parse(value))
        meaning: _T = known[1]
        return meaning

    def _all(self, name: str, parse: Callable[[str], _T]) -> list[_T]:
        values = self.headers.get_all(name)
        if not values:
            return []
        known = self._read.get(name)
        if known is None or known[0] != values:
            one = len(values) == 1 and values[0] and "," not in values[0]
            elements = values if one else self.headers.split(name)
            known = self._read[name] = (values, [parse(element) for element in elements])
        return list(known[1])

    def _to_bytes(self, start: str) -> bytes:
        lines = [f"{name}: {value}" for key, name, value in self.headers.fields() if key != "content-length"]
        head = "\r\n".join((start, *lines))
        if head.count("\n") != len(lines) or head.count("\r") != len(lines):
            # Whatever a value was made of, it does not become a second line.
            head = "\r\n".join(line.translate(_NO_BREAKS) for line in (start, *lines))
        return f"{head}\r\nContent-Length: {len(self.body)}\r\n\r\n".encode("utf-8", "surrogateescape") + self.body


class Request(_Message):
    """``method`` is as written: methods are case-sensitive (§7.1)."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: Uri, headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers if headers is not None else Headers(), body)
        self.method = method
        self.uri = uri

    def to_bytes(self) -> bytes:
        """The wire form; Content-Length is set from the body."""
        return self._to_bytes(f"{self.method} {self.uri} SIP/2.0")

    def respond(self, status: int, reason: str = "", to_tag: str = "") -> "Response":
        """The response that goes back where this came from (§8.2.6); ``to_tag`` only where To has none.

        What is copied is copied as it stands, so that a request with faults can be refused as well.
        """
        headers = Headers()
        for value in self.headers.get_all("Via"):
            headers.add("Via", value)
        for name in ("From", "To", "Call-ID", "CSeq"):
            if (single := self.headers.get(name)) is not None:
                if name == "To" and to_tag and not self._has_to_tag():
                    single = f"{single};tag={to_tag}"
                headers.add(name, single)
        if (timestamp := self.headers.get("Timestamp")) is not None:
            headers.add("Timestamp", timestamp)
        return Response(status, reason, headers)

    def _has_to_tag(self) -> bool:
        try:
            return self.to.tag is not None
        except SipParseError:
            return False

    def __repr__(self) -> str:
        return f"<{self.method} request>"


class Response(_Message):
    """``reason`` is for people; where it is left out it is that of the status."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str = "", headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers if headers is not None else Headers(), body)
        self.status = status
        self.reason = reason or REASONS.get(status, "")

    def to_bytes(self) -> bytes:
        """The wire form; Content-Length is set from the body."""
        return self._to_bytes(f"SIP/2.0 {self.status} {self.reason}")

    def __repr__(self) -> str:
        return f"<{self.status} response>"


Message = Request | Response


def parse_cseq(text: str) -> CSeq:
    """``4711 INVITE``. Raises SipParseError."""
    match = _CSEQ.fullmatch(text)
    if match is None or (number := int(match[1])) > MAX_CSEQ:
        raise SipParseError("cseq", f"expected a number below 2**31 and a method in CSeq, got {text[:40]!r}")
    return CSeq(number, match[2])


def _number(text: str, name: str) -> int:
    digits = text.lstrip("0") or text[:1]
    if not (digits.isascii() and digits.isdecimal()):
        raise SipParseError("number", f"expected a number in {name}, got {text[:40]!r}")
    return int(digits[:20])  # more digits than any limit needs
