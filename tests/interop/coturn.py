"""coturn: a TURN server over UDP and TCP that takes credentials which expire, made from a secret it shares with us."""

import secrets
from dataclasses import dataclass

from tests.interop.baresip import host_address
from tests.interop.peers import Bench, Peer, find_peer, free_media_ports, free_port

_RELAY_PORTS = 40


@dataclass(frozen=True, slots=True)
class Coturn:
    """One server. All that it relays goes out of ports of ``relay_ports``, which nobody else has."""

    host: str
    port: int
    secret: str
    relay_ports: range
    peer: Peer

    def url(self, transport: str) -> str:
        """``udp`` or ``tcp``: how its client reaches it; what it relays goes over UDP."""
        return f"turn:{self.host}:{self.port}?transport={transport}"

    @property
    def refused(self) -> bool:
        """Whether it has turned somebody away."""
        return "error 401: Unauthorized" in self.peer.printed


async def start_coturn(bench: Bench) -> Coturn:
    """On an address that is not loopback, for ICE leaves loopback out of account."""
    host, secret = host_address(), secrets.token_hex(16)
    port, first = free_port(host), free_media_ports(host, _RELAY_PORTS)
    ports = range(first, first + _RELAY_PORTS)
    folder = bench.folder_for("coturn")
    peer = bench.start(
        "coturn",
        find_peer("turnserver"),
        "-n",  # no configuration file
        "--verbose",
        "--log-file=stdout",
        "--simple-log",
        f"--pidfile={folder / 'turnserver.pid'}",
        f"--userdb={folder / 'turnserver.sqlite'}",
        f"--listening-ip={host}",
        f"--listening-port={port}",
        f"--relay-ip={host}",
        f"--min-port={ports.start}",
        f"--max-port={ports.stop - 1}",
        "--relay-threads=1",
        "--realm=twowire.invalid",
        "--use-auth-secret",
        f"--static-auth-secret={secret}",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--no-multicast-peers",
    )
    await peer.until(rf"UDP listener opened on: {host}:{port}")
    return Coturn(host, port, secret, ports, peer)
