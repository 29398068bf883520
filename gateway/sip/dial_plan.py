"""Whom a call of ours is addressed to, by which way, and as whom: numbers and URIs, trunk and proxy."""

import re
from dataclasses import replace

from gateway.sip.errors import SipParseError
from gateway.sip.name_addr import NameAddr
from gateway.sip.params import Params
from gateway.sip.uri import SipUri, TelUri, parse_uri

MAX_USER_CHARS = 64

_NUMBER = re.compile(r"\+?[0-9A-Za-z*#_.\-()]+")  # with the separators people write, and the names of extensions
_SEPARATORS = str.maketrans("", "", "-.()")
_DIGITS = re.compile(r"\+?[0-9*#\-.()]+")


class BadTargetError(Exception):
    """Nobody can be called so; the text says what was expected and what came, without the number."""


def parse_proxy(text: str) -> SipUri | None:
    """``sip:host``, or just ``host``, of a trunk's setting; None when it is empty. Raises ValueError."""
    if not text:
        return None
    try:
        uri = parse_uri(text if text.startswith(("sip:", "sips:")) else f"sip:{text}")
    except SipParseError as error:
        raise ValueError(f"expected a sip: or sips: URI or a host, got {text!r} ({error})") from None
    assert isinstance(uri, SipUri), "the scheme was looked at"
    if uri.user is not None or uri.headers:
        raise ValueError(f"expected a host, got {text!r} with a user or headers")
    return uri


def parse_user(text: str) -> str:
    """A number or the name of an extension as the user of a URI. Raises BadTargetError."""
    if len(text) > MAX_USER_CHARS or not _NUMBER.fullmatch(text):
        raise BadTargetError(f"expected a number or a name of at most {MAX_USER_CHARS} letters, digits, + * # _ - .")
    return text.translate(_SEPARATORS) if _DIGITS.fullmatch(text) else text


def parse_target(text: str, home: SipUri | None) -> SipUri:
    """The URI to call: one as it is, without headers; a number, or ``tel:``, at ``home``. Raises BadTargetError."""
    if text.startswith(("sip:", "sips:", "tel:")):
        try:
            uri = parse_uri(text)
        except SipParseError as error:
            raise BadTargetError(f"expected a sip:, sips: or tel: URI: {error.reason}") from None
        if isinstance(uri, SipUri):
            return uri.without_headers()
        assert isinstance(uri, TelUri), "the scheme was looked at"
        text = uri.number
    user = parse_user(text)
    if home is None:
        raise BadTargetError("a number needs a trunk with a proxy; name one, or call a sip: URI")
    return replace(home, user=user, params=home.params.without("lr"))


def route_to(target: SipUri, proxy: SipUri | None) -> tuple[NameAddr, ...]:
    """The route through a trunk's proxy; none where the target is at the proxy anyway."""
    if proxy is None or (proxy.host.lower(), proxy.port) == (target.host.lower(), target.port):
        return ()
    return (NameAddr(replace(proxy, params=proxy.params.with_("lr", None))),)


def home_of(host: str, port: int, transport: str) -> SipUri:
    """Where a peer is that calls us: numbers are asked for there. Streams are named, for theirs stands already."""
    params = Params() if transport == "UDP" else Params([("transport", transport.lower())])
    return SipUri(host, None, port, params)
