"""PJSIP calls the gateway: TLS with SRTP only, passwords with SHA-256, PRACK, session timers, hold, keys."""

import asyncio

import pytest

from tests.interop.audio import Samples, compare, describe, read_wav
from tests.interop.gateways import (
    DIGEST_CALLER,
    DIGEST_PASSWORD,
    DIGEST_USER,
    DTLS_CALLER,
    PLAIN_CALLER,
    SDES_CALLER,
    GatewayUnderTest,
)
from tests.interop.peers import Bench
from tests.interop.pjsip import Pjsip

pytestmark = [pytest.mark.interop, pytest.mark.redis]

LISTEN_S = 6.0
HOURS = "from eight in the morning until six in the evening"


def address(gateway: GatewayUnderTest, transport: str = "udp") -> str:
    port = gateway.tls_port if transport == "tls" else gateway.port
    suffix = "" if transport == "udp" else f";transport={transport}"
    return f"sip:{gateway.user}@{gateway.host}:{port}{suffix}"


async def established(phone: Pjsip, uri: str) -> dict[str, object]:
    """Dial and wait for the ACK and the media; the media's event."""
    phone.do("call", uri=uri)
    await phone.expect("call", state="CONFIRMED")
    return await phone.expect("media", status="active")


async def hung_up(phone: Pjsip) -> None:
    phone.do("hangup")
    await phone.expect("call", state="DISCONNECTED")
    await phone.quit()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
async def test_the_greeting_is_heard(
    trunks: GatewayUnderTest, greeting: Samples, bench: Bench, codec: str, transport: str
):
    recording = bench.folder / "heard.wav"
    options = ["--host", PLAIN_CALLER, "--codecs", codec, "--transport", transport, "--record", str(recording)]
    phone = await Pjsip(bench, *options).start()
    media = await established(phone, address(trunks, transport))
    assert media["codec"] == codec
    await asyncio.sleep(LISTEN_S)
    await hung_up(phone)
    assert_greeted(recording, greeting)


def assert_greeted(recording: object, greeting: Samples) -> None:
    """PJSIP without a sound card jumps in its own clock, so its recordings fit less than the others' (facts: 0.6)."""
    heard, rate = read_wav(recording)  # type: ignore[arg-type]
    table = compare(heard, greeting, rate)
    assert len(table) >= 3, describe(table)
    assert sorted(row.correlation for row in table)[len(table) // 2] > 0.8, describe(table)


@pytest.mark.parametrize("transport", ["tls", "tcp"])
async def test_media_is_encrypted_where_the_trunk_asks_for_it(
    trunks: GatewayUnderTest, greeting: Samples, bench: Bench, transport: str
):
    recording = bench.folder / "heard.wav"
    options = ["--host", SDES_CALLER, "--srtp", "mandatory", "--transport", transport]
    phone = await Pjsip(bench, *options, "--record", str(recording)).start()
    await established(phone, address(trunks, transport))
    await asyncio.sleep(LISTEN_S)
    await hung_up(phone)
    assert_greeted(recording, greeting)


@pytest.mark.parametrize("caller", [SDES_CALLER, DTLS_CALLER])
async def test_plain_media_is_refused_where_the_trunk_asks_for_srtp(
    trunks: GatewayUnderTest, bench: Bench, caller: str
):
    phone = await Pjsip(bench, "--host", caller).start()
    phone.do("call", uri=address(trunks))
    ended = await phone.expect("call", state="DISCONNECTED")
    assert ended["code"] == 488
    await phone.quit()


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_a_password_lets_a_stranger_in(trunks: GatewayUnderTest, bench: Bench, transport: str):
    words = ["--host", DIGEST_CALLER, "--username", DIGEST_USER, "--password", DIGEST_PASSWORD]
    phone = await Pjsip(bench, *words, "--transport", transport).start()
    await established(phone, address(trunks, transport))
    assert 'algorithm="SHA-256"' in phone.peer.printed or "algorithm=SHA-256" in phone.peer.printed
    await hung_up(phone)


async def test_a_wrong_password_does_not(trunks: GatewayUnderTest, bench: Bench):
    words = ["--host", DIGEST_CALLER, "--username", DIGEST_USER, "--password", "no-such-password"]
    phone = await Pjsip(bench, *words).start()
    phone.do("call", uri=address(trunks))
    ended = await phone.expect("call", state="DISCONNECTED")
    assert ended["code"] in (401, 403)
    await phone.quit()


async def test_a_caller_who_insists_on_100rel_gets_through(trunks: GatewayUnderTest, bench: Bench):
    phone = await Pjsip(bench, "--host", PLAIN_CALLER, "--prack", "mandatory").start()
    await established(phone, address(trunks))
    await hung_up(phone)


async def test_hold_resume_and_update_keep_the_call(trunks: GatewayUnderTest, bench: Bench):
    phone = await Pjsip(bench, "--host", PLAIN_CALLER).start()
    await established(phone, address(trunks))
    phone.do("hold")
    await phone.expect("media", status="local_hold")
    phone.do("resume")
    await phone.expect("media", status="active")
    phone.do("update")
    await asyncio.sleep(0.5)
    await hung_up(phone)


async def test_keys_reach_the_agent(trunks: GatewayUnderTest, bench: Bench):
    before = await trunks.calls()
    phone = await Pjsip(bench, "--host", PLAIN_CALLER).start()
    await established(phone, address(trunks))
    await asyncio.sleep(1.0)
    phone.do("dtmf", digits="1")
    await trunks.agent_said(before, HOURS)
    await hung_up(phone)
