"""Passwords we are asked for: once a realm, again when a nonce is stale, unasked from then on."""

import itertools

import pytest

from gateway.sip.digest import DigestVerifier, Missing, Stale, Verified
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.name_addr import NameAddr
from gateway.sip.trunk import Credentials
from gateway.sip.ua.effects import CallAnswered, CallEnded, EndCause, IncomingCall, OfferAnswered, RegistrationChanged
from gateway.sip.ua.gate import Admitted, Challenged, Refused, Verdict
from gateway.sip.ua.registration import Registration
from gateway.sip.uri import parse_uri
from tests.gateway.sip.network import ALICE, ANSWER, BOB, OFFER, REOFFER, Network, auto_answer, uri_of
from tests.gateway.sip.raw import Stranger

SECRET = Credentials("bob", "wonderland")
MD5 = 'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5, qop="auth"'


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    return Stranger(network, network.add(BOB))


def challenge(realm: str = "proxy", nonce: str = "n1", more: str = "") -> str:
    return MD5.format(realm=realm, nonce=nonce) + more


def answers(request: Request, name: str = "Proxy-Authorization") -> list[str]:
    return request.headers.get_all(name)


def test_a_challenged_call_is_placed_again_with_the_password(network, stranger):
    call, first = stranger.called(credentials=SECRET)
    assert not answers(first)
    stranger.reply(first, 407, "p", headers=[("Proxy-Authenticate", challenge())])
    again = stranger.request("INVITE")
    assert stranger.request("ACK").via.branch == first.via.branch
    assert (again.call_id, again.from_.tag) == (first.call_id, first.from_.tag)
    assert again.cseq.number == first.cseq.number + 1
    assert 'realm="proxy"' in answers(again)[0]
    assert "nc=00000001" in answers(again)[0]
    stranger.reply(again, 200, "t1", body=ANSWER)
    assert stranger.bob.of(CallAnswered) == [CallAnswered(call, ANSWER)]
    assert answers(stranger.request("ACK")) == answers(again)


def test_a_wrong_password_is_tried_once(network, stranger):
    call, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 401, "p", headers=[("WWW-Authenticate", challenge())])
    stranger.reply(stranger.request("INVITE"), 401, "p", headers=[("WWW-Authenticate", challenge(nonce="n2"))])
    assert len(stranger.heard("INVITE")) == 2
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.REJECTED, 401, "Unauthorized")


def test_without_a_password_a_challenge_ends_the_call(network, stranger):
    call, first = stranger.called()
    stranger.reply(first, 401, "p", headers=[("WWW-Authenticate", challenge())])
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.REJECTED, 401, "Unauthorized")


def test_a_stale_nonce_is_no_wrong_password(network, stranger):
    _, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 407, "p", headers=[("Proxy-Authenticate", challenge())])
    stale = [("Proxy-Authenticate", challenge(nonce="n2", more=", stale=true"))]
    stranger.reply(stranger.request("INVITE"), 407, "p", headers=stale)
    assert 'nonce="n2"' in answers(stranger.request("INVITE"))[0]


def test_a_server_whose_nonces_are_always_stale_is_given_up(network, stranger):
    _, _first = stranger.called(credentials=SECRET)
    stale = [("Proxy-Authenticate", challenge(more=", stale=true"))]
    for _ in range(10):
        if not stranger.bob.of(CallEnded):
            stranger.reply(stranger.request("INVITE"), 407, "p", headers=stale)
    assert stranger.bob.of(CallEnded)
    assert 2 < len(stranger.heard("INVITE")) < 6


def test_two_realms_are_both_answered(network, stranger):
    _, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 407, "p", headers=[("Proxy-Authenticate", challenge("proxy"))])
    stranger.reply(stranger.request("INVITE"), 401, "p", headers=[("WWW-Authenticate", challenge("home"))])
    last = stranger.request("INVITE")
    assert 'realm="proxy"' in answers(last)[0]
    assert 'realm="home"' in answers(last, "Authorization")[0]


def test_of_several_challenges_the_strongest_is_answered(network, stranger):
    _, first = stranger.called(credentials=SECRET)
    stronger = challenge().replace("MD5", "SHA-256")
    unknown = challenge().replace("MD5", "SHA-512-256")
    headers = [("WWW-Authenticate", text) for text in (challenge(), unknown, stronger)]
    stranger.reply(first, 401, "p", headers=headers)
    sent = answers(stranger.request("INVITE"), "Authorization")
    assert len(sent) == 1
    assert "algorithm=SHA-256" in sent[0]


