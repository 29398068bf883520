"""SIPp: scenario files of ours against a system under test, or as a system that answers."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from tests.interop.peers import (
    LOOPBACK,
    ROOT,
    START_S,
    Bench,
    Peer,
    find_peer,
    free_media_ports,
    free_port,
    listening,
)

SCENARIOS = ROOT / "tests" / "data" / "sipp"
START_TRIES = 3
PORT_BUSY = 254


@dataclass(frozen=True, slots=True)
class Target:
    """A system under test. ``user`` is the one to dial; the credentials are for its challenges, if it makes any."""

    host: str
    port: int
    user: str = "bot"
    username: str = "alice"
    password: str = "wonderland"


def start_sipp(
    bench: Bench,
    scenario: str,
    *arguments: str,
    target: Target | None = None,
    transport: str = "udp",
    port: int | None = None,
    calls: int = 1,
    at_once: int = 1,
    limit_s: float = 30.0,
) -> Peer:
    """Start one scenario: a caller when there is a ``target``, else one that answers on ``port``.

    It ends by itself after ``calls`` calls or ``limit_s``. Exit code 0: all went as written in the scenario.
    """
    path = SCENARIOS / f"{scenario}.xml"
    words: list[str | Path] = [find_peer("sipp"), "-sf", path]
    if target is not None:
        words += [f"{target.host}:{target.port}", "-s", target.user, "-au", target.username, "-ap", target.password]
        words += ["-l", str(at_once), "-r", str(at_once)]
    trace = bench.folder / f"{len(bench.peers):02}-sipp-{scenario}"
    words += ["-i", LOOPBACK, "-mi", LOOPBACK, "-p", str(port or free_port()), "-mp", str(free_media_ports())]
    words += ["-t", {"udp": "u1", "tcp": "t1"}[transport], "-m", str(calls), "-nostdin"]
    words += ["-timeout", f"{limit_s:g}s", "-timeout_error"]
    words += ["-trace_err", "-error_file", f"{trace}.errors", "-trace_msg", "-message_file", f"{trace}.messages"]
    return bench.start(f"sipp-{scenario}", *words, *arguments)


def purpose(scenario: str) -> str:
    """What a scenario is for, in its own words: the first comment of the file."""
    match = re.search(r"<!-- (.+?) -->", (SCENARIOS / f"{scenario}.xml").read_text())
    return match[1] if match else ""


async def call_by_sipp(
    bench: Bench,
    scenario: str,
    target: Target,
    *arguments: str,
    transport: str = "udp",
    calls: int = 1,
    at_once: int = 1,
    limit_s: float = 30.0,
) -> None:
    """Run one scenario against ``target``; fails with SIPp's own words and the messages that went over the wire."""
    for _ in range(START_TRIES):
        peer = start_sipp(
            bench,
            scenario,
            *arguments,
            target=target,
            transport=transport,
            calls=calls,
            at_once=at_once,
            limit_s=limit_s,
        )
        code = await peer.ended(limit_s + 10)
        if code != PORT_BUSY:
            break
    assert code == 0, f"{scenario} over {transport}: exit code {code}\n{explain(peer)}"


async def serve_by_sipp(
    bench: Bench, scenario: str, *arguments: str, transport: str = "udp", calls: int = 1, limit_s: float = 30.0
) -> int:
    """Start one that answers, wait until it listens, and return its port."""
    for _ in range(START_TRIES):
        port = free_port()
        peer = start_sipp(bench, scenario, *arguments, port=port, transport=transport, calls=calls, limit_s=limit_s)
        if await _listens(peer, port, transport == "tcp"):
            return port
    raise AssertionError(f"{scenario} did not listen\n{explain(peer)}")


async def _listens(peer: Peer, port: int, is_tcp: bool) -> bool:
    async with asyncio.timeout(START_S):
        while peer.running:
            if listening([(port, is_tcp)]):
                return True
            await asyncio.sleep(0.02)
    return False


def explain(peer: Peer) -> str:
    """What SIPp complained about, and the messages it saw."""
    trace = peer.log.with_suffix("")
    parts = []
    for kind, length in (("errors", 2_000), ("messages", 8_000)):
        path = trace.with_suffix(f".{kind}")
        if path.exists():
            parts.append(f"--- {path} ---\n{path.read_text(errors='replace')[:length]}")
    return "\n".join(parts) or peer.tail()
