"""The SIP side of a gateway: one YAML file (``TWOWIRE_SIP_FILE``), read once, checked, turned into plain values.

Passwords do not stand in the file: an entry names the environment variable or the file that holds one.
"""

import os
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.sip.dial_plan import BadTargetError, parse_proxy, parse_user
from gateway.sip.errors import SipParseError
from gateway.sip.flow import Address, Transport
from gateway.sip.trunk import Credentials, MediaSecurity, Trunk, TrunkTable
from gateway.sip.uri import SipUri, parse_uri
from wire.settings import ConfigError

MAX_FILE_BYTES = 256 * 1024
MIN_RTP_PORTS = 4

CodecName = Literal["PCMU", "PCMA", "G722"]


@dataclass(frozen=True, slots=True)
class Listener:
    """One address on which SIP is heard."""

    transport: Transport
    address: Address


def _listener(text: object) -> object:
    """``udp:127.0.0.1:5060`` or ``tls:[::1]:5061``."""
    if not isinstance(text, str):
        return text
    kind, _, rest = text.partition(":")
    try:
        transport = Transport(kind.upper())
    except ValueError:
        raise ValueError(f"expected udp:, tcp: or tls: and an address, got {text!r}") from None
    host, _, port = rest.rpartition(":") if rest.count(":") == 1 or "]:" in rest else (rest, "", "")
    host = host.strip("[]")
    ip_address(host)
    number = int(port) if port else transport.default_port
    if not 0 <= number <= 65_535:
        raise ValueError(f"expected a port up to 65535, got {number}")
    return Listener(transport, (host, number))


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Password(_Entry):
    """A user name, and where its password is kept."""

    user: str = Field(min_length=1)
    password_env: str = ""
    password_file: Path | None = None
    realm: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> "Password":
        if bool(self.password_env) == (self.password_file is not None):
            raise ValueError("name either password_env or password_file")
        return self

    def read(self) -> Credentials:
        """Fetch the password. Raises ValueError when it is not where it should be."""
        if self.password_file is None:
            password = os.environ.get(self.password_env, "")
            if not password:
                raise ValueError(f"{self.password_env} is not set in the environment")
        else:
            try:
                password = self.password_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(f"cannot read {self.password_file}: {error.strerror}") from None
            if not password:
                raise ValueError(f"{self.password_file} is empty")
        return Credentials(self.user, password, self.realm)


class RegisterEntry(_Entry):
    """A registration that is kept alive (RFC 3261 §10), so that a PBX sends us its calls."""

    registrar: str
    address: str
    """The address of record, e.g. ``sip:line7@pbx.example.com``."""
    expires_s: int = Field(300, ge=60, le=86_400)

    @field_validator("registrar", "address")
    @classmethod
    def _is_sip(cls, text: str) -> str:
        try:
            uri = parse_uri(text)
        except SipParseError as error:
            raise ValueError(f"expected a sip: or sips: URI, got {text!r} ({error})") from None
        if not isinstance(uri, SipUri):
            raise ValueError(f"expected a sip: or sips: URI, got {text!r}")
        return text


class TrunkEntry(_Entry):
    """One trunk as the file has it; see ``gateway.sip.trunk.Trunk`` for what each word means."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    inbound: Password | None = None
    outbound: Password | None = None
    proxy: str = ""
    caller_id: str = ""
    codecs: tuple[CodecName, ...] = ("PCMU", "PCMA", "G722")
    media_security: MediaSecurity = MediaSecurity.OPTIONAL
    ptime_ms: int = Field(20, ge=10, le=60, multiple_of=10)
    calls_per_s: float = Field(30.0, gt=0)
    trusted_identity: bool = False
    busy_status: Literal[486, 503] = 486
    agents: dict[str, str] = Field(default_factory=dict)
    voicemail: str = ""
    register_: RegisterEntry | None = Field(None, alias="register")

    @field_validator("proxy")
    @classmethod
    def _is_host(cls, text: str) -> str:
        parse_proxy(text)
        return text

    @field_validator("caller_id")
    @classmethod
    def _is_user(cls, text: str) -> str:
        try:
            return parse_user(text) if text else text
        except BadTargetError as error:
            raise ValueError(str(error)) from None

    def trunk(self) -> Trunk:
        """The plain value. Raises ValueError when a password is missing."""
        return Trunk(
            self.name,
            self.peers,
            None if self.inbound is None else self.inbound.read(),
            None if self.outbound is None else self.outbound.read(),
            self.proxy,
            self.caller_id,
            self.codecs,
            self.media_security,
            self.ptime_ms,
            self.calls_per_s,
            self.trusted_identity,
            self.busy_status,
            self.agents,
            self.voicemail,
        )


class TlsEntry(_Entry):
    """Our certificate, and whose certificates we accept."""

    certificate: Path
    key: Path
    ca: Path | None = None
    """Authorities of the peers; the system's when not given."""
    peer_certificates: bool = False
    """Ask callers for a certificate too (mutual TLS)."""


