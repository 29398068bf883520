"""The call flows of RFC 3665 and its relatives, as SIPp plays them against the gateway."""

from contextlib import AsyncExitStack

import pytest

from tests.interop.kamailio import start_kamailio, start_rtpengine
from tests.interop.peers import LOOPBACK, ROOT, Bench
from tests.interop.sipp import SCENARIOS, Target, call_by_sipp, purpose
from tests.interop.wire_client import Received, Sketch, WireClient, wire_client

pytestmark = pytest.mark.interop

MOST_CALLS = 64  # more than the demo's worker has slots

# Those that need more than a gateway that answers; each has a test of its own below, or says where it is tried.
SPECIAL = {
    "busy": "needs a gateway without a free slot",
    "call_with_audio": "needs a file to play",
    "digest": "needs a password",
    "digest_wrong_password": "needs a password",
    "late_ack": "over UDP only",
    "no_ack": "takes half a minute",
    "no_answer": "needs a callee that rings on, which this gateway never does: test_bench.py",
}
PLAIN = sorted(path.stem for path in SCENARIOS.glob("*.xml") if not path.stem.startswith("uas_"))


def test_every_scenario_says_what_it_is_for():
    assert len(PLAIN) >= 20
    assert set(SPECIAL) <= set(PLAIN)
    for path in SCENARIOS.glob("*.xml"):
        assert len(purpose(path.stem)) > 20, path


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("scenario", [name for name in PLAIN if name not in SPECIAL])
async def test_the_gateway_plays_its_part(gateway: Target, bench: Bench, scenario: str, transport: str):
    await call_by_sipp(bench, scenario, gateway, transport=transport)


async def test_a_late_ack_finds_a_call(gateway: Target, bench: Bench):
    await call_by_sipp(bench, "late_ack", gateway)


@pytest.mark.slow
async def test_a_caller_who_never_confirms_is_hung_up_on(gateway: Target, bench: Bench):
    await call_by_sipp(bench, "no_ack", gateway, limit_s=50)


async def test_audio_flows_while_sipp_plays(gateway: Target, bench: Bench):
    speech = (ROOT / "tests" / "data" / "jfk_8k_ulaw.wav").read_bytes()[58:]
    (bench.folder / "speech.ul").write_bytes(speech)
    await call_by_sipp(bench, "call_with_audio", gateway)


async def test_twenty_calls_at_once_are_each_answered_or_told_that_all_is_taken(gateway: Target, bench: Bench):
    await call_by_sipp(bench, "call", gateway, calls=20, at_once=10)


async def test_a_gateway_without_a_free_slot_says_busy_and_recovers(gateway: Target, bench: Bench):
    held: list[tuple[WireClient, Sketch, Received]] = []
    async with AsyncExitStack() as stack:
        for _ in range(MOST_CALLS):
            client = await stack.enter_async_context(wire_client((gateway.host, gateway.port), gateway.user))
            invite = client.invite()
            answer = await client.ask(invite, 10.0)
            if answer.status != 200:
                client.send(invite.refusal_ack(answer))
                break
            client.send(invite.following("ACK", answer))
            held.append((client, invite, answer))
        assert 0 < len(held) < MOST_CALLS
        await call_by_sipp(bench, "busy", gateway)
        for client, invite, answer in held:
            await client.hang_up(invite, answer)
    await call_by_sipp(bench, "call", gateway)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    "scenario", ["call", "hold", "late_offer", "session_timer", "update", "reliable_provisional", "refer", "bye_twice"]
)
async def test_calls_come_through_a_record_routing_proxy(gateway: Target, bench: Bench, scenario: str, transport: str):
    proxy = await start_kamailio(bench, bot=(gateway.host, gateway.port), challenge=False)
    await call_by_sipp(bench, scenario, Target(LOOPBACK, proxy.port), transport=transport)


@pytest.mark.parametrize("scenario", ["digest", "digest_wrong_password"])
async def test_a_proxy_asks_for_the_password_in_front_of_the_gateway(gateway: Target, bench: Bench, scenario: str):
    proxy = await start_kamailio(bench, bot=(gateway.host, gateway.port))
    await call_by_sipp(bench, scenario, Target(LOOPBACK, proxy.port, password=proxy.password))


async def test_media_goes_through_a_relay(gateway: Target, bench: Bench):
    relay = await start_rtpengine(bench)
    proxy = await start_kamailio(bench, bot=(gateway.host, gateway.port), challenge=False, rtpengine_port=relay)
    for scenario in ("call", "hold", "late_offer"):
        await call_by_sipp(bench, scenario, Target(LOOPBACK, proxy.port))
