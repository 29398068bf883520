"""The bench itself: its peers against each other, so that a failure elsewhere is the gateway's and not the bench's."""

import asyncio

import pytest

from tests.interop.audio import assert_same_audio
from tests.interop.baresip import Baresip
from tests.interop.kamailio import start_kamailio, start_rtpengine
from tests.interop.peers import LOOPBACK, Bench, MissingPeerError, find_peer
from tests.interop.pjsip import Pjsip
from tests.interop.sipp import SCENARIOS, Target, call_by_sipp, serve_by_sipp, start_sipp
from tests.speech import jfk_ulaw
from wire.audio.g711 import decode_ulaw

# Foreign software on both sides: slow, and news only when the bench or a peer has changed.
pytestmark = [pytest.mark.interop, pytest.mark.slow]

# Where bare PJSIP is no oracle. Without modules of its application it knows no OPTIONS, INFO or unknown methods
# within a call (500), answers a stray PRACK with 400, and its "500 Invalid CSeq" is misread by SIPp, which takes
# the word in the reason for the header.
NOT_BY_PJSIP = {"info_dtmf", "old_cseq", "options_in_call", "prack_unknown", "unknown_method"}
ELSEWHERE = {"call_with_audio", "digest", "digest_wrong_password", "late_ack", "no_ack"}
CALLERS = sorted(path.stem for path in SCENARIOS.glob("*.xml") if not path.stem.startswith("uas_"))


async def oracle(bench: Bench) -> Pjsip:
    return await Pjsip(bench, "--prack", "optional").start()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("scenario", [name for name in CALLERS if name not in NOT_BY_PJSIP | ELSEWHERE])
async def test_pjsip_plays_its_part_in_our_scenarios(bench: Bench, scenario: str, transport: str):
    phone = await oracle(bench)
    user = {"busy": "busy", "no_answer": "ring"}.get(scenario, "bot")
    await call_by_sipp(bench, scenario, Target(LOOPBACK, phone.port, user), transport=transport)


async def test_pjsip_takes_a_late_ack_and_hangs_up_without_one(bench: Bench):
    phone = await oracle(bench)
    target = Target(LOOPBACK, phone.port)
    await call_by_sipp(bench, "late_ack", target)
    await call_by_sipp(bench, "no_ack", target, limit_s=50)


async def test_a_scenario_that_is_not_followed_fails_with_the_messages(bench: Bench):
    phone = await oracle(bench)
    with pytest.raises(AssertionError, match="486 Busy Here"):
        await call_by_sipp(bench, "call", Target(LOOPBACK, phone.port, "busy"))


@pytest.mark.parametrize(
    ("caller", "callee", "transport"),
    [
        ("call", "uas_answer", "udp"),
        ("call", "uas_answer", "tcp"),
        # Over TCP the one that ends first closes the connection, which the other counts as a failed call.
        ("busy", "uas_busy", "udp"),
        ("no_answer", "uas_no_answer", "udp"),
    ],
)
async def test_sipp_answers_sipp(bench: Bench, caller: str, callee: str, transport: str):
    port = await serve_by_sipp(bench, callee, transport=transport)
    await call_by_sipp(bench, caller, Target(LOOPBACK, port), transport=transport)
    assert await bench.peers[0].ended(10) == 0


async def test_a_sipp_that_hangs_up_ends_the_call_of_pjsip(bench: Bench):
    port = await serve_by_sipp(bench, "uas_hangs_up")
    phone = await oracle(bench)
    phone.do("call", uri=f"sip:bob@{LOOPBACK}:{port}")
    await phone.expect("call", state="CONFIRMED")
    await phone.expect("call", state="DISCONNECTED")
    assert await bench.peers[0].ended(10) == 0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_kamailio_asks_for_passwords_and_stays_in_the_route(bench: Bench, transport: str):
    phone = await oracle(bench)
    proxy = await start_kamailio(bench, bot=(LOOPBACK, phone.port))
    target = Target(LOOPBACK, proxy.port, password=proxy.password)
    await call_by_sipp(bench, "digest", target, transport=transport)
    await call_by_sipp(bench, "digest_wrong_password", target, transport=transport)


async def test_rtpengine_relays_what_sipp_plays(bench: Bench):
    phone = await oracle(bench)
    relay = await start_rtpengine(bench)
    proxy = await start_kamailio(bench, bot=(LOOPBACK, phone.port), challenge=False, rtpengine_port=relay)
    (bench.folder / "speech.ul").write_bytes(jfk_ulaw())
    await call_by_sipp(bench, "call_with_audio", Target(LOOPBACK, proxy.port))


@pytest.mark.parametrize(
    ("codec", "rate", "security"),
    [
        ("PCMU", 8_000, ""),
        ("PCMA", 8_000, ""),
        ("G722", 16_000, ""),
        ("PCMU", 8_000, ";mediaenc=srtp-mand"),
        ("G722", 16_000, ";mediaenc=dtls_srtp"),
    ],
)
async def test_baresip_hears_baresip_to_the_sample(bench: Bench, codec: str, rate: int, security: str):
    voice = decode_ulaw(jfk_ulaw())
    voice = voice if rate == 8_000 else voice.repeat(2)
    account = f";audio_codecs={codec}/{rate}/1{security}"
    caller = await Baresip(bench, voice, rate, user="a", account=account).start()
    callee = await Baresip(bench, voice, rate, user="b", account=account + ";answermode=auto").start()
    caller.do("dial", callee.uri)
    await caller.expect("CALL_ESTABLISHED")
    await asyncio.sleep(6.0)
    caller.do("hangup")
    await callee.expect("CALL_CLOSED")
    for phone in (caller, callee):
        await phone.quit()
        heard, heard_rate = phone.heard()
        assert heard_rate == rate
        assert_same_audio(heard, voice, rate, at_least=0.99)


async def test_pjsip_mandatory_sdes_end_to_end(bench: Bench):
    options = "--srtp", "mandatory", "--transport", "tcp"
    caller, callee = await Pjsip(bench, *options).start(), await Pjsip(bench, *options).start()
    caller.do("call", uri=f"sip:bob@{LOOPBACK}:{callee.port};transport=tcp")
    await caller.expect("call", state="CONFIRMED")
    await callee.expect("call", state="CONFIRMED")
    caller.do("dtmf", digits="5")
    await callee.expect("dtmf", digit="5")
    caller.do("hangup")
    await callee.expect("call", state="DISCONNECTED")


async def test_a_program_that_is_missing_is_an_error_with_its_remedy():
    with pytest.raises(MissingPeerError, match=r"tests/interop/install\.sh"):
        find_peer("no-such-telephone")


async def test_peers_are_ended_by_their_own_limit(bench: Bench):
    peer = start_sipp(bench, "uas_answer", port=0, limit_s=1.0)
    assert await peer.ended(15) != 0