class SipConfig(_Entry):
    """The whole file."""

    listen: tuple[Annotated[Listener, BeforeValidator(_listener)], ...] = Field(min_length=1)
    advertise: str = ""
    """The IP address peers reach us at, where it is not the one we listen on (NAT, Kubernetes)."""
    rtp_host: str = ""
    """Where media is received; the host of the first listener when empty."""
    rtp_ports: tuple[int, int] = (10_000, 19_999)
    rtp_timeout_s: float = Field(20.0, gt=0)
    """A leg that sends neither RTP nor RTCP for this long is dead; muted phones still send RTCP every 5 s."""
    tls: TlsEntry | None = None
    trunks: tuple[TrunkEntry, ...] = ()
    options_ping_s: float = Field(0.0, ge=0)
    """How often the proxies of the trunks are asked whether they are there (OPTIONS); 0 never."""

    @model_validator(mode="after")
    def _fits_together(self) -> "SipConfig":
        low, high = self.rtp_ports
        if not (low >= 1_024 and low + MIN_RTP_PORTS - 1 <= high <= 65_535):
            raise ValueError(f"rtp_ports: expected two ports, at least {MIN_RTP_PORTS} apart, got {low} and {high}")
        if self.tls is None and any(listener.transport is Transport.TLS for listener in self.listen):
            raise ValueError("a tls: listener needs the tls: section with certificate and key")
        for names, what in (
            ([trunk.name for trunk in self.trunks], "name"),
            ([trunk.inbound.user for trunk in self.trunks if trunk.inbound is not None], "inbound user"),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"two trunks have the {what} {sorted(twice)[0]!r}")
        for host in filter(None, (self.advertise, self.rtp_host)):
            ip_address(host)
        if not self.advertise and ip_address(self.media_host).is_unspecified:
            raise ValueError("advertise: name the address peers reach, for listening on every address names none")
        return self

    @property
    def media_host(self) -> str:
        return self.rtp_host or self.listen[0].address[0]

    @property
    def announced_host(self) -> str:
        """The address in our SDP, Via and Contact."""
        return self.advertise or self.media_host

    def trunk_table(self) -> TrunkTable:
        """Raises ValueError when a password is missing."""
        return TrunkTable(entry.trunk() for entry in self.trunks)


_LOOPBACK: dict[str, Any] = {
    "listen": ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"],
    "rtp_ports": [20_000, 20_999],
    "trunks": [{"name": "loopback", "peers": ["127.0.0.0/8"], "calls_per_s": 1_000}],
}


def loopback_sip(port: int = 5_060, host: str = "127.0.0.1") -> SipConfig:
    """What ``twowire demo`` opens: calls from this machine, no password. Port 0 takes free ones, for tests."""
    return SipConfig.model_validate(_LOOPBACK | {"listen": [f"udp:{host}:{port}", f"tcp:{host}:{port}"]})


def load_sip(path: Path) -> SipConfig:
    """Read and check the file. Raises ConfigError with one line per fault, never with a password."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"TWOWIRE_SIP_FILE: cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"TWOWIRE_SIP_FILE: {path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        content = yaml.safe_load(data)
        config = SipConfig.model_validate(content)
        config.trunk_table()
        if config.tls is not None:
            server_context(config.tls)
    except yaml.YAMLError as error:
        raise ConfigError(f"TWOWIRE_SIP_FILE: {path} is not YAML: {error}") from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        lines = [f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}" for fault in faults]
        raise ConfigError("\n".join(f"TWOWIRE_SIP_FILE: {path}: {line}" for line in lines)) from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"TWOWIRE_SIP_FILE: {path}: {error}") from None
    return config


def server_context(tls: TlsEntry) -> ssl.SSLContext:
    """For connections that peers open. Raises OSError (ssl.SSLError is one) when the files do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.peer_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        if tls.ca is None:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    if tls.ca is not None:
        context.load_verify_locations(tls.ca)
    return context


def client_context(tls: TlsEntry | None) -> ssl.SSLContext:
    """For connections that we open: the peer's certificate is always checked against its name (RFC 5922)."""
    context = ssl.create_default_context(cafile=None if tls is None or tls.ca is None else str(tls.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
