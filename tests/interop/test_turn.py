"""Calls whose only way leads over a TURN server, over UDP and TCP, with credentials that expire."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.webrtc.turn_credentials import mint
from tests.interop.aiortc_caller import AiortcCaller, calling
from tests.interop.audio import Samples
from tests.interop.browser_line import page_token, running_line
from tests.interop.chromium import spans
from tests.interop.coturn import Coturn, start_coturn
from tests.interop.gateways import GatewayUnderTest
from tests.interop.peers import Bench
from tests.interop.voices import RATE_HZ, microphone

pytestmark = pytest.mark.interop

ANSWER = "eight in the morning until six in the evening"
WITHIN_S = 20.0
ANSWER_S = 1.5  # of the answer's sound, at least


@pytest.fixture(scope="module")
def question() -> Samples:
    """Interrupts the greeting to ask for the opening hours."""
    return microphone(2.0, "What are your opening hours?")


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    bench = Bench(tmp_path_factory.mktemp("turn"))
    try:
        yield asyncio.run(start_coturn(bench))
    finally:
        bench.stop()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, coturn: Coturn) -> Iterator[GatewayUnderTest]:
    """A gateway with addresses of its own, that tells pages of the TURN server."""
    urls = [coturn.url("udp"), coturn.url("tcp")]
    with running_line(tmp_path_factory.mktemp("line"), valkey_url, urls, coturn.secret) as gateway:
        yield gateway


@pytest.fixture(scope="module", params=["udp", "tcp"])
def hidden_line(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_url: str, coturn: Coturn
) -> Iterator[GatewayUnderTest]:
    """A gateway that is reached over the TURN server only."""
    folder, urls = tmp_path_factory.mktemp("hidden-line"), [coturn.url(request.param)]
    with running_line(folder, valkey_url, urls, coturn.secret, relay_only=True) as gateway:
        yield gateway


async def until_it_answers(gateway: GatewayUnderTest, caller: AiortcCaller, before: set[str]) -> None:
    """The question arrived and was understood; its answer is heard."""
    await gateway.agent_said(before, ANSWER)
    deadline = time.monotonic() + WITHIN_S
    while sum(span.length_s for span in spans(caller.heard, RATE_HZ)[1:]) < ANSWER_S:
        assert time.monotonic() < deadline, f"expected greeting and answer, heard {spans(caller.heard, RATE_HZ)}"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_caller_behind_a_firewall_talks_over_the_relay(
    line: GatewayUnderTest, coturn: Coturn, question: Samples, transport: str
):
    before = await line.calls()
    given = await page_token(line)
    (server,) = given["ice_servers"]
    assert server["urls"] == [coturn.url("udp"), coturn.url("tcp")]
    only = {**server, "urls": [coturn.url(transport)]}
    async with calling(line.url, given["token"], question, [only], relay_only=True) as caller:
        assert {kind for kind, _ in caller.pairs} == {"relay"}
        await until_it_answers(line, caller, before)


async def test_a_gateway_behind_a_firewall_is_reached_over_the_relay(
    hidden_line: GatewayUnderTest, coturn: Coturn, question: Samples
):
    before = await hidden_line.calls()
    given = await page_token(hidden_line)
    async with calling(hidden_line.url, given["token"], question) as caller:
        assert {address[0] for _, address in caller.pairs} == {coturn.host}
        assert {address[1] for _, address in caller.pairs} <= set(coturn.relay_ports)
        await until_it_answers(hidden_line, caller, before)


async def test_credentials_that_have_expired_open_nothing(line: GatewayUnderTest, coturn: Coturn):
    token = (await page_token(line))["token"]
    username, credential = mint(coturn.secret, "late", int(time.time()) - 1)
    late = {"urls": [coturn.url("udp")], "username": username, "credential": credential}
    with pytest.raises(AssertionError, match=r"the connection is|expected a connection"):
        async with calling(line.url, token, np.empty(0, np.int16), [late], relay_only=True, within_s=3.0):
            pass
    assert coturn.refused
