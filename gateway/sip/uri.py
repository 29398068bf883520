"""SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966); any other scheme is kept as it is."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

from gateway.sip.errors import SipParseError
from gateway.sip.params import MAX_PARAMS, Params

MAX_URI_CHARS = 4_096
MAX_HOST_CHARS = 255  # RFC 1035 §2.3.4

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
_NEVER = re.compile(r"[\x00-\x20<>\"\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*+(?<![\-]))?+"  # with the underscores that name servers do have
_HOST_PORT = re.compile(rf"(?:({_HOST})|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{{1,5}}))?+")
# The URIs that most messages have: nothing escaped, no headers.
_PLAIN = re.compile(
    rf"(sips?):(?:([A-Za-z0-9\-_.!~*'()&=+$,;?/]++)@)?+({_HOST})(?::([0-9]{{1,5}}))?+"
    r"((?:;[A-Za-z0-9\-_.!~*'()\[\]/:&+$=]++)*+)"
)
_TEL_NUMBER = re.compile(r"[0-9A-Fa-f*#+\-.()]++")
_EXTRA_COLONS = ":::"

_USER_SAFE = "&=+$,;?/-_.!~*'()"
_SECOND_SAFE = "&=+$,-_.!~*'()"
_PARAM_SAFE = "[]/:&+$-_.!~*'()"
_HEADER_SAFE = "[]/?:+$-_.!~*'()"
_DECISIVE = frozenset({"user", "ttl", "method", "maddr", "transport"})
_NO_PARAMS = Params()


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
        """RFC 3261 §19.1.4: not what ``==`` says, and not transitive."""
        if not isinstance(other, SipUri):
            return False
        mine = (self.scheme, self.user, self.password, _same_host(self.host), self.port)
        if mine != (other.scheme, other.user, other.password, _same_host(other.host), other.port):
            return False
        ours = {name.lower(): (value or "").lower() for name, value in self.params.items()}
        theirs = {name.lower(): (value or "").lower() for name, value in other.params.items()}
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
            return False
        if _DECISIVE & (ours.keys() ^ theirs.keys()):
            return False
        return sorted((name.lower(), value) for name, value in self.headers) == sorted(
            (name.lower(), value) for name, value in other.headers
        )

    def __str__(self) -> str:
        user = ""
        if self.user is not None:
            user = _escape(self.user, _USER_SAFE)
            if self.password is not None:
                user += ":" + _escape(self.password, _SECOND_SAFE)
            user += "@"
        headers = "&".join(
            f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}" for name, value in self.headers
        )
        return f"{self.scheme}:{user}{self.host_port}{_wire(self.params)}{'?' + headers if headers else ''}"


@dataclass(frozen=True, slots=True)
class TelUri:
    """``number`` as written, with its separators."""

    number: str
    params: Params = field(default_factory=Params)

    def __str__(self) -> str:
        return f"tel:{self.number}{_wire(self.params)}"


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A scheme that means nothing to us; ``rest`` is everything behind its colon."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | TelUri | OtherUri
_AnyUri = TypeVar("_AnyUri", SipUri, TelUri)


def parse_uri(text: str) -> Uri:
    """Read one URI, without angle brackets. Raises SipParseError."""
    if len(text) > MAX_URI_CHARS:
        raise _too_long(len(text))
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        scheme, user, host, digits, params = plain.groups()
        _check_host(host, text)
        return SipUri(host, user, _port(digits, text), _params(params), (), None, scheme)
    match = _SCHEME.match(text)
    if match is None:
        raise _bad(text, "a scheme and a colon")
    if bad := _NEVER.search(text):
        raise _bad(text, f"no {bad.group()!r}")
    scheme, rest = match[1], text[match.end() :]
    match scheme.lower():
        case "sip" | "sips" as sip:
            return _sip(sip, rest)
        case "tel":
            number, _, _ = rest.partition(";")
            if not _TEL_NUMBER.fullmatch(number):
                raise _bad(text, "a telephone number")
            return _measured(TelUri(number, _params(rest[len(number) :])))
    return OtherUri(scheme, rest)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """``host``, ``host:5060`` or ``[2001:db8::1]:5060``. Raises SipParseError."""
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise _bad(text, "host or host:port")
    name, address, digits = match.groups()
    port = _port(digits, text)
    if name is not None:
        _check_host(name, text)
        return name, port
    # RFC 3261's grammar lets a third colon in before an IPv4 tail (RFC 5118 §4.10); written, it is gone.
    address = address.replace(_EXTRA_COLONS, "::", 1)
    try:
        IPv6Address(address)
    except ValueError:
        raise _bad(text, "an IPv6 address in the brackets") from None
    return address, port


def _sip(scheme: str, rest: str) -> SipUri:
    # No part but the first may hold a bare @, yet Refer-To: <sip:a@b?Replaces=id@host> is common. The user may
    # hold ; and ? (RFC 4475 §3.1.1.9), so an @ that only comes behind the first ? still ends a user.
    before, at, after = rest.partition("@")
    if not at:
        before, after = "", rest
    where, question, headers = after.partition("?")
    if "@" in where:
        raise _bad(rest, "one @")
    host_port, semicolon, params = where.partition(";")
    host, port = parse_host_port(host_port)
    user = password = None
    if at:
        name, colon, secret = before.partition(":")
        if not name:
            raise _bad(rest, "a user before the @")
        user, password = _unescape(name), _unescape(secret) if colon else None
    pairs = _headers(headers) if question else ()
    return _measured(SipUri(host, user, port, _params(semicolon + params), pairs, password, scheme))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    fields = text.split("&")
    if len(fields) > MAX_PARAMS:
        raise _bad(text, f"at most {MAX_PARAMS} headers")
    pairs = []
    for part in fields:
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise _bad(text, "name=value for every header")
        pairs.append((_unescape(name), _unescape(value)))
    return tuple(pairs)


def _params(text: str) -> Params:
    """``text`` begins with its semicolon, or is empty."""
    if not text:
        return _NO_PARAMS
    parts = text[1:].split(";")
    if len(parts) > MAX_PARAMS:
        raise _bad(text, f"at most {MAX_PARAMS} parameters")
    items: list[tuple[str, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not name:
            raise _bad(text, "a name for every parameter")
        items.append((_unescape(name), _unescape(value) if equals else None))
    return Params(items)


def _wire(params: Params) -> str:
    return "".join(
        f";{_escape(name, _PARAM_SAFE)}" + ("" if value is None else f"={_escape(value, _PARAM_SAFE)}")
        for name, value in params.items()
    )


def _port(digits: str | None, text: str) -> int | None:
    if digits is None:
        return None
    port = int(digits)
    if not 0 < port <= 65_535:
        raise _bad(text, "a port from 1 to 65535")
    return port


def _check_host(host: str, text: str) -> None:
    if len(host) > MAX_HOST_CHARS:
        raise _bad(text, f"a host of at most {MAX_HOST_CHARS} characters")


def _measured(uri: _AnyUri) -> _AnyUri:
    """Escaping what came bare makes it longer; what we would write must be something that we would read."""
    if (chars := len(str(uri))) > MAX_URI_CHARS:
        raise _too_long(chars)
    return uri


def _same_host(host: str) -> str:
    return IPv6Address(host).compressed if ":" in host else host.lower()


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise _bad(text, "two hexadecimal digits behind %")
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _escape(text: str, safe: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def _too_long(chars: int) -> SipParseError:
    return SipParseError("uri_too_long", f"a URI of {chars} characters, expected at most {MAX_URI_CHARS}", 414)


def _bad(text: str, expected: str) -> SipParseError:
    return SipParseError("uri", f"expected {expected} in the URI {text[:80]!r}")
