"""One hop of a request's way (RFC 3261 §20.42, RFC 3581)."""

import re
from dataclasses import dataclass, field, replace

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import parse_params
from gateway.sip.params import Params
from gateway.sip.uri import parse_host_port

_PROTOCOL = re.compile(r"\s*(SIP)\s*/\s*(2\.0)\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Via:
    """``port`` is None where the header has none."""

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=Params)

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port in ``rport=``; None when it is absent or has no value yet."""
        value = self.params.get("rport")
        return int(value) if value and value.isascii() and value.isdecimal() and len(value) <= 5 else None

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host and port to answer to, the transport's default where none is named."""
        return self.host, self.port or (5_061 if self.transport.upper() == "TLS" else 5_060)

    def with_param(self, name: str, value: str | None) -> "Via":
        return replace(self, params=self.params.with_(name, value))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {host}{port}{self.params}"


def parse_via(text: str) -> Via:
    """One element of a Via header. Raises SipParseError."""
    match = _PROTOCOL.match(text)
    if match is None:
        raise SipParseError("via", f"expected SIP/2.0/transport in Via, got {text[:40]!r}")
    where, _, params = text[match.end() :].partition(";")
    host, colon, port = where.strip().rpartition(":") if where.strip()[-1:] != "]" else (where.strip(), "", "")
    sent_by = f"{host.strip()}:{port.strip()}" if colon and host else where.strip()
    try:
        name, number = parse_host_port(sent_by)
    except SipParseError as error:
        raise SipParseError("via", str(error)) from None
    return Via(match.group(3), name, number, parse_params(params))
