"""Calls that come in: ringing, CANCEL, limits, hanging up early, order within the dialog."""

from collections.abc import Callable

import pytest

from gateway.sip.ua.config import AgentLimits
from gateway.sip.ua.effects import (
    CallConfirmed,
    CallEnded,
    CallHandle,
    EndCause,
    IncomingCall,
    InfoReceived,
    OfferWithdrawn,
)
from tests.gateway.sip.network import ANSWER, BOB, REOFFER, Network, Peer, auto_answer
from tests.gateway.sip.raw import STRANGER, Stranger, invite, request


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def bob(network):
    return network.add(BOB)


@pytest.fixture
def stranger(network, bob):
    return Stranger(network, bob)


def incoming(peer: Peer) -> CallHandle:
    return peer.last(IncomingCall).call


def test_early_media_is_the_answer_of_the_200_too(network, bob, stranger):
    stranger.send(invite())
    bob.agent.ring(incoming(bob), network.now, ANSWER, 183)
    bob.agent.answer(incoming(bob), ANSWER, network.now)
    network.settle()
    assert stranger.response("183 INVITE").body == stranger.response("200 INVITE").body == ANSWER
    assert stranger.response("183 INVITE").to.tag == stranger.response("200 INVITE").to.tag


def test_responses_that_make_a_dialog_carry_contact_and_recorded_route(network, bob, stranger):
    stranger.send(invite(extra="Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2;lr>"))
    bob.agent.ring(incoming(bob), network.now)
    network.settle()
    ringing = stranger.response("180 INVITE")
    assert ringing.contacts
    assert [str(route.uri) for route in ringing.record_routes] == ["sip:10.0.0.1;lr", "sip:10.0.0.2;lr"]


def test_requests_of_the_callee_follow_the_recorded_route_in_its_order(network, bob, stranger):
    auto_answer(bob)
    stranger.call(extra="Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2;lr>", contact="<sip:x@203.0.113.5>")
    bob.agent.hang_up(incoming(bob), network.now)
    network.settle()
    bye = stranger.request("BYE")
    assert str(bye.uri) == "sip:x@203.0.113.5"
    assert [str(route.uri) for route in bye.routes] == ["sip:10.0.0.1;lr", "sip:10.0.0.2;lr"]


def test_ringing_is_repeated_each_minute(network, bob, stranger):
    stranger.send(invite())
    bob.agent.ring(incoming(bob), network.now)
    network.run(130.0)
    assert len(stranger.heard("180 INVITE")) == 3


def test_a_call_nobody_answers_is_refused_at_the_limit(network, bob, stranger):
    stranger.send(invite())
    network.run(180.1)
    assert stranger.heard("480 INVITE")
    assert bob.last(CallEnded).cause is EndCause.NO_ANSWER


def test_the_callers_expires_bounds_the_ringing(network, bob, stranger):
    stranger.send(invite(extra="Expires: 20"))
    network.run(20.1)
    assert bob.last(CallEnded).cause is EndCause.NO_ANSWER


def test_a_cancelled_call_ends_with_487_and_the_callers_reason(network, bob, stranger):
    stranger.send(invite())
    stranger.send(request("CANCEL", extra='Reason: SIP;cause=200;text="Call completed elsewhere"'))
    assert stranger.heard("200 CANCEL")
    assert stranger.heard("487 INVITE")
    assert bob.last(CallEnded) == CallEnded(
        incoming(bob), EndCause.CANCELLED, 487, 'SIP;cause=200;text="Call completed elsewhere"'
    )


def test_a_cancel_after_the_answer_changes_nothing(network, bob, stranger):
    auto_answer(bob)
    stranger.send(invite())
    stranger.send(request("CANCEL"))
    stranger.ack(stranger.response("200 INVITE").to.tag)
    assert bob.of(CallConfirmed)
    assert not bob.of(CallEnded)


def test_an_answer_that_comes_after_the_cancel_is_not_sent(network, bob, stranger):
    stranger.send(invite())
    stranger.send(request("CANCEL"))
    bob.agent.answer(incoming(bob), ANSWER, network.now)
    network.settle()
    assert not stranger.heard("200 INVITE")
    assert len(bob.of(CallEnded)) == 1


def test_a_cancelled_re_invite_leaves_the_call_as_it_was(network, bob, stranger):
    stranger.send(invite())
    bob.agent.answer(incoming(bob), ANSWER, network.now)
    network.settle()
    tag = stranger.response("200 INVITE").to.tag
    stranger.ack(tag)
    stranger.send(invite(to_tag=tag, cseq=2, branch="2", body=REOFFER.decode()))
    stranger.send(request("CANCEL", to_tag=tag, cseq=2, branch="2"))
    assert stranger.heard("487 INVITE")
    assert bob.of(OfferWithdrawn)
    assert not bob.of(CallEnded)


