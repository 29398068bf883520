"""The browser side of a gateway: one YAML file (``TWOWIRE_WEBRTC_FILE``), read once, checked, turned into plain values.

Secrets do not stand in the file: an entry names the environment variable or the file that holds one.
"""

import os
import re
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from time import time
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from gateway.sdp.formats import MediaCodec
from gateway.webrtc.turn_credentials import mint
from wire.settings import ConfigError

MAX_FILE_BYTES = 64 * 1_024
MIN_SECRET_CHARS = 16
OWN_TURN_LIFE_S = 30 * 24 * 3_600
"""How long the credentials last that we use ourselves; they leave this process for the TURN server only."""

_ICE_URL = re.compile(r"(?:stuns?:[^?\s/]+|turns?:[^?\s/]+(?:\?transport=(?:udp|tcp))?)", re.ASCII)
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9a-f:]+\](?::[0-9]{1,5})?", re.ASCII)


def _ice_url(url: str) -> str:
    if _ICE_URL.fullmatch(url) is None:
        raise ValueError(f"expected stun:host:port or turn:host:port?transport=udp, got {url!r}")
    return url


def _origin(origin: str) -> str:
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError(f"expected an origin as browsers write it, like https://www.example.com, got {origin!r}")
    return origin


def _address(text: str) -> str:
    return str(ip_address(text))


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, as ``RTCPeerConnection`` wants it; no credential for STUN."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(_Entry):
    """Where a secret is kept."""

    env: str = Field("", description="environment variable that holds it")
    file: Path | None = Field(None, description="file that holds it")

    @model_validator(mode="after")
    def _one_place(self) -> "Secret":
        if bool(self.env) == (self.file is not None):
            raise ValueError("name either env or file")
        return self

    def read(self) -> str:
        """Raises ValueError when it is not where it should be, or too short."""
        if self.file is None:
            secret, where = os.environ.get(self.env, ""), self.env
        else:
            where = str(self.file)
            try:
                secret = self.file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(f"cannot read {self.file}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise ValueError(f"{self.file} is not text") from None
        if len(secret) < MIN_SECRET_CHARS:
            raise ValueError(f"{where}: expected a secret of at least {MIN_SECRET_CHARS} characters, got {len(secret)}")
        return secret


class IceServerEntry(_Entry):
    """A STUN or TURN server for browsers and for us."""

    urls: tuple[Annotated[str, AfterValidator(_ice_url)], ...] = Field(
        min_length=1,
        max_length=8,
        description="like stun:host:3478 or turn:host:3478?transport=tcp",
    )
    secret: Secret | None = Field(
        None, description="shared with the TURN server (coturn's static-auth-secret); makes credentials that expire"
    )

    @model_validator(mode="after")
    def _turn_has_secret(self) -> "IceServerEntry":
        kinds = {url.startswith("turn") for url in self.urls}
        if len(kinds) > 1:
            raise ValueError("urls: expected stun: or turn: servers in one entry, got both")
        if kinds.pop() != (self.secret is not None):
            raise ValueError("secret: a turn: server needs one, and a stun: server takes none")
        return self


class WebRtcConfig(_Entry):
    """The whole file."""

    ice_servers: tuple[IceServerEntry, ...] = Field(
        (), max_length=8, description="servers that find a way through NATs; none is enough on one network"
    )
    turn_ttl_s: int = Field(
        3_600,
        ge=60,
        le=86_400,
        description="how long a browser may use its TURN credentials; as long as its longest call",
    )
    codecs: tuple[Literal["opus", "PCMU", "PCMA"], ...] = Field(
        ("opus", "PCMU", "PCMA"),
        min_length=1,
        description="what is spoken, best first; PCMU needs half the CPU",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="origins of foreign pages that may call (CORS); our own pages always may"
    )
    open_page: bool = Field(
        False, description="whether whoever opens our talk page gets a token; for demos and closed networks"
    )
    page_token_ttl_s: int = Field(
        60, ge=5, le=3_600, description="how long a page may take from its token to its call; calls last longer"
    )
    token_secret: Secret | None = Field(
        None, description="signs page tokens; the same on all gateways behind one address, else a new one at each start"
    )
    reattach_s: float = Field(15.0, ge=0, le=120, description="how long a call waits for a browser that lost its way")
    max_half_open: int = Field(64, ge=1, description="offers that were answered and have no connection yet")
    max_sessions: int = Field(500, ge=1, description="browser calls of one gateway")
    public_hosts: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(
        (), max_length=4, description="addresses that a 1:1 NAT gives to this host, announced beside its own"
    )
    relay_only: bool = Field(False, description="use TURN alone, to see that it works")

    _token_key: bytes = PrivateAttr(default=b"")
    _turn_secrets: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _fits_together(self) -> "WebRtcConfig":
        if len(set(self.codecs)) < len(self.codecs):
            raise ValueError("codecs: one is named twice")
        if self.relay_only and not any(entry.secret for entry in self.ice_servers):
            raise ValueError("relay_only: name a turn: server to relay")
        return self

    def model_post_init(self, _context: object) -> None:
        """Fetch the secrets. Raises ValueError when one is missing."""
        key = secrets.token_hex(32) if self.token_secret is None else self.token_secret.read()
        self._token_key = key.encode()
        self._turn_secrets = tuple("" if one.secret is None else one.secret.read() for one in self.ice_servers)

    @property
    def token_key(self) -> bytes:
        """What page tokens are signed with."""
        return self._token_key

    @property
    def media_codecs(self) -> tuple[MediaCodec, ...]:
        """``codecs`` as ``gateway.webrtc.offer.read_offer`` takes them."""
        return tuple(MediaCodec(name) for name in self.codecs)

    def browser_ice_servers(self, user: str, now_unix_s: float) -> tuple[IceServer, ...]:
        """For a page, with credentials of its own that expire. ``user`` shows in the TURN server's log."""
        return self._servers(user, int(now_unix_s) + self.turn_ttl_s)

    def own_ice_servers(self) -> tuple[IceServer, ...]:
        """For our own side of a path; good for ``OWN_TURN_LIFE_S``."""
        return self._servers("gateway", int(time()) + OWN_TURN_LIFE_S)

    def _servers(self, user: str, expires_unix_s: int) -> tuple[IceServer, ...]:
        servers = []
        for entry, secret in zip(self.ice_servers, self._turn_secrets, strict=True):
            username, credential = mint(secret, user, expires_unix_s) if secret else (None, None)
            servers.append(IceServer(entry.urls, username, credential))
        return tuple(servers)


def loopback_webrtc() -> WebRtcConfig:
    """What ``twowire demo`` opens: calls from browsers on this machine and its network, no login."""
    return WebRtcConfig.model_validate({"open_page": True})


def load_webrtc(path: Path) -> WebRtcConfig:
    """Read and check the file. Raises ConfigError with one line per fault, never with a secret."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"TWOWIRE_WEBRTC_FILE: cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"TWOWIRE_WEBRTC_FILE: {path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return WebRtcConfig.model_validate(yaml.safe_load(data) or {})
    except yaml.YAMLError as error:
        raise ConfigError(f"TWOWIRE_WEBRTC_FILE: {path} is not YAML: {error}") from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        lines = [f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}" for fault in faults]
        raise ConfigError("\n".join(f"TWOWIRE_WEBRTC_FILE: {path}: {line}" for line in lines)) from None
    except ValueError as error:
        raise ConfigError(f"TWOWIRE_WEBRTC_FILE: {path}: {error}") from None
