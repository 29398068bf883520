"""Kamailio as registrar and record-routing proxy, and rtpengine as its media relay."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.interop.peers import LOOPBACK, START_S, Bench, Peer, find_peer, free_media_ports, free_port, listening

TEMPLATE = Path(__file__).with_name("kamailio.cfg")
MODULES = ":".join(
    path for path in ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules")
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running Kamailio. Everyone's password is the same; calls to ``bot`` go to the address it was started with."""

    port: int
    tls_port: int
    password: str
    peer: Peer

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"


async def start_kamailio(
    bench: Bench,
    *,
    bot: tuple[str, int],
    challenge: bool = True,
    rtpengine_port: int | None = None,
    password: str = "wonderland",
    certificate: tuple[Path, Path] | None = None,
) -> Proxy:
    """Start a proxy on UDP and TCP, and on TLS when it gets ``certificate`` (with its key).

    ``challenge``: ask callers of ``bot`` for a password (407); REGISTER is always asked (401).
    """
    port, tls_port = free_port(), free_port()
    folder = bench.folder_for("kamailio")
    defines = [f"BOT_HOST={bot[0]}", f"BOT_PORT={bot[1]}", f"PASSWORD={password}"]
    switches = []
    if challenge:
        switches.append("WITH_CHALLENGE")
    if rtpengine_port is not None:
        switches.append("WITH_RTPENGINE")
    if certificate is not None:
        switches.append("WITH_TLS")
    text = TEMPLATE.read_text()
    values = dict(define.split("=", 1) for define in defines)
    values |= {
        "HOST": LOOPBACK,
        "PORT": str(port),
        "TLS_PORT": str(tls_port),
        "MODULES": MODULES,
        "RTPENGINE_PORT": str(rtpengine_port or 0),
        "CERTIFICATE": str(certificate[0] if certificate else ""),
        "KEY": str(certificate[1] if certificate else ""),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    path = folder / "kamailio.cfg"
    path.write_text("\n".join(["#!KAMAILIO", *(f"#!define {switch}" for switch in switches), text]))
    words = [find_peer("kamailio"), "-f", str(path), "-DD", "-E", "-m", "64", "-M", "8", "-w", str(folder)]
    peer = bench.start("kamailio", *words, "-Y", str(folder), "-P", str(folder / "pid"), cwd=folder)
    wanted = [(port, False), (port, True)]
    if certificate is not None:
        wanted.append((tls_port, True))
    async with asyncio.timeout(START_S):
        while not listening(wanted):
            assert peer.running, peer.tail()
            await asyncio.sleep(0.05)
    return Proxy(port, tls_port, password, peer)


async def start_rtpengine(bench: Bench) -> int:
    """Start a media relay in user space; the port of its control protocol."""
    control, media = free_port(), free_media_ports(count=40)
    words = [find_peer("rtpengine"), f"--interface={LOOPBACK}", f"--listen-ng={LOOPBACK}:{control}"]
    words += [f"--port-min={media}", f"--port-max={media + 39}", "--table=-1", "--foreground", "--log-stderr"]
    peer = bench.start("rtpengine", *words)
    async with asyncio.timeout(START_S):
        while not listening([(control, False)]):
            assert peer.running, peer.tail()
            await asyncio.sleep(0.05)
    return control
