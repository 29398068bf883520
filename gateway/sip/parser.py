"""Bytes to a message (RFC 3261 §7, §18.3, §25): what is legal is read, what is not is told apart by its answer.

Lenient where the meaning is plain and senders are known to differ: bare line feeds, letters of UTF-8
outside of quotes, parameters nobody asked for, a wrong Date. Strict in everything that decides who the
message is for, where it ends and where its answer goes.
"""

import re
from dataclasses import dataclass

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Field, Headers, long_name
from gateway.sip.lexer import NAME_CHAR
from gateway.sip.message import Message, Request, Response
from gateway.sip.uri import SipUri, parse_uri

_TOKEN = re.compile(f"{NAME_CHAR}++")
_STATUS_LINE = re.compile(r"SIP/([0-9]{1,4})\.([0-9]{1,4}) ([0-9]++)(?: (.*+))?+", re.IGNORECASE)
_VERSION = re.compile(r"SIP/([0-9]{1,4})\.([0-9]{1,4})", re.IGNORECASE)
_FOLD = re.compile(r"\n[ \t]++")
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(r"[0-9]{1,10}")
_ONCE = frozenset({"from", "to", "call-id", "cseq", "max-forwards", "content-type"})
_MANDATORY = frozenset({"via", "from", "to", "call-id", "cseq"})
# As nearly everybody writes them; other spellings are looked at letter by letter.
_SPELLINGS = {
    name: name.lower()
    for name in (
        "Accept", "Allow", "Allow-Events", "Authorization", "Call-ID", "Contact", "Content-Disposition",
        "Content-Length", "Content-Type", "CSeq", "Date", "Event", "Expires", "From", "Max-Forwards", "Min-SE",
        "P-Asserted-Identity", "Privacy", "Proxy-Authenticate", "Proxy-Authorization", "RAck", "Reason",
        "Record-Route", "Refer-To", "Referred-By", "Replaces", "Require", "Retry-After", "Route", "RSeq", "Server",
        "Session-Expires", "Subscription-State", "Supported", "To", "User-Agent", "Via", "Warning", "WWW-Authenticate",
    )
}  # fmt: skip
_UNKNOWN_URI = SipUri("invalid.invalid")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be at most. 64 KiB is what a datagram holds."""

    message_bytes: int = 65_535
    head_bytes: int = 32_768
    """The start line and all headers, with the empty line."""
    headers: int = 256
    line_chars: int = 8_192
    """One header, unfolded. STIR adds the longest, of some 1,500."""


DEFAULT_LIMITS = Limits()


def parse_message(data: bytes, *, stream: bool = False, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read one whole message.

    A datagram may be longer than its Content-Length says, what is over is dropped (§18.3); a message from a
    ``stream`` must have one. Raises SipParseError: of a request with the status to refuse it with, as far as
    there is a Via and it is no ACK, of anything else with None.
    """
    if len(data) > limits.message_bytes:
        raise SipParseError("too_large", f"{len(data)} bytes, expected at most {limits.message_bytes}", None)
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")  # §7.5
    fault: SipParseError | None = None
    end = _HEAD_END.search(data, 0, limits.head_bytes)
    if end is not None:
        head, body = data[: end.start()], data[end.end() :]
    else:
        # Refused, with an answer that follows the Vias among the lines that are whole.
        head, body = data[: max(0, data.rfind(b"\n", 0, limits.head_bytes))], b""
        if len(data) < limits.head_bytes:
            fault = SipParseError("no_end", "expected an empty line behind the headers")
        else:
            fault = SipParseError("too_large", f"expected headers of at most {limits.head_bytes} bytes", 513)
    text = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").removesuffix("\r")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    start, *lines = text.split("\n")
    headers, bad_header = _read_headers(lines, limits)
    fault = fault or bad_header
    if start[:4].upper() == "SIP/":
        return _read_response(start, headers, body, fault, stream)
    return _read_request(start, headers, body, fault, stream)


def _read_headers(lines: list[str], limits: Limits) -> tuple[Headers, SipParseError | None]:
    """The headers that are well-formed, and the first fault."""
    fault: SipParseError | None = None
    if len(lines) > limits.headers:
        fault = SipParseError("too_many_headers", f"{len(lines)} headers, expected at most {limits.headers}", 513)
        del lines[limits.headers :]
    fields: list[Field] = []
    for line in lines:
        if len(line) > limits.line_chars:
            fault = fault or SipParseError("line_too_long", f"expected at most {limits.line_chars} characters", 513)
            continue
        name, colon, value = line.partition(":")
        key = _SPELLINGS.get(name)
        if key is None:
            name = long_name(name.rstrip(" \t"))
            key = name.lower()
            if not _TOKEN.fullmatch(name):
                colon = ""
        if not colon or "\r" in value:
            fault = fault or SipParseError("header", f"expected a header, got {line[:40]!r}")
            continue
        fields.append((key, name, value.strip(" \t")))
    return Headers.of_fields(fields), fault


