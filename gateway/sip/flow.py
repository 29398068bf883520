"""Where a SIP message came from or goes to."""

from dataclasses import dataclass
from enum import Enum

Address = tuple[str, int]
"""Host (an IP literal without brackets) and port."""


class Transport(Enum):
    """The transports of RFC 3261 §18; the value is the token of ``Via``."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def reliable(self) -> bool:
        """Reliable transports need no retransmission (RFC 3261 §17)."""
        return self is not Transport.UDP

    @property
    def default_port(self) -> int:
        return 5061 if self is Transport.TLS else 5060


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to a peer (RFC 5626 §2): transport and both addresses.

    ``connection`` names the stream connection a message came on; 0 for datagrams, and for "open
    one, or take any that is open to ``remote``".
    """

    transport: Transport
    local: Address
    remote: Address
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """One place a request may be sent to, as RFC 3263 finds it. ``server_name``: whose certificate TLS must show."""

    transport: Transport
    address: Address
    server_name: str = ""
