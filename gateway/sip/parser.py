"""Bytes to a message (RFC 3261 §7, §18.3, §25): what is legal is read, what is not is told apart by its answer."""

import re
from dataclasses import dataclass

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers, long_name
from gateway.sip.message import Message, Request, Response, parse_cseq
from gateway.sip.name_addr import parse_name_addr
from gateway.sip.uri import parse_uri
from gateway.sip.via import parse_via

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_STATUS_LINE = re.compile(r"SIP/(\d+)\.(\d+) (\d{1,10})(?: (.*))?", re.IGNORECASE)
_VERSION = re.compile(r"SIP/(\d{1,4})\.(\d{1,4})", re.IGNORECASE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ONCE = frozenset({"from", "to", "call-id", "cseq", "max-forwards", "content-type"})
_MANDATORY = ("via", "from", "to", "call-id", "cseq")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be at most. 64 KiB is what a datagram holds."""

    message_bytes: int = 65_535
    head_bytes: int = 32_768
    headers: int = 256
    line_chars: int = 8_192


DEFAULT_LIMITS = Limits()


def parse_message(data: bytes, *, stream: bool = False, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read one whole message. Raises SipParseError.

    A datagram may be longer than its Content-Length says, what is over is dropped (§18.3); on a stream
    the framing has seen to it.
    """
    if len(data) > limits.message_bytes:
        raise SipParseError("too_large", f"{len(data)} bytes, expected at most {limits.message_bytes}", None)
    data = data.lstrip(b"\r\n")  # §7.5
    end = _HEAD_END.search(data, 0, limits.head_bytes)
    if end is None:
        raise SipParseError("no_end", "expected an empty line behind the headers", None)
    head, body = data[: end.start()], data[end.end() :]
    lines = _FOLD.sub(b" ", head).decode("utf-8", "surrogateescape").split("\n")
    start = lines[0].rstrip("\r")
    headers = _headers(lines[1:], limits)
    if start[:4].upper() == "SIP/":
        return _response(start, headers, body)
    return _request(start, headers, body, stream=stream)


def _headers(lines: list[str], limits: Limits) -> Headers:
    if len(lines) > limits.headers:
        raise SipParseError("too_many_headers", f"{len(lines)} headers, expected at most {limits.headers}", None)
    items = []
    for raw in lines:
        line = raw.rstrip("\r")
        if len(line) > limits.line_chars:
            raise SipParseError("line_too_long", f"a line of {len(line)} characters", None)
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _TOKEN.fullmatch(name):
            raise SipParseError("header", f"expected a header, got {line[:40]!r}", None)
        items.append((long_name(name), value.strip(" \t")))
    return Headers(items)


def _request(start: str, headers: Headers, body: bytes, *, stream: bool) -> Request:
    method, _, rest = start.partition(" ")
    uri_text, _, version = rest.rpartition(" ")
    if not _TOKEN.fullmatch(method) or not rest:
        raise SipParseError("start_line", f"expected METHOD URI SIP/2.0, got {start[:60]!r}", None)
    request = Request(method, parse_uri("sip:invalid.invalid"), headers, body)
    try:
        _check_version(version)
        request.uri = parse_uri(uri_text)
        request.body = _cut_body(headers, body, stream=stream)
        _check_headers(headers)
        if request.cseq.method != method:
            raise SipParseError("cseq", f"expected CSeq of {method}, got {request.cseq.method[:40]}")
        for name in ("Contact", "Route", "Record-Route"):
            if name in headers:
                _ = (
                    request.contacts
                    if name == "Contact"
                    else request.routes
                    if name == "Route"
                    else request.record_routes
                )
        _ = request.max_forwards, request.expires
    except SipParseError as error:
        answerable = _answerable(headers)
        raise SipParseError(
            error.reason, str(error), error.status if answerable else None, request if answerable else None
        ) from None
    return request


def _response(start: str, headers: Headers, body: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(start)
    if match is None:
        raise SipParseError("start_line", f"expected SIP/2.0 STATUS REASON, got {start[:60]!r}", None)
    status = int(match.group(3))
    if not 100 <= status <= 699 or len(match.group(3)) != 3:
        raise SipParseError("status", f"expected a status from 100 to 699, got {match.group(3)}", None)
    try:
        _check_version(f"SIP/{match.group(1)}.{match.group(2)}")
        body = _cut_body(headers, body, stream=False)
        _check_headers(headers)
    except SipParseError as error:
        raise SipParseError(error.reason, str(error), None) from None
    return Response(status, match.group(4) or "", headers, body)


def _check_version(text: str) -> None:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise SipParseError("start_line", f"expected SIP/2.0 at the end of the line, got {text[:40]!r}")
    if (int(match.group(1)), int(match.group(2))) != (2, 0):
        raise SipParseError("version", f"expected SIP/2.0, got {text}", 505)


def _cut_body(headers: Headers, body: bytes, *, stream: bool) -> bytes:
    lengths = {value.strip() for value in headers.get_all("Content-Length")}
    if not lengths:
        if stream and body:
            raise SipParseError("content_length", "expected a Content-Length on a stream")
        return body
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdecimal()) or len(text) > 10:
        raise SipParseError("content_length", f"expected one Content-Length, got {text[:40]!r}")
    if int(text) > len(body):
        raise SipParseError("content_length", f"expected {text} bytes of body, got {len(body)}")
    return body[: int(text)]


def _check_headers(headers: Headers) -> None:
    """What every message has, once, and in the form its grammar wants."""
    names = [name.lower() for name, _ in headers.items()]
    for name in _MANDATORY:
        if name not in names:
            raise SipParseError("missing_header", f"expected a {name} header")
    for name in _ONCE:
        if names.count(name) > 1:
            raise SipParseError("repeated_header", f"expected one {name} header, got {names.count(name)}")
    for element in headers.split("Via"):
        parse_via(element)
    for name in ("From", "To"):
        parse_name_addr(headers.get(name) or "")
    parse_cseq(headers.get("CSeq") or "")
    if not (headers.get("Call-ID") or "").strip():
        raise SipParseError("missing_header", "expected a Call-ID")


def _answerable(headers: Headers) -> bool:
    """True when a response can find its way back and be told apart there (§8.2.6.2)."""
    try:
        return bool(headers.split("Via")) and all(headers.get(name) for name in ("From", "To", "Call-ID", "CSeq"))
    except SipParseError:
        return False
