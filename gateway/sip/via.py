"""One hop of a request's way (RFC 3261 §20.42, RFC 3581)."""

import re
from dataclasses import dataclass, field, replace

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import NAME_CHAR, parse_params, without_comments
from gateway.sip.params import Params
from gateway.sip.uri import parse_host_port

_VIA = re.compile(
    rf"[ \t]*+({NAME_CHAR}++)[ \t]*+/[ \t]*+({NAME_CHAR}++)[ \t]*+/[ \t]*+({NAME_CHAR}++)[ \t]++"
    r"([^ \t;:,\[\]]++|\[[^\]]*+\])[ \t]*+(?::[ \t]*+([0-9]{1,5}+)[ \t]*+)?+(?:;(.*+))?+\Z",
    re.DOTALL,
)
_NO_PARAMS = Params()


@dataclass(frozen=True, slots=True)
class Via:
    """``host`` has no brackets; ``port`` is None where the header has none.

    ``protocol`` may be another than SIP/2.0: a request of a later version is answered along its Via as well.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=Params)
    protocol: str = "SIP/2.0"

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """An address; IPv6 may have come with brackets or without (RFC 5118 §4.5)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port in ``rport=``; None when it is absent, or has no value yet, or is no port."""
        value = self.params.get("rport")
        if not value or len(value) > 5 or not (value.isascii() and value.isdecimal()):
            return None
        port = int(value)
        return port if 0 < port <= 65_535 else None

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host and port to answer to, the transport's default where none is named."""
        return self.host, self.port or (5_061 if self.transport.upper() == "TLS" else 5_060)

    def with_param(self, name: str, value: str | None) -> "Via":
        return replace(self, params=self.params.with_(name, value))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}/{self.transport} {host}{port}{self.params}"


def parse_via(text: str) -> Via:
    """One element of a Via header; RFC 2543 allowed comments in it. Raises SipParseError."""
    match = _VIA.match(without_comments(text).rstrip(" \t") if "(" in text else text)
    if match is None:
        raise SipParseError("via", f"expected SIP/2.0/transport host:port;parameters in Via, got {text[:60]!r}")
    name, version, transport, where, digits, rest = match.groups()
    try:
        host, port = parse_host_port(where if digits is None else f"{where}:{digits}")
    except SipParseError as error:
        raise SipParseError("via", str(error)) from None
    params = _NO_PARAMS if rest is None else parse_params(rest)
    if len(params) > 1 and params.count("branch") > 1:
        raise SipParseError("via", "expected one branch in Via, got several")
    return Via(transport, host, port, params, f"{name}/{version}")
