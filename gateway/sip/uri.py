"""SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966); any other scheme is kept as it is."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes

from gateway.sip.errors import SipParseError
from gateway.sip.params import Params

MAX_URI_CHARS = 4_096
MAX_PARTS = 64

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_HOSTNAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
_BAD_CHARS = re.compile(r"[\x00-\x20<>\"\x7f]")
_USER_SAFE = "&=+$,;?/-_.!~*'()"
_PARAM_SAFE = "[]/:&+$-_.!~*'()"
_HEADER_SAFE = "[]/?:+$-_.!~*'()"


@dataclass(frozen=True, slots=True)
class SipUri:
    """``user``, parameters and headers are unescaped; ``host`` has no brackets. ``str()`` is the wire form."""

    host: str
    user: str | None = None
    port: int | None = None
    params: Params = field(default_factory=Params)
    headers: tuple[tuple[str, str], ...] = ()
    password: str | None = None
    scheme: str = "sip"

    @property
    def transport(self) -> str | None:
        return self.params.get("transport")

    @property
    def maddr(self) -> str | None:
        value = self.params.get("maddr")
        return value.strip("[]") if value else None

    @property
    def lr(self) -> bool:
        """A loose router (RFC 3261 §19.1.1)."""
        return "lr" in self.params

    @property
    def host_port(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def without_headers(self) -> "SipUri":
        """The same URI as a Request-URI may have it (§19.1.1, table 1)."""
        return SipUri(self.host, self.user, self.port, self.params.without("method"), (), self.password, self.scheme)

    def equivalent(self, other: object) -> bool:
        """RFC 3261 §19.1.4."""
        if not isinstance(other, SipUri):
            return False
        mine = (self.scheme, self.user, self.password, self.host.lower(), self.port)
        if mine != (other.scheme, other.user, other.password, other.host.lower(), other.port):
            return False
        ours = {name.lower(): (value or "").lower() for name, value in self.params.items()}
        theirs = {name.lower(): (value or "").lower() for name, value in other.params.items()}
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
            return False
        if any(name in ("user", "ttl", "method", "maddr", "transport") for name in ours.keys() ^ theirs.keys()):
            return False
        return {(name.lower(), value) for name, value in self.headers} == {
            (name.lower(), value) for name, value in other.headers
        }

    def __str__(self) -> str:
        user = ""
        if self.user is not None:
            user = _escape(self.user, _USER_SAFE)
            if self.password is not None:
                user += ":" + _escape(self.password, "&=+$,-_.!~*'()")
            user += "@"
        params = "".join(
            f";{_escape(name, _PARAM_SAFE)}" + ("" if value is None else f"={_escape(value, _PARAM_SAFE)}")
            for name, value in self.params.items()
        )
        headers = "&".join(
            f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}" for name, value in self.headers
        )
        return f"{self.scheme}:{user}{self.host_port}{params}{'?' + headers if headers else ''}"


@dataclass(frozen=True, slots=True)
class TelUri:
    """``number`` as written, with its separators."""

    number: str
    params: Params = field(default_factory=Params)

    def __str__(self) -> str:
        params = "".join(
            f";{name}" + ("" if value is None else f"={_escape(value, _PARAM_SAFE)}")
            for name, value in self.params.items()
        )
        return f"tel:{self.number}{params}"


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A scheme that means nothing to us; ``rest`` is everything behind its colon."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | TelUri | OtherUri


def parse_uri(text: str) -> Uri:
    """Read one URI, without angle brackets. Raises SipParseError."""
    if len(text) > MAX_URI_CHARS:
        raise SipParseError("uri_too_long", f"a URI of {len(text)} characters, expected at most {MAX_URI_CHARS}", 414)
    match = _SCHEME.match(text)
    if match is None or text[match.end() : match.end() + 1] != ":":
        raise _bad(text, "a scheme and a colon")
    if bad := _BAD_CHARS.search(text):
        raise _bad(text, f"no {bad.group()!r} in it")
    scheme, rest = match.group(), text[match.end() + 1 :]
    match scheme.lower():
        case "sip" | "sips" as sip:
            return _sip(sip, rest)
        case "tel":
            number, _, params = rest.partition(";")
            if not number:
                raise _bad(text, "a number")
            return TelUri(number, _params(params))
    return OtherUri(scheme, rest)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """``host``, ``host:5060`` or ``[2001:db8::1]:5060``. Raises SipParseError."""
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise _bad(text, "a closing bracket")
        try:
            IPv6Address(inside)
        except ValueError:
            raise _bad(text, "an IPv6 address in the brackets") from None
        host = inside
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
        if not _HOSTNAME.fullmatch(host):
            raise _bad(text, "a host")
    if not rest:
        return host, None
    if not rest.startswith(":") or not (rest[1:].isascii() and rest[1:].isdecimal()) or len(rest) > 6:
        raise _bad(text, "a port behind the host")
    port_number = int(rest[1:])
    if not 0 < port_number <= 65_535:
        raise _bad(text, "a port from 1 to 65535")
    return host, port_number


def _sip(scheme: str, rest: str) -> SipUri:
    # The user part may hold ; and ? unescaped, so the @ is looked for first (RFC 4475 §3.1.1.1 semiuri).
    before, at, after = rest.rpartition("@") if "@" in rest.split("?", 1)[0] else ("", "", rest)
    if not at and "@" in rest:
        before, at, after = rest.partition("@")
    where, _, headers = after.partition("?")
    host_port, _, params = where.partition(";")
    host, port = parse_host_port(host_port)
    user = password = None
    if at:
        name, colon, secret = before.partition(":")
        if not name:
            raise _bad(rest, "a user before the @")
        user, password = _unescape(name), _unescape(secret) if colon else None
    pairs = []
    if headers:
        fields = headers.split("&")
        if len(fields) > MAX_PARTS:
            raise _bad(rest, f"at most {MAX_PARTS} headers")
        for part in fields:
            key, equals, value = part.partition("=")
            if not (key and equals):
                raise _bad(rest, "name=value in its headers")
            pairs.append((_unescape(key), _unescape(value)))
    return SipUri(host, user, port, _params(params), tuple(pairs), password, scheme)


def _params(text: str) -> Params:
    if not text:
        return Params()
    parts = text.split(";")
    if len(parts) > MAX_PARTS:
        raise _bad(text, f"at most {MAX_PARTS} parameters")
    items: list[tuple[str, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not name:
            raise _bad(text, "a name for every parameter")
        items.append((_unescape(name), _unescape(value) if equals else None))
    return Params(items)


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    for at, char in enumerate(text):
        if char == "%" and not re.match(r"[0-9A-Fa-f]{2}", text[at + 1 : at + 3]):
            raise _bad(text, "two hexadecimal digits behind %")
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _escape(text: str, safe: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def _bad(text: str, expected: str) -> SipParseError:
    return SipParseError("uri", f"expected {expected} in the URI {text[:80]!r}")
