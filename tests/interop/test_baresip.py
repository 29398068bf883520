"""baresip calls the gateway: every codec, both ways of keying SRTP, keys, hold, and as a registered telephone."""

import asyncio

import numpy as np
import pytest

from tests.interop.audio import Samples, assert_same_audio
from tests.interop.baresip import Baresip
from tests.interop.gateways import GatewayUnderTest
from tests.interop.kamailio import start_kamailio
from tests.interop.peers import Bench
from wire.audio.resample import Resampler

pytestmark = [pytest.mark.interop, pytest.mark.redis]

LISTEN_S = 7.0
HOURS = "from eight in the morning until six in the evening"
RATES = {"PCMU": 8_000, "PCMA": 8_000, "G722": 16_000}


def quiet(rate: int) -> Samples:
    """A minute of a caller who listens."""
    return np.zeros(60 * rate, np.int16)


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted:
        return samples
    resampler = Resampler(rate, wanted)
    return np.concatenate((resampler.push(samples), resampler.flush()))


async def telephone(bench: Bench, codec: str, extra: str = "", source: Samples | None = None) -> Baresip:
    rate = RATES[codec]
    voice = quiet(rate) if source is None else at_rate(source, 8_000, rate)
    return await Baresip(bench, voice, rate, account=f";audio_codecs={codec}/{rate}/1{extra}").start()


async def greeted(phone: Baresip, gateway: GatewayUnderTest, greeting: Samples, at_least: float) -> None:
    """Call, listen, hang up, and compare what was heard with what left the gateway."""
    phone.do("dial", f"sip:{gateway.user}@{gateway.host}:{gateway.port}")
    await phone.expect("CALL_ESTABLISHED")
    await asyncio.sleep(LISTEN_S)
    phone.do("hangup")
    await phone.expect("CALL_CLOSED")
    await phone.quit()
    heard, rate = phone.heard()
    assert_same_audio(at_rate(heard, rate, 8_000), greeting, 8_000, at_least=at_least, lag_spread_s=0.001)


@pytest.mark.parametrize("security", ["", ";mediaenc=srtp-mand", ";mediaenc=dtls_srtp"], ids=["plain", "sdes", "dtls"])
@pytest.mark.parametrize(("codec", "at_least"), [("PCMU", 0.999), ("PCMA", 0.99), ("G722", 0.95)])
async def test_the_greeting_is_heard_without_a_sample_missing(
    trunks: GatewayUnderTest, greeting: Samples, bench: Bench, codec: str, at_least: float, security: str
):
    phone = await telephone(bench, codec, security)
    await greeted(phone, trunks, greeting, at_least)


async def test_a_key_is_taken_and_answered(trunks: GatewayUnderTest, bench: Bench):
    before = await trunks.calls()
    phone = await telephone(bench, "PCMU")
    phone.do("dial", f"sip:{trunks.user}@{trunks.host}:{trunks.port}")
    await phone.expect("CALL_ESTABLISHED")
    await asyncio.sleep(1.0)
    phone.do("sndcode", "1")
    await trunks.agent_said(before, HOURS)
    phone.do("hangup")
    await phone.quit()


async def test_hold_and_resume_keep_the_call(trunks: GatewayUnderTest, bench: Bench):
    phone = await telephone(bench, "PCMU")
    phone.do("dial", f"sip:{trunks.user}@{trunks.host}:{trunks.port}")
    await phone.expect("CALL_ESTABLISHED")
    before = await trunks.calls()
    for command in ("hold", "resume"):
        await asyncio.sleep(1.0)
        phone.do(command)
    await asyncio.sleep(2.0)
    assert phone.in_call, "the call ended by itself"
    assert await trunks.calls() == before
    phone.do("hangup")
    await phone.expect("CALL_CLOSED")
    await phone.quit()


async def test_speech_reaches_the_agent(trunks: GatewayUnderTest, bench: Bench, question: Samples):
    before = await trunks.calls()
    phone = await telephone(bench, "G722", source=question)
    phone.do("dial", f"sip:{trunks.user}@{trunks.host}:{trunks.port}")
    await phone.expect("CALL_ESTABLISHED")
    await trunks.agent_said(before, HOURS)
    phone.do("hangup")
    await phone.quit()


async def test_a_registered_telephone_calls_through_its_proxy(
    gateway: GatewayUnderTest, greeting: Samples, bench: Bench
):
    proxy = await start_kamailio(bench, bot=(gateway.host, gateway.port))
    account = f";audio_codecs=PCMU/8000/1;auth_user=alice;auth_pass={proxy.password};regint=60"
    phone = await Baresip(bench, quiet(8_000), 8_000, account=account).start(registrar=proxy.address)
    await greeted(phone, GatewayUnderTest("127.0.0.1", proxy.port), greeting, 0.999)
