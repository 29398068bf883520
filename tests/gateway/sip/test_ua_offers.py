"""Changing a session: re-INVITE and UPDATE in both directions, and what happens when both sides want to."""

import pytest

from gateway.sip.ua.effects import (
    CallEnded,
    EndCause,
    IncomingCall,
    OfferAnswered,
    OfferReceived,
    OfferRejected,
    OfferWithdrawn,
)
from gateway.sip.ua.offer_answer import TRANSITIONS, Exchange, OfferAnswer, Step
from tests.gateway.sip.network import (
    ALICE,
    ANSWER,
    BOB,
    OFFER,
    REANSWER,
    REOFFER,
    Network,
    auto_answer,
    connected,
    kinds,
)
from tests.gateway.sip.raw import Stranger, invite, request


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    bob = network.add(BOB)
    return Stranger(network, bob)


@pytest.mark.parametrize("state", Exchange)
@pytest.mark.parametrize("step", Step)
def test_every_step_is_either_in_the_table_or_refused(state, step):
    exchange = OfferAnswer()
    exchange.state = state
    if step in TRANSITIONS[state]:
        exchange.take(step, b"sdp")
        assert exchange.state is TRANSITIONS[state][step]
    else:
        assert not exchange.allows(step)
        with pytest.raises(ValueError, match=state.value):
            exchange.take(step, b"sdp")


def test_a_refused_offer_leaves_what_was_agreed():
    exchange = OfferAnswer()
    exchange.take(Step.SEND_OFFER, b"1")
    exchange.take(Step.RECEIVE_ANSWER, b"2")
    exchange.take(Step.RECEIVE_OFFER, b"3")
    exchange.roll_back()
    assert (exchange.state, exchange.local_sdp, exchange.remote_sdp) == (Exchange.SETTLED, b"1", b"2")


def test_both_sides_may_change_the_session_one_after_the_other(network):
    alice, bob, outgoing, incoming = connected(network)
    auto_answer(alice)
    alice.agent.offer(outgoing, REOFFER, network.now)
    network.run(1.0)
    bob.agent.offer(incoming, ANSWER, network.now)
    network.run(1.0)
    assert alice.of(OfferAnswered) == [OfferAnswered(outgoing, REANSWER)]
    assert bob.of(OfferAnswered) == [OfferAnswered(incoming, REANSWER)]
    assert len(network.sent("ACK")) == 3


@pytest.mark.parametrize("seed", range(10))
def test_offers_that_cross_are_both_made_in_the_end(seed):
    network = Network(seed, jitter_s=0.05)
    alice, bob, outgoing, incoming = connected(network)
    auto_answer(alice)
    alice.agent.offer(outgoing, REOFFER, network.now)
    bob.agent.offer(incoming, ANSWER, network.now)
    network.run(20.0)
    assert network.sent("491 INVITE"), f"seed {seed}"
    assert alice.of(OfferAnswered), f"seed {seed}"
    assert bob.of(OfferAnswered), f"seed {seed}"
    assert not alice.of(CallEnded), f"seed {seed}"
    assert not bob.of(CallEnded), f"seed {seed}"


def test_after_glare_the_owner_of_the_call_id_waits_longer(network):
    alice, bob, outgoing, incoming = connected(network)
    auto_answer(alice)
    at = network.now
    alice.agent.offer(outgoing, REOFFER, network.now)
    bob.agent.offer(incoming, ANSWER, network.now)
    network.run(20.0)
    again = {sender: [s.at - at for s in network.sent("INVITE", sender) if s.at > at + 0.05] for sender in (ALICE, BOB)}
    assert 2.1 <= again[ALICE][0] <= 4.1
    assert 0 <= again[BOB][0] <= 2.1


def test_a_refused_offer_leaves_the_call_up(network):
    alice, bob, outgoing, incoming = connected(network)
    bob.react = lambda effect, now: (
        bob.agent.reject_offer(incoming, 488, now) if isinstance(effect, OfferReceived) else None
    )
    alice.agent.offer(outgoing, REOFFER, network.now)
    network.run(1.0)
    assert alice.last(OfferRejected) == OfferRejected(outgoing, 488)
    assert not alice.of(CallEnded)
    assert not bob.of(CallEnded)