def test_the_caller_may_hang_up_before_the_answer(network, bob, stranger):
    stranger.send(invite())
    bob.agent.ring(incoming(bob), network.now)
    network.settle()
    stranger.send(request("BYE", cseq=2, branch="2", to_tag=stranger.response("180 INVITE").to.tag))
    assert stranger.heard("200 BYE")
    assert stranger.heard("487 INVITE")
    assert bob.last(CallEnded).cause is EndCause.PEER_HUNG_UP


def test_no_bye_before_the_ack(network, bob, stranger):
    stranger.send(invite())
    bob.agent.answer(incoming(bob), ANSWER, network.now)
    bob.agent.hang_up(incoming(bob), network.now)
    network.run(3.0)
    assert bob.last(CallEnded).cause is EndCause.HUNG_UP
    assert not stranger.heard("BYE")
    stranger.ack(stranger.response("200 INVITE").to.tag)
    assert stranger.heard("BYE")
    assert not bob.of(CallConfirmed)


def test_a_call_hung_up_whose_ack_never_comes_gets_its_bye_at_the_end(network, bob, stranger):
    stranger.send(invite())
    bob.agent.answer(incoming(bob), ANSWER, network.now)
    bob.agent.hang_up(incoming(bob), network.now)
    network.run(32.5)
    assert stranger.heard("BYE")
    assert len(bob.of(CallEnded)) == 1
    network.run(70.0)
    assert bob.agent.idle


def test_an_older_request_of_a_dialog_is_out_of_order(network, bob, stranger):
    auto_answer(bob)
    tag = stranger.call()
    stranger.send(request("INFO", to_tag=tag, cseq=5, branch="5", body="x", content_type="text/plain"))
    stranger.send(request("INFO", to_tag=tag, cseq=4, branch="4", body="x", content_type="text/plain"))
    assert stranger.heard("500 INFO")
    assert len(bob.of(InfoReceived)) == 1


def test_keys_in_info_are_given_to_the_application(network, bob, stranger):
    auto_answer(bob)
    tag = stranger.call()
    body = "Signal=5\nDuration=160\n"
    stranger.send(request("INFO", to_tag=tag, cseq=2, branch="2", body=body, content_type="application/dtmf-relay"))
    assert bob.last(InfoReceived) == InfoReceived(
        incoming(bob), "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"
    )
    assert stranger.heard("200 INFO")


def test_an_info_package_nobody_announced_is_refused(network, bob, stranger):
    auto_answer(bob)
    tag = stranger.call()
    stranger.send(request("INFO", to_tag=tag, cseq=2, branch="2", extra="Info-Package: foo"))
    assert stranger.heard("469 INFO")


def test_calls_beyond_the_limit_are_refused_with_a_time_to_try_again(network):
    bob = network.add(BOB, limits=AgentLimits(max_calls=1))
    stranger = Stranger(network, bob)
    stranger.send(invite())
    stranger.send(invite(call_id="second", branch="2"))
    assert stranger.response("503 INVITE").headers.get("Retry-After") == "5"
    assert len(bob.of(IncomingCall)) == 1


def test_an_agent_that_stops_ends_its_calls_and_takes_no_more(network, bob, stranger):
    auto_answer(bob)
    stranger.call()
    bob.agent.stop(network.now)
    network.settle()
    assert stranger.heard("BYE")
    stranger.send(invite(call_id="late", branch="9"))
    assert stranger.heard("503 INVITE")
    assert not bob.agent.idle
    stranger.reply(stranger.request("BYE"), 200)
    assert bob.agent.idle


def test_what_identifies_the_caller_is_left_to_the_application(network, bob, stranger):
    stranger.send(invite(extra="P-Asserted-Identity: <sip:+12015550123@carrier>\nX-Account: 7"))
    request_ = bob.last(IncomingCall).request
    assert request_.headers.get("P-Asserted-Identity") == "<sip:+12015550123@carrier>"
    assert request_.headers.get("X-Account") == "7"
    assert bob.last(IncomingCall).flow.remote == STRANGER


def test_commands_about_an_ended_call_do_nothing(network, bob, stranger):
    stranger.send(invite())
    call = incoming(bob)
    bob.agent.refuse(call, 486, network.now)
    commands: list[Callable[[], None]] = [
        lambda: bob.agent.ring(call, network.now),
        lambda: bob.agent.answer(call, ANSWER, network.now),
        lambda: bob.agent.refuse(call, 486, network.now),
        lambda: bob.agent.hang_up(call, network.now),
        lambda: bob.agent.offer(call, ANSWER, network.now),
        lambda: bob.agent.answer_offer(call, ANSWER, network.now),
        lambda: bob.agent.reject_offer(call, 488, network.now),
        lambda: bob.agent.send_info(call, "text/plain", b"", network.now),
    ]
    for command in commands:
        command()
    network.settle()
    assert [name for name in network.names_on_wire() if name != "100 INVITE"] == ["486 INVITE"]
    assert len(bob.of(CallEnded)) == 1
