"""Reliable provisional responses and PRACK, as caller and as callee."""

import pytest

from gateway.sip.message import Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.config import Reliability
from gateway.sip.ua.effects import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallRinging,
    EndCause,
    IncomingCall,
    OfferAnswered,
    OfferReceived,
)
from tests.gateway.sip.network import (
    ANSWER,
    BOB,
    OFFER,
    REANSWER,
    REOFFER,
    Network,
    pair,
    uri_of,
)
from tests.gateway.sip.raw import STRANGER, Stranger, invite, request


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    return Stranger(network, network.add(BOB))


def prack(stranger: Stranger, response: Response, *, cseq: int = 2, rack: str = "", body: str = "") -> None:
    rack = rack or f"{response.headers.get('RSeq')} {response.cseq.number} INVITE"
    stranger.send(
        request("PRACK", to_tag=response.to.tag, cseq=cseq, branch=f"p{cseq}", extra=f"RAck: {rack}", body=body)
    )


def test_ringing_is_repeated_until_its_prack(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    bob.agent.ring(bob.last(IncomingCall).call, network.now)
    at = network.now
    network.run(4.0)
    ringing = stranger.response("180 INVITE")
    assert [round(sent.at - at, 3) for sent in network.sent("180 INVITE")] == [0.0, 0.5, 1.5, 3.5]
    assert ringing.tokens("Require") == ["100rel"]
    prack(stranger, ringing)
    assert stranger.heard("200 PRACK")
    network.run(60.0)
    assert len(network.sent("180 INVITE")) == 4


def test_without_prack_the_call_is_refused(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    bob.agent.ring(bob.last(IncomingCall).call, network.now)
    network.run(32.1)
    assert stranger.heard("504 INVITE")
    assert bob.last(CallEnded).cause is EndCause.TIMED_OUT


def test_a_prack_for_nothing_is_of_no_transaction(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    bob.agent.ring(bob.last(IncomingCall).call, network.now)
    network.settle()
    prack(stranger, stranger.response("180 INVITE"), rack="99 1 INVITE")
    assert stranger.heard("481 PRACK")


def test_one_reliable_response_at_a_time_in_order(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    call = bob.last(IncomingCall).call
    bob.agent.ring(call, network.now)
    bob.agent.ring(call, network.now, status=182)
    network.settle()
    assert not stranger.heard("182 INVITE")
    first = stranger.response("180 INVITE")
    prack(stranger, first)
    second = stranger.response("182 INVITE")
    assert int(second.headers.get("RSeq")) == int(first.headers.get("RSeq")) + 1


def test_no_answer_before_the_prack_of_early_media(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    call = bob.last(IncomingCall).call
    bob.agent.ring(call, network.now, ANSWER, 183)
    bob.agent.answer(call, ANSWER, network.now)
    network.settle()
    assert not stranger.heard("200 INVITE")
    prack(stranger, stranger.response("183 INVITE"))
    assert stranger.response("200 INVITE").body == b""  # said in the 183
    stranger.ack(stranger.response("200 INVITE").to.tag)
    assert bob.of(CallConfirmed)


def test_ringing_without_sdp_does_not_hold_back_the_answer(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    call = bob.last(IncomingCall).call
    bob.agent.ring(call, network.now)
    bob.agent.answer(call, ANSWER, network.now)
    network.run(10.0)
    assert stranger.response("200 INVITE").body == ANSWER
    assert len(stranger.heard("180 INVITE")) == 1


def test_an_offer_in_reliable_ringing_is_answered_by_the_prack(network, stranger):
    stranger.send(invite(body="", extra="Require: 100rel"))
    bob = stranger.bob
    call = bob.last(IncomingCall).call
    bob.agent.ring(call, network.now, OFFER, 183)
    network.settle()
    prack(stranger, stranger.response("183 INVITE"), body=ANSWER.decode())
    assert bob.last(OfferAnswered) == OfferAnswered(call, ANSWER)
    bob.agent.answer(call, None, network.now)
    network.settle()
    assert stranger.response("200 INVITE").body == b""


def test_a_prack_may_offer_anew(network, stranger):
    stranger.send(invite(extra="Require: 100rel"))
    bob = stranger.bob
    call = bob.last(IncomingCall).call
    bob.agent.ring(call, network.now, ANSWER, 183)
    network.settle()
    prack(stranger, stranger.response("183 INVITE"), body=REOFFER.decode())
    assert bob.last(OfferReceived).sdp == REOFFER
    bob.agent.answer_offer(call, REANSWER, network.now)
    network.settle()
    assert stranger.response("200 PRACK").body == REANSWER


def test_supported_is_not_required(network, stranger):
    stranger.send(invite(extra="Supported: 100rel"))
    bob = stranger.bob
    bob.agent.ring(bob.last(IncomingCall).call, network.now)
    network.settle()
    assert "RSeq" not in stranger.response("180 INVITE").headers


RELIABLE = [("Require", "100rel"), ("RSeq", "7")]


def test_a_caller_acknowledges_a_reliable_response_once(network, stranger):
    call, sent = stranger.called()
    for _ in range(3):
        stranger.reply(sent, 180, "t1", headers=RELIABLE)
    assert stranger.request("PRACK").headers.get("RAck") == f"7 {sent.cseq.number} INVITE"
    assert stranger.request("PRACK").cseq.number == sent.cseq.number + 1
    assert len(stranger.heard("PRACK")) == 1
    assert stranger.bob.of(CallRinging) == [CallRinging(call, 180, None)]


def test_a_reliable_response_out_of_turn_waits_for_its_repetition(network, stranger):
    _, sent = stranger.called()
    stranger.reply(sent, 180, "t1", headers=RELIABLE)
    stranger.reply(sent, 183, "t1", headers=[("Require", "100rel"), ("RSeq", "9")])
    assert len(stranger.heard("PRACK")) == 1
    stranger.reply(sent, 182, "t1", headers=[("Require", "100rel"), ("RSeq", "8")])
    stranger.reply(sent, 183, "t1", headers=[("Require", "100rel"), ("RSeq", "9")])
    assert len(stranger.heard("PRACK")) == 3


def test_each_fork_counts_its_own_reliable_responses(network, stranger):
    _, sent = stranger.called()
    stranger.reply(sent, 180, "t1", headers=RELIABLE)
    stranger.reply(sent, 180, "t2", headers=[("Require", "100rel"), ("RSeq", "4000")])
    assert [message.to.tag for message in stranger.heard("PRACK")] == ["t1", "t2"]


def test_a_reliable_answer_settles_the_session_before_the_200(network, stranger):
    call, sent = stranger.called()
    stranger.reply(sent, 183, "t1", headers=RELIABLE, body=ANSWER)
    stranger.reply(sent, 200, "t1", body=b"v=0 something else")
    assert stranger.bob.last(CallAnswered) == CallAnswered(call, ANSWER)


def test_a_settled_early_session_is_changed_by_update(network, stranger):
    call, sent = stranger.called()
    stranger.reply(sent, 183, "t1", headers=[*RELIABLE, ("Allow", "INVITE, UPDATE, PRACK")], body=ANSWER)
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.settle()
    update = stranger.request("UPDATE")
    stranger.reply(update, 200, "t1", body=REANSWER)
    assert stranger.bob.last(OfferAnswered) == OfferAnswered(call, REANSWER)


def test_an_offer_in_a_reliable_response_is_answered_in_the_prack(network, stranger):
    bob = stranger.bob.agent
    call = bob.place_call(uri_of(STRANGER), NameAddr(uri_of(BOB)), None, network.now)
    network.settle()
    sent = stranger.request("INVITE")
    stranger.reply(sent, 183, "t1", headers=RELIABLE, body=OFFER)
    assert stranger.bob.last(OfferReceived).sdp == OFFER
    assert not stranger.heard("PRACK")
    bob.answer_offer(call, ANSWER, network.now)
    network.settle()
    assert stranger.request("PRACK").body == ANSWER
    stranger.reply(sent, 200, "t1")
    assert stranger.bob.last(CallAnswered) == CallAnswered(call, OFFER)


@pytest.mark.parametrize("seed", range(10))
def test_two_agents_ring_reliably_through_a_lossy_network(seed):
    network = Network(seed, loss=0.3, jitter_s=0.2)
    alice, bob = pair(network, reliability=Reliability.WHEN_SUPPORTED)

    def react(effect, now):
        if isinstance(effect, IncomingCall):
            bob.agent.ring(effect.call, now, ANSWER, 183)
            bob.agent.answer(effect.call, None, now)

    bob.react = react
    call = alice.agent.place_call(uri_of(BOB), NameAddr(uri_of(STRANGER)), OFFER, network.now)
    network.run(30.0)
    assert alice.of(CallRinging) == [CallRinging(call, 183, ANSWER)], f"seed {seed}"
    assert alice.of(CallAnswered) == [CallAnswered(call, ANSWER)], f"seed {seed}"
    assert bob.of(CallConfirmed), f"seed {seed}"
