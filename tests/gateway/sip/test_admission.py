"""Who is let in at the SIP door."""

from collections.abc import Iterator
from ipaddress import ip_network
from itertools import count

from gateway.sip.admission import STRANGERS_PER_S, TrunkGate
from gateway.sip.digest import DigestVerifier, answer, choose, parse_challenges
from gateway.sip.flow import Flow, Transport
from gateway.sip.message import Request
from gateway.sip.parser import parse_message
from gateway.sip.trunk import Credentials, Trunk, TrunkTable
from gateway.sip.ua.gate import Admitted, Challenged, Ignored, Refused, Verdict

PBX = Trunk("pbx", peers=(ip_network("192.0.2.0/24"),), calls_per_s=2.0)
PHONE = Trunk("phone", inbound=Credentials("alice", "wonderland"))
TOKENS: Iterator[int] = count()


def gate(*trunks: Trunk) -> TrunkGate:
    return TrunkGate(TrunkTable(trunks), DigestVerifier("twowire", b"secret", lambda: f"nonce{next(TOKENS)}"))


def invite(authorization: str = "") -> Request:
    lines = [
        "INVITE sip:agent@192.0.2.99 SIP/2.0",
        "Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1",
        "From: <sip:alice@203.0.113.5>;tag=1",
        "To: <sip:agent@192.0.2.99>",
        f"Call-ID: {next(TOKENS)}",
        "CSeq: 1 INVITE",
        *([f"Authorization: {authorization}"] if authorization else []),
    ]
    message = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(message, Request)
    return message


def knock(it: TrunkGate, source: str, request: Request | None = None, now: float = 0.0) -> Verdict:
    flow = Flow(Transport.UDP, ("192.0.2.99", 5060), (source, 5060))
    return it.check(request or invite(), flow, now)


def with_password(challenged: Verdict, password: str) -> Request:
    assert isinstance(challenged, Challenged)
    challenge = choose(parse_challenges([value for _, value in challenged.headers]))
    assert challenge is not None
    credentials = Credentials("alice", password)
    return invite(answer(challenge, credentials, "INVITE", "sip:agent@192.0.2.99", b"", 1, "cnonce"))


def test_a_peer_of_a_trunk_needs_no_password():
    assert knock(gate(PBX, PHONE), "192.0.2.7") == Admitted("pbx")


def test_an_invite_from_nowhere_is_refused():
    assert knock(gate(PBX), "203.0.113.5") == Refused(403)


def test_the_right_password_opens_its_trunk_and_a_wrong_one_does_not():
    it = gate(PBX, PHONE)
    challenged = knock(it, "203.0.113.5")
    assert knock(it, "203.0.113.5", with_password(challenged, "wonderland")) == Admitted("phone")
    challenged = knock(it, "203.0.113.5")
    assert knock(it, "203.0.113.5", with_password(challenged, "through the looking glass")) == Refused(403)


def test_a_stranger_who_insists_is_ignored_and_comes_back_later():
    it = gate(PBX)
    verdicts = [knock(it, "203.0.113.5") for _ in range(100)]
    assert verdicts[0] == Refused(403)
    assert verdicts[-1] == Ignored()
    assert knock(it, "203.0.113.6") == Refused(403)
    assert knock(it, "203.0.113.5", now=2 / STRANGERS_PER_S) == Refused(403)


def test_a_flood_does_not_lock_out_who_knows_the_password_behind_the_same_address():
    it = gate(PBX, PHONE)
    challenged = knock(it, "203.0.113.5")
    assert [knock(it, "203.0.113.5") for _ in range(100)][-1] == Ignored()
    assert knock(it, "203.0.113.5", with_password(challenged, "wonderland")) == Admitted("phone")


def test_a_peer_that_sends_more_calls_than_agreed_is_told_so():
    it = gate(PBX)
    assert [knock(it, "192.0.2.7") for _ in range(5)] == [Admitted("pbx")] * 4 + [Refused(503)]
    assert knock(it, "192.0.2.8") == Admitted("pbx")
