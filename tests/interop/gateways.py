"""The gateway as its users run it: processes of their own, found by what they print, ended by PID."""

import asyncio
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.certificates import make_certificate
from tests.interop.peers import LOOPBACK, ROOT, Bench, Peer, free_media_ports, free_port
from tests.interop.sipp import Target
from twowire.demo import DEMO_API_TOKEN

TARGET_VARIABLE = "TWOWIRE_INTEROP_TARGET"  # host:port of another system, to compare with
TWOWIRE = str(ROOT / ".venv" / "bin" / "twowire")
START_S = 60.0
RECORD_S = 15.0

DIGEST_USER, DIGEST_PASSWORD = "alice", "wonderland"
AUTH_TOKEN, API_TOKEN = "auth-token-of-the-tests", "api-token-of-the-tests"
CONSOLE_TOKEN = "console-token-of-the-tests"

# Which trunk takes a call is told by the caller's address, and all of loopback is this machine's.
PLAIN_CALLER = "127.0.0.2"
SDES_CALLER = "127.0.0.3"
DTLS_CALLER = "127.0.0.4"
DIGEST_CALLER = "127.0.0.5"


@dataclass(frozen=True, slots=True)
class GatewayUnderTest(Target):
    """``url`` and ``api_token`` open its records of calls."""

    tls_port: int = 0
    url: str = ""
    pid: int = 0
    api_token: str = DEMO_API_TOKEN
    certificate: Path = Path()

    @property
    def http_port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def calls(self) -> set[str]:
        """The calls it remembers."""
        found = await asyncio.to_thread(self._get, "/api/calls")
        return {call["call"] for call in found["calls"]}

    async def heard_of(self, call: str) -> str:
        """All that the agent said in a call, as the record has it."""
        record = await asyncio.to_thread(self._get, f"/api/calls/{call}")
        return " ".join(words["text"] for words in record["transcript"] if words["voice"] == "agent")

    async def agent_said(self, before: set[str], words: str) -> None:
        """Wait until the agent has said ``words`` in the one call that is not in ``before``."""
        said = ""
        try:
            async with asyncio.timeout(RECORD_S):
                while words not in said:
                    await asyncio.sleep(0.1)
                    for call in await self.calls() - before:
                        said = await self.heard_of(call)
        except TimeoutError:
            raise AssertionError(f"expected the agent to say {words!r}, it said {said!r}") from None

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.api_token}"})
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)


@contextmanager
def running_demo(folder: Path) -> Iterator[GatewayUnderTest]:
    """``twowire demo``, or the system that TWOWIRE_INTEROP_TARGET names."""
    if TARGET_VARIABLE in os.environ:
        host, _, number = os.environ[TARGET_VARIABLE].rpartition(":")
        yield GatewayUnderTest(host, int(number))
        return
    bench = Bench(folder)
    port = free_port()
    command = [TWOWIRE, "demo", "--port", "0", "--sip-port", str(port)]
    environment = {"PYTHONUNBUFFERED": "1", "TWOWIRE_CONSOLE_TOKEN": CONSOLE_TOKEN}
    peer = bench.start("demo", *command, cwd=ROOT, environment=environment)
    try:
        url = awaited(peer, r"twowire answers at (http://[\d.:]+)")
        awaited(peer, "Ctrl-C ends it")
        yield GatewayUnderTest(LOOPBACK, port, url=url, pid=peer.process.pid)
        assert peer.running, f"the gateway ended by itself\n{peer.tail()}"
    finally:
        bench.stop()


@contextmanager
def running_trunks(folder: Path, redis_url: str, host: str) -> Iterator[GatewayUnderTest]:
    """``twowire serve`` with trunks and TLS, and a worker.

    It listens on ``host``, an address of this machine that is not loopback, for telephones that leave loopback out of
    account, and takes calls from there and from ``PLAIN_CALLER`` without a password, from ``SDES_CALLER`` and
    ``DTLS_CALLER`` with SRTP only, from anywhere else with ``DIGEST_USER``.
    """
    bench = Bench(folder)
    port, tls_port, media = free_port(host), free_port(host), free_media_ports(host, 100)
    certificate, key = make_certificate(folder, host)
    trunks: list[dict[str, Any]] = [
        {"name": "plain", "peers": [f"{host}/32", f"{PLAIN_CALLER}/32"]},
        {"name": "sdes", "peers": [f"{SDES_CALLER}/32"], "media_security": "sdes"},
        {"name": "dtls", "peers": [f"{DTLS_CALLER}/32"], "media_security": "dtls"},
        {"name": "digest", "inbound": {"user": DIGEST_USER, "password_env": "DIGEST_PASSWORD"}},
    ]
    sip = {
        "listen": [f"udp:{host}:{port}", f"tcp:{host}:{port}", f"tls:{host}:{tls_port}"],
        "rtp_ports": [media, media + 99],
        "tls": {"certificate": str(certificate), "key": str(key), "ca": str(certificate)},
        "trunks": trunks,
    }
    path = folder / "sip.yaml"
    path.write_text(json.dumps(sip))  # JSON is YAML
    settings = {
        "PYTHONUNBUFFERED": "1",
        "DIGEST_PASSWORD": DIGEST_PASSWORD,
        "TWOWIRE_REDIS_URL": redis_url,
        "TWOWIRE_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWOWIRE_API_TOKEN": API_TOKEN,
        "TWOWIRE_DRAIN_LIMIT_S": "1",
        "TWOWIRE_LOG_FORMAT": "json",
    }
    try:
        worker = bench.start("worker", TWOWIRE, "worker", "--metrics-port", "0", cwd=ROOT, environment=settings)
        awaited(worker, "worker.started")
        serve = [TWOWIRE, "serve", "--port", "0", "--sip", str(path)]
        gateway = bench.start("serve", *serve, cwd=ROOT, environment=settings)
        url = awaited(gateway, r'gateway\.ready.*?"url": "(http://[^"]+)"|"url": "(http://[^"]+)".*?gateway\.ready')
        yield GatewayUnderTest(
            host,
            port,
            username=DIGEST_USER,
            password=DIGEST_PASSWORD,
            tls_port=tls_port,
            url=url,
            api_token=API_TOKEN,
            certificate=certificate,
        )
        assert gateway.running, f"the gateway ended by itself\n{gateway.tail()}"
    finally:
        bench.stop()


def awaited(peer: Peer, pattern: str) -> str:
    """The first group that matched."""
    match = asyncio.run(peer.until(pattern, START_S))
    return next((group for group in match.groups() if group), "")
