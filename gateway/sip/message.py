"""Requests and responses (RFC 3261 §7): a start line, header fields, a body."""

from dataclasses import dataclass

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers
from gateway.sip.name_addr import NameAddr, parse_name_addr, parse_name_addrs
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


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class _Message:
    """What both kinds share. Typed accessors read the headers each time; the headers are the truth.

    Accessors raise SipParseError where a header that was built or changed later is not what its grammar wants;
    ``parse_message`` has checked those that every message has.
    """

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self.vias[0]

    @property
    def vias(self) -> list[Via]:
        return [parse_via(element) for element in self.headers.split("Via")]

    @property
    def from_(self) -> NameAddr:
        return parse_name_addr(self._must("From"))

    @property
    def to(self) -> NameAddr:
        return parse_name_addr(self._must("To"))

    @property
    def call_id(self) -> str:
        return self._must("Call-ID")

    @property
    def cseq(self) -> CSeq:
        return parse_cseq(self._must("CSeq"))

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact; ``*`` is not one (see ``contact_is_wildcard``)."""
        return parse_name_addrs(value for value in self.headers.get_all("Contact") if value.strip() != "*")

    @property
    def contact_is_wildcard(self) -> bool:
        """``Contact: *``: all registrations (RFC 3261 §10.2.2)."""
        return any(value.strip() == "*" for value in self.headers.get_all("Contact"))

    @property
    def record_routes(self) -> list[NameAddr]:
        return parse_name_addrs(self.headers.get_all("Record-Route"))

    @property
    def routes(self) -> list[NameAddr]:
        return parse_name_addrs(self.headers.get_all("Route"))

    @property
    def content_type(self) -> str:
        """As written; "" where there is none."""
        return self.headers.get("Content-Type") or ""

    @property
    def max_forwards(self) -> int | None:
        return self._number("Max-Forwards", 255)

    @property
    def expires(self) -> int | None:
        """Seconds; more than 2**32 - 1 is that (RFC 3261 §20.19)."""
        return self._number("Expires", 2**32 - 1, clamp=True)

    def tokens(self, name: str) -> list[str]:
        """The option tags of Require, Supported and their like."""
        return self.headers.split(name)

    def _must(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise SipParseError("missing_header", f"expected a {name} header")
        return value

    def _number(self, name: str, limit: int, *, clamp: bool = False) -> int | None:
        value = self.headers.get(name)
        if value is None:
            return None
        value = value.strip()
        if not (value.isascii() and value.isdecimal()) or len(value) > 40:
            raise SipParseError("number", f"expected a number in {name}, got {value[:40]!r}")
        number = int(value)
        if number > limit and not clamp:
            raise SipParseError("number", f"expected at most {limit} in {name}, got {value[:40]}")
        return min(number, limit)

    def _to_bytes(self, start: str) -> bytes:
        lines = [start]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


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
        """The response that goes back where this came from (§8.2.6.2); ``to_tag`` only where To has none."""
        headers = Headers()
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            for value in self.headers.get_all(name):
                headers.add(name, value)
        if status == 100 and (timestamp := self.headers.get("Timestamp")) is not None:
            headers.add("Timestamp", timestamp)
        if to_tag and not _tag_of(self.headers):
            headers.set("To", f"{headers.get('To') or ''};tag={to_tag}")
        return Response(status, reason or REASONS.get(status, "Unknown"), headers)

    def __repr__(self) -> str:
        return f"<{self.method} request>"


class Response(_Message):
    """``reason`` is for people."""

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
    number, _, method = text.strip().partition(" ")
    method = method.strip()
    if not (number.isascii() and number.isdecimal()) or len(number) > 10 or int(number) > MAX_CSEQ or not method:
        raise SipParseError("cseq", f"expected a number below 2**31 and a method in CSeq, got {text[:40]!r}")
    return CSeq(int(number), method)


def _tag_of(headers: Headers) -> str | None:
    try:
        return parse_name_addr(headers.get("To") or "").tag
    except SipParseError:
        return None
