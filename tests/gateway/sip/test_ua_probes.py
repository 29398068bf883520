"""The probes that SIP stacks fail: one raw message, one right answer."""

import pytest

from gateway.sip.ua.effects import CallConfirmed, CallEnded, EndCause, IncomingCall, OfferReceived
from tests.gateway.sip.network import ANSWER, BOB, OFFER, REANSWER, REOFFER, Network, auto_answer
from tests.gateway.sip.raw import Stranger, invite, request


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def bob(network):
    peer = network.add(BOB)
    auto_answer(peer, ring=False)
    return peer


@pytest.fixture
def stranger(network, bob):
    return Stranger(network, bob)


def test_an_invite_sent_three_times_is_one_call_with_one_answer(network, bob, stranger):
    for _ in range(3):
        stranger.send(invite())
    assert len(bob.of(IncomingCall)) == 1
    assert {message.to.tag for message in stranger.heard("200 INVITE")} == {stranger.response("200 INVITE").to.tag}


def test_the_200_is_repeated_until_the_ack_with_growing_waits(network, bob, stranger):
    started = network.now
    stranger.send(invite())
    network.run(12.0)
    waits = [round(sent.at - started, 3) for sent in network.sent("200 INVITE")]
    assert waits == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]
    stranger.ack(stranger.response("200 INVITE").to.tag)
    network.run(40.0)
    assert len(network.sent("200 INVITE")) == len(waits)
    assert bob.of(CallConfirmed)


def test_without_ack_the_call_is_given_up_with_a_bye_after_32_seconds(network, bob, stranger):
    stranger.send(invite())
    network.run(31.9)
    assert not stranger.heard("BYE")
    network.run(0.2)
    assert stranger.request("BYE").to.tag == "f1"
    assert bob.last(CallEnded).cause is EndCause.NO_ACK
    network.run(80.0)
    assert bob.agent.idle


def test_a_hold_is_an_offer_that_the_application_answers(network, bob, stranger):
    tag = stranger.call()
    stranger.send(invite(to_tag=tag, cseq=2, branch="2", body=REOFFER.decode()))
    assert bob.last(OfferReceived).sdp == REOFFER
    assert stranger.response("200 INVITE").body == REANSWER
    assert stranger.response("200 INVITE").cseq.number == 2


def test_a_bye_with_a_wrong_tag_is_of_no_dialog(network, bob, stranger):
    stranger.call()
    stranger.send(request("BYE", cseq=2, branch="2", to_tag="wrong"))
    assert stranger.heard("481 BYE")
    assert not bob.of(CallEnded)


def test_a_repeated_bye_gets_its_200_again(network, bob, stranger):
    tag = stranger.call()
    for _ in range(2):
        stranger.send(request("BYE", cseq=2, branch="2", to_tag=tag))
    assert len(stranger.heard("200 BYE")) == 2
    assert len(bob.of(CallEnded)) == 1


def test_options_is_answered_with_what_we_can(network, bob, stranger):
    stranger.send(request("OPTIONS"))
    answer = stranger.response("200 OPTIONS")
    assert "INVITE" in answer.headers.get("Allow")
    assert "application/sdp" in answer.headers.get("Accept")
    assert "timer" in answer.headers.get("Supported")
    assert answer.to.tag


def test_an_invite_without_sdp_gets_our_offer_in_the_200(network, bob, stranger):
    stranger.send(invite(body=""))
    assert bob.last(IncomingCall).offer is None
    assert stranger.response("200 INVITE").body == ANSWER
    stranger.ack(stranger.response("200 INVITE").to.tag, body=OFFER.decode())
    assert bob.last(CallConfirmed).sdp == OFFER


def test_an_ack_that_owes_the_answer_and_has_none_ends_the_call(network, bob, stranger):
    stranger.send(invite(body=""))
    stranger.ack(stranger.response("200 INVITE").to.tag)
    assert bob.last(CallEnded).cause is EndCause.PROTOCOL_ERROR
    assert stranger.heard("BYE")


def test_media_nobody_can_play_is_refused_by_the_application(network, bob, stranger):
    bob.react = lambda effect, now: (
        bob.agent.refuse(effect.call, 488, now, headers=[("Warning", '304 bob "no codec"')])
        if isinstance(effect, IncomingCall)
        else None
    )
    stranger.send(invite())
    refusal = stranger.response("488 INVITE")
    assert refusal.headers.get("Warning") == '304 bob "no codec"'
    assert bob.last(CallEnded).cause is EndCause.REFUSED


def test_an_unknown_required_extension_is_named_in_the_refusal(network, bob, stranger):
    stranger.send(invite(extra="Require: foo, 100rel, bar"))
    assert stranger.response("420 INVITE").headers.get("Unsupported") == "foo, bar"
    assert not bob.of(IncomingCall)


def test_an_invite_with_an_unknown_to_tag_is_of_no_dialog(network, bob, stranger):
    stranger.send(invite(to_tag="nobody"))
    assert stranger.heard("481 INVITE")
    assert not bob.of(IncomingCall)