def test_a_password_of_one_realm_is_not_shown_to_another(network, stranger):
    _, first = stranger.called(credentials=Credentials("bob", "x", realm="carrier"))
    stranger.reply(first, 401, "p", headers=[("WWW-Authenticate", challenge("evil"))])
    assert len(stranger.heard("INVITE")) == 1
    assert stranger.bob.of(CallEnded)


def test_later_requests_of_the_call_answer_unasked_and_count_on(network, stranger):
    call, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 407, "p", headers=[("Proxy-Authenticate", challenge())])
    stranger.reply(stranger.request("INVITE"), 200, "t1", body=ANSWER)
    stranger.bob.agent.hang_up(call, network.now)
    network.settle()
    assert "nc=00000002" in answers(stranger.request("BYE"))[0]


def test_a_challenged_bye_is_sent_again(network, stranger):
    call, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 200, "t1", body=ANSWER)
    stranger.bob.agent.hang_up(call, network.now)
    network.settle()
    bye = stranger.request("BYE")
    stranger.reply(bye, 407, "t1", headers=[("Proxy-Authenticate", challenge())])
    again = stranger.request("BYE")
    assert again.cseq.number == bye.cseq.number + 1
    assert answers(again)


def test_no_password_after_a_cancel(network, stranger):
    call, first = stranger.called(credentials=SECRET)
    stranger.reply(first, 100)
    stranger.bob.agent.hang_up(call, network.now)
    stranger.reply(first, 407, "p", headers=[("Proxy-Authenticate", challenge())])
    assert len(stranger.heard("INVITE")) == 1
    network.run(40.0)
    assert stranger.bob.agent.idle


def test_a_registration_shows_its_password_unasked_after_the_first_time(network, stranger):
    wanted = Registration(
        parse_uri("sip:198.51.100.7:5080"),
        parse_uri("sip:bob@example.com"),
        parse_uri("sip:bob@192.0.2.2"),
        SECRET,
        600,
    )
    id = stranger.bob.agent.register(wanted, network.now)
    network.settle()
    stranger.reply(stranger.request("REGISTER"), 401, "r", headers=[("WWW-Authenticate", challenge("home"))])
    stranger.reply(stranger.request("REGISTER"), 200, "r", headers=[("Expires", "600")], contact="")
    assert stranger.bob.of(RegistrationChanged) == [RegistrationChanged(id, True, 200)]
    network.run(450.1)
    assert "nc=00000002" in answers(stranger.request("REGISTER"), "Authorization")[0]
    stranger.reply(stranger.request("REGISTER"), 200, "r", headers=[("Expires", "600")], contact="")
    assert len(stranger.heard("REGISTER")) == 3


class PasswordGate:
    """Admits who knows Bob's password; nonces of short life."""

    def __init__(self) -> None:
        count = itertools.count()
        self.verifier = DigestVerifier("gateway", b"secret", lambda: f"nonce{next(count)}", lifetime_s=30.0)

    def check(self, request: Request, flow: Flow, now: float) -> Verdict:
        match self.verifier.verify(request, {"bob": "wonderland"}.get, now):
            case Verified():
                return Admitted("bob")
            case Missing():
                stale = False
            case Stale():
                stale = True
            case _:
                return Refused(403)
        return Challenged(tuple(("WWW-Authenticate", text) for text in self.verifier.challenges(now, stale=stale)))


@pytest.mark.parametrize(("password", "admitted"), [("wonderland", True), ("looking-glass", False)])
def test_our_password_opens_our_own_gate(network, password, admitted):
    alice = network.add(ALICE)
    bob = network.add(BOB, PasswordGate())
    auto_answer(bob)
    call = alice.agent.place_call(
        uri_of(BOB), NameAddr(uri_of(ALICE)), OFFER, network.now, credentials=Credentials("bob", password)
    )
    network.run(1.0)
    assert bool(bob.of(IncomingCall)) is admitted
    assert bool(alice.of(CallAnswered)) is admitted
    if admitted:
        alice.agent.offer(call, REOFFER, network.now)
        network.run(1.0)
        assert alice.of(OfferAnswered)
    else:
        assert alice.last(CallEnded).status == 403