def test_after_a_refused_offer_of_the_peer_the_next_one_is_taken(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    bob, call = stranger.bob.agent, stranger.bob.last(IncomingCall).call
    stranger.bob.react = lambda effect, now: None
    stranger.send(invite(to_tag=tag, cseq=2, branch="2"))
    bob.reject_offer(call, 488, network.now)
    network.settle()
    stranger.send(invite(to_tag=tag, cseq=3, branch="3", body=REOFFER.decode()))
    bob.answer_offer(call, REANSWER, network.now)
    network.settle()
    assert stranger.heard("488 INVITE")
    assert stranger.response("200 INVITE").cseq.number == 3


def test_an_offer_the_application_does_not_answer_is_refused_for_it(network):
    alice, bob, outgoing, _ = connected(network)
    bob.react = lambda effect, now: None
    alice.agent.offer(outgoing, REOFFER, network.now)
    network.run(12.0)
    assert bob.of(OfferWithdrawn)
    assert alice.last(OfferRejected) == OfferRejected(outgoing, 500)


def test_the_newest_of_several_waiting_offers_is_made(network):
    alice, bob, outgoing, _ = connected(network)
    for sdp in (b"one", b"two", REOFFER):
        alice.agent.offer(outgoing, sdp, network.now)
    network.run(2.0)
    assert [effect.sdp for effect in bob.of(OfferReceived)] == [b"one", REOFFER]


def test_a_dialog_the_peer_does_not_know_any_more_is_ended(network, stranger):
    call, _ = stranger.connect()
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.settle()
    stranger.reply(stranger.request("INVITE"), 481, "t1")
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.PEER_LOST, 481, "")
    assert stranger.heard("BYE")


def test_a_peer_that_does_not_answer_an_offer_is_gone(network, stranger):
    call, _ = stranger.connect()
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.run(33.0)
    assert stranger.bob.last(CallEnded).cause is EndCause.TIMED_OUT
    network.run(40.0)
    assert stranger.bob.agent.idle


def test_a_re_invite_without_offer_asks_for_ours(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(invite(to_tag=tag, cseq=2, branch="2", body=""))
    assert stranger.bob.last(OfferReceived).sdp is None
    assert stranger.response("200 INVITE").body == REANSWER
    stranger.ack(tag, cseq=2, body=REOFFER.decode())
    assert stranger.bob.last(OfferAnswered).sdp == REOFFER


def test_a_second_re_invite_before_the_first_is_answered_comes_too_soon(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.bob.react = lambda effect, now: None
    stranger.send(invite(to_tag=tag, cseq=2, branch="2"))
    stranger.send(invite(to_tag=tag, cseq=3, branch="3"))
    assert 0 <= int(stranger.response("500 INVITE").headers.get("Retry-After")) <= 10


def test_a_re_invite_while_ours_is_out_is_glare(network, stranger):
    call, sent = stranger.connect()
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.settle()
    stranger.send(invite(to_tag=sent.from_.tag, from_tag="t1", call_id=sent.call_id))
    assert stranger.heard("491 INVITE")


def test_an_update_changes_the_session_without_ack(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(request("UPDATE", to_tag=tag, cseq=2, branch="2", body=REOFFER.decode()))
    assert stranger.response("200 UPDATE").body == REANSWER
    assert stranger.bob.last(OfferReceived).sdp == REOFFER


def test_an_update_while_ours_is_out_is_glare(network, stranger):
    call, sent = stranger.connect(Allow="INVITE, UPDATE")
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.settle()
    stranger.send(request("UPDATE", to_tag=sent.from_.tag, from_tag="t1", call_id=sent.call_id, body=OFFER.decode()))
    assert stranger.heard("491 UPDATE")


def test_an_update_while_the_application_owes_an_answer_comes_too_soon(network, stranger):
    stranger.send(invite())
    bob = stranger.bob
    bob.agent.ring(bob.last(IncomingCall).call, network.now)
    network.settle()
    tag = stranger.response("180 INVITE").to.tag
    stranger.send(request("UPDATE", to_tag=tag, cseq=2, branch="2", body=REOFFER.decode()))
    assert stranger.response("500 UPDATE").headers.get("Retry-After")


def test_the_new_contact_of_a_re_invite_is_where_later_requests_go(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(invite(to_tag=tag, cseq=2, branch="2", contact="<sip:moved@203.0.113.1>"))
    stranger.ack(tag, cseq=2)
    stranger.bob.agent.hang_up(stranger.bob.last(IncomingCall).call, network.now)
    network.settle()
    assert str(stranger.request("BYE").uri) == "sip:moved@203.0.113.1"


def test_the_new_contact_of_an_answer_is_where_later_requests_go(network, stranger):
    call, _ = stranger.connect()
    stranger.bob.agent.offer(call, REOFFER, network.now)
    network.settle()
    moved = [("Contact", "<sip:moved@203.0.113.1>")]
    stranger.reply(stranger.request("INVITE"), 200, "t1", headers=moved, body=REANSWER)
    assert str(stranger.request("ACK").uri) == "sip:moved@203.0.113.1"
    assert kinds(stranger.bob.effects)[-1] == "OfferAnswered"


def test_hanging_up_answers_the_offer_that_is_open(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.bob.react = lambda effect, now: None
    stranger.send(invite(to_tag=tag, cseq=2, branch="2"))
    stranger.bob.agent.hang_up(stranger.bob.last(IncomingCall).call, network.now)
    network.settle()
    assert stranger.heard("487 INVITE")
    assert stranger.heard("BYE")
