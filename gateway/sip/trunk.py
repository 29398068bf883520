"""Who may call in, and who answers: trunks, their access lists, and the agents behind their numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address


class MediaSecurity(Enum):
    """What a trunk asks of the media: RFC 3711 keyed by SDES (RFC 4568) or DTLS (RFC 5763)."""

    NONE = "none"
    OPTIONAL = "optional"
    """Whatever the peer offers; what we offer ourselves is plain."""
    SDES = "sdes"
    """Only SRTP, keys in the SDP. Ask for TLS as well, or everybody on the way reads them."""
    DTLS = "dtls"
    """Only SRTP, keys agreed on the media path."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and its password (RFC 7616). Never shown."""

    user: str
    password: str = field(repr=False)
    realm: str = ""
    """Where the password counts; empty means any realm."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """One peer that sends calls to us or takes calls from us: a carrier, a PBX, a test phone."""

    name: str
    peers: Sequence[IPv4Network | IPv6Network] = ()
    """Source networks whose calls are taken without a password."""
    inbound: Credentials | None = None
    """Calls from anywhere else are taken with this password; None takes none."""
    outbound: Credentials | None = None
    """What we show when the peer asks for a password."""
    proxy: str = ""
    """Where calls over this trunk are sent; empty means to the host of the called URI."""
    caller_id: str = ""
    """The user of our From on calls that we place."""
    codecs: Sequence[str] = ("PCMU", "PCMA", "G722")
    media_security: MediaSecurity = MediaSecurity.OPTIONAL
    ptime_ms: int = 20
    calls_per_s: float = 30.0  # what one carrier sends at most from one address pair
    trusted_identity: bool = False
    """Take the caller's number from P-Asserted-Identity (RFC 3325 §2.2: only from inside the trust domain)."""
    busy_status: int = 486
    """What a call hears for which no worker is free: 486, or 503 where the peer should try another gateway."""
    agents: Mapping[str, str] = field(default_factory=dict)
    """Called number to agent; ``*`` is any other."""
    voicemail: str = ""
    """Where a caller who wants to leave a message is transferred to."""

    def takes_from(self, host: str) -> bool:
        """True when calls from this address need no password."""
        address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.peers)

    def agent_for(self, number: str) -> str | None:
        """Who answers this number; None when nobody does, ``""`` for the gateway's own agent."""
        if not self.agents:
            return ""
        return self.agents.get(number, self.agents.get("*"))


class TrunkTable:
    """All trunks of a gateway. Names and user names are unique."""

    def __init__(self, trunks: Iterable[Trunk] = ()) -> None:
        self._by_name = {trunk.name: trunk for trunk in trunks}
        self._by_user = {trunk.inbound.user: trunk for trunk in self._by_name.values() if trunk.inbound is not None}

    def __getitem__(self, name: str) -> Trunk:
        return self._by_name[name]

    def get(self, name: str) -> Trunk | None:
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Trunk]:
        return iter(self._by_name.values())

    def by_source(self, host: str) -> Trunk | None:
        """The first trunk that takes calls from this address without a password."""
        return next((trunk for trunk in self._by_name.values() if trunk.takes_from(host)), None)

    def by_user(self, user: str) -> Trunk | None:
        """The trunk that this user name opens."""
        return self._by_user.get(user)

    @property
    def asks_passwords(self) -> bool:
        """True when a stranger may show a password; False when he is refused at once."""
        return bool(self._by_user)
