"""The edge of ``deploy/kamailio``, as it stands there: calls reach a living gateway, media runs through rtpengine."""

import asyncio
from pathlib import Path

import pytest

from tests.interop.gateways import GatewayUnderTest
from tests.interop.kamailio import start_rtpengine
from tests.interop.peers import LOOPBACK, ROOT, START_S, Bench, find_peer, free_port, listening
from tests.interop.sipp import Target, call_by_sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]
EDGE = ROOT / "deploy" / "kamailio" / "kamailio.cfg"


async def start_edge(bench: Bench, gateways: list[str], carriers: str) -> Target:
    """Kamailio with the shipped file, in front of these gateways."""
    relay, port = await start_rtpengine(bench), free_port()
    folder = bench.folder_for("edge")
    words = {
        "EDGE_IP": LOOPBACK,
        "EDGE_PORT": str(port),
        "RTPENGINE": f"{LOOPBACK}:{relay}",
        "CARRIERS_FILE": str(write(folder / "carriers.list", carriers)),
        "GATEWAYS_FILE": str(write(folder / "gateways.list", "".join(f"1 {uri}\n" for uri in gateways))),
    }
    command = [find_peer("kamailio"), "-f", str(EDGE), "-DD", "-E", "-m", "64", "-M", "8", "-w", str(folder)]
    command += ["-Y", str(folder), "-P", str(folder / "pid")]
    command += [f"--substdef=!{name}!{value}!g" for name, value in words.items()]
    peer = bench.start("edge", *command, cwd=folder)
    async with asyncio.timeout(START_S):
        while not listening([(port, False), (port, True)]):
            assert peer.running, peer.tail()
            await asyncio.sleep(0.05)
    return Target(LOOPBACK, port)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_a_call_through_the_edge_reaches_a_gateway_with_its_media(bench: Bench, gateway: GatewayUnderTest):
    before = await gateway.calls()
    edge = await start_edge(bench, [f"sip:{gateway.host}:{gateway.port}"], "1 127.0.0.0 8\n")
    (bench.folder / "speech.ul").write_bytes(b"\xff" * 24_000)
    await call_by_sipp(bench, "call_with_audio", edge)
    (call,) = await gateway.calls() - before
    await gateway.agent_said(before, "Thank you for calling")
    relayed = next(peer for peer in bench.peers if "rtpengine" in peer.name)
    assert "Received command 'offer'" in relayed.printed
    assert call.startswith("sip-")


async def test_a_gateway_that_is_gone_is_passed_over(bench: Bench, gateway: GatewayUnderTest):
    gone = f"sip:{LOOPBACK}:{free_port()}"
    edge = await start_edge(bench, [gone, f"sip:{gateway.host}:{gateway.port}"], "1 127.0.0.0 8\n")
    for _ in range(4):  # whichever of the two a Call-ID is hashed to
        await call_by_sipp(bench, "call", edge)


async def test_nobody_else_is_relayed(bench: Bench, gateway: GatewayUnderTest):
    edge = await start_edge(bench, [f"sip:{gateway.host}:1"], "1 192.0.2.0 24\n")
    before = await gateway.calls()
    with pytest.raises(AssertionError, match="403"):
        await call_by_sipp(bench, "call", edge)
    assert await gateway.calls() == before