def _read_request(start: str, headers: Headers, body: bytes, fault: SipParseError | None, stream: bool) -> Request:
    method, _, rest = start.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not rest or not _TOKEN.fullmatch(method):
        raise SipParseError("start_line", f"expected METHOD URI SIP/2.0, got {start[:60]!r}", None)
    request = Request(method, _UNKNOWN_URI, headers)
    try:
        _check_version(version)
        if fault is not None:
            raise fault
        request.uri = parse_uri(uri)
        if isinstance(request.uri, SipUri) and request.uri.headers:
            raise SipParseError("uri", "expected a Request-URI without headers")  # §19.1.1, table 1
        request.body = _cut_body(headers, body, stream=stream)
        _check(request)
        if request.cseq.method != method:
            raise SipParseError("cseq", f"expected {method[:40]} in CSeq, got {request.cseq.method[:40]}")
        _ = request.contacts, request.routes, request.record_routes, request.max_forwards
    except SipParseError as error:
        answered = method != "ACK" and bool(headers.get("Via"))
        raise SipParseError(error.reason, str(error), error.status if answered else None, request) from None
    return request


def _read_response(start: str, headers: Headers, body: bytes, fault: SipParseError | None, stream: bool) -> Response:
    match = _STATUS_LINE.fullmatch(start)
    if match is None:
        raise SipParseError("start_line", f"expected SIP/2.0 STATUS REASON, got {start[:60]!r}", None)
    digits = match[3]
    if len(digits) != 3 or not "100" <= digits <= "699":
        raise SipParseError("status", f"expected a status from 100 to 699, got {digits[:20]}", None)
    try:
        _check_version(f"SIP/{match[1]}.{match[2]}")
        if fault is not None:
            raise fault
        response = Response(int(digits), match[4] or "", headers, _cut_body(headers, body, stream=stream))
        _check(response)
        if response.status < 400:  # those of other failures mean nothing
            _ = response.contacts, response.record_routes
    except SipParseError as error:
        raise SipParseError(error.reason, str(error), None) from None
    return response


def _check_version(text: str) -> None:
    if text == "SIP/2.0":
        return
    match = _VERSION.fullmatch(text)
    if match is None:
        raise SipParseError("start_line", f"expected SIP/2.0 at the end of the line, got {text[:40]!r}")
    if (int(match[1]), int(match[2])) != (2, 0):
        raise SipParseError("version", f"expected SIP/2.0, got {text}", 505)


def _cut_body(headers: Headers, body: bytes, *, stream: bool) -> bytes:
    values = headers.get_all("Content-Length")
    if not values:
        if stream:
            raise SipParseError("content_length", "expected a Content-Length on a stream")
        return body
    length = content_length(values)
    if length > len(body):
        raise SipParseError("content_length", f"expected {length} bytes of body, got {len(body)}")
    return body[:length]


def content_length(values: list[str]) -> int:
    """What one Content-Length says, or several of one mind. Raises SipParseError."""
    for value in values:
        if not _LENGTH.fullmatch(value):
            raise SipParseError("content_length", f"expected a number in Content-Length, got {value[:40]!r}")
    lengths = {int(value) for value in values}
    if len(lengths) != 1:
        raise SipParseError("content_length", f"expected one Content-Length, got {len(lengths)} different ones")
    return lengths.pop()


def _check(message: Message) -> None:
    """What every message has, once, and in the form its grammar wants."""
    keys = [key for key, _, _ in message.headers.fields()]
    seen = set(keys)
    if _MANDATORY - seen:
        raise SipParseError("missing_header", f"expected {', '.join(sorted(_MANDATORY - seen))}")
    if len(seen) < len(keys):
        for name in _ONCE & seen:
            if (times := keys.count(name)) > 1:
                raise SipParseError("repeated_header", f"expected one {name} header, got {times}")
    _ = message.via, message.call_id, message.cseq
    for side in (message.from_, message.to):
        if len(side.params) > 1 and side.params.count("tag") > 1:
            raise SipParseError("name_addr", "expected one tag, got several")
        if side.tag == "":  # neither a tag nor a place for ours
            raise SipParseError("name_addr", "expected a tag or none, got an empty one")
