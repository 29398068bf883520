"""Calls between two user agents: set-up, end, and what a lossy network does to them."""

import pytest

from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.effects import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallRinging,
    EndCause,
    IncomingCall,
    OfferAnswered,
    Reason,
)
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
    pair,
    uri_of,
)


def test_a_call_is_placed_answered_and_hung_up_by_the_caller():
    network = Network()
    alice, bob, outgoing, incoming = connected(network)
    alice.agent.hang_up(outgoing, network.now)
    network.run(1.0)
    assert network.names_on_wire() == ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]
    assert alice.effects[:2] == [CallRinging(outgoing, 180, None), CallAnswered(outgoing, ANSWER)]
    assert alice.last(CallEnded) == CallEnded(outgoing, EndCause.HUNG_UP, 0, "")
    assert bob.last(IncomingCall).offer == OFFER
    assert bob.last(CallConfirmed) == CallConfirmed(incoming, None)
    assert bob.last(CallEnded) == CallEnded(incoming, EndCause.PEER_HUNG_UP, 0, "")


def test_the_callee_may_hang_up_and_say_why():
    network = Network()
    alice, bob, outgoing, incoming = connected(network)
    bob.agent.hang_up(incoming, network.now, Reason("Q.850", 16, "Normal call clearing"))
    network.run(1.0)
    assert network.request("BYE", BOB).headers.get("Reason") == 'Q.850;cause=16;text="Normal call clearing"'
    ended = alice.last(CallEnded)
    assert ended == CallEnded(outgoing, EndCause.PEER_HUNG_UP, 0, 'Q.850;cause=16;text="Normal call clearing"')


def test_an_info_nobody_knows_the_call_of_ends_it():
    network = Network()
    alice, bob, outgoing, incoming = connected(network)
    network.drop = lambda sent: sent.name == "BYE"
    bob.agent.hang_up(incoming, network.now)
    network.run(40.0)
    alice.agent.send_info(outgoing, "application/dtmf-relay", b"Signal=1", network.now)
    network.run(1.0)
    assert alice.last(CallEnded) == CallEnded(outgoing, EndCause.PEER_LOST, 481, "")


def test_after_a_call_nothing_is_left_of_it():
    network = Network()
    alice, bob, outgoing, _ = connected(network)
    alice.agent.hang_up(outgoing, network.now)
    network.run(70.0)
    for peer in (alice, bob):
        assert peer.agent.idle
        assert peer.agent.next_deadline() is None
        assert peer.agent.stats()["timers"] == 0


@pytest.mark.parametrize("seed", range(25))
def test_a_third_of_all_datagrams_lost_does_not_lose_a_call(seed):
    network = Network(seed, loss=0.33, jitter_s=0.3)
    alice, bob = pair(network)
    auto_answer(bob)
    outgoing = alice.agent.place_call(uri_of(BOB), NameAddr(uri_of(ALICE)), OFFER, network.now)
    network.run(30.0)
    assert len(bob.of(IncomingCall)) == 1, f"seed {seed}"
    assert alice.of(CallAnswered) == [CallAnswered(outgoing, ANSWER)], f"seed {seed}"
    assert bob.of(CallConfirmed), f"seed {seed}"
    alice.agent.offer(outgoing, REOFFER, network.now)
    network.run(30.0)
    assert alice.of(OfferAnswered) == [OfferAnswered(outgoing, REANSWER)], f"seed {seed}"
    alice.agent.hang_up(outgoing, network.now)
    network.run(120.0)
    assert [ended.cause for ended in bob.of(CallEnded)] == [EndCause.PEER_HUNG_UP], f"seed {seed}"
    assert alice.agent.idle, f"seed {seed}"
    assert bob.agent.idle, f"seed {seed}"
