"""Calls we place: refusals, CANCEL and its races, forks, redirects, and how requests find their way."""

import pytest

from gateway.sip.flow import Flow, Target, Transport
from gateway.sip.name_addr import NameAddr, parse_name_addr
from gateway.sip.ua.config import AgentLimits
from gateway.sip.ua.effects import (
    CallAnswered,
    CallEnded,
    CallRinging,
    EndCause,
    OfferReceived,
    Reason,
    Resolve,
)
from gateway.sip.uri import parse_uri
from tests.gateway.sip.network import ANSWER, BOB, OFFER, Network, uri_of
from tests.gateway.sip.raw import STRANGER, Stranger, request


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    return Stranger(network, network.add(BOB))


def test_a_refused_call_ends_with_the_refusal(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 486, "t1")
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.REJECTED, 486, "Busy Here")
    assert stranger.request("ACK").via.branch == invite.via.branch
    network.run(40.0)
    assert stranger.bob.agent.idle


def test_a_call_nobody_answers_times_out_after_32_seconds(network, stranger):
    call, _ = stranger.called()
    network.run(31.9)
    assert not stranger.bob.of(CallEnded)
    network.run(0.2)
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.TIMED_OUT, 408, "Request Timeout")


def test_a_callee_that_rings_too_long_is_cancelled(network):
    stranger = Stranger(network, network.add(BOB, limits=AgentLimits(ringing_s=60.0)))
    _, invite = stranger.called()
    stranger.reply(invite, 180, "t1")
    network.run(60.1)
    assert stranger.bob.last(CallEnded).cause is EndCause.NO_ANSWER
    assert stranger.heard("CANCEL")


def test_hanging_up_before_the_answer_cancels_with_the_reason(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 180, "t1")
    stranger.bob.agent.hang_up(call, network.now, Reason("SIP", 200, "Call completed elsewhere"))
    network.settle()
    cancel = stranger.request("CANCEL")
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    stranger.reply(cancel, 200)
    stranger.reply(invite, 487, "t1")
    assert stranger.heard("ACK")
    assert len(stranger.bob.of(CallEnded)) == 1
    network.run(40.0)
    assert stranger.bob.agent.idle


def test_a_cancel_waits_for_the_first_provisional_response(network, stranger):
    call, invite = stranger.called()
    stranger.bob.agent.hang_up(call, network.now)
    network.run(0.1)
    assert not stranger.heard("CANCEL")
    stranger.reply(invite, 100)
    assert stranger.heard("CANCEL")


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 180, "t1")
    stranger.bob.agent.hang_up(call, network.now)
    stranger.reply(invite, 200, "t1", body=ANSWER)
    assert stranger.request("ACK").cseq.number == invite.cseq.number
    assert stranger.request("BYE").to.tag == "t1"
    assert not stranger.bob.of(CallAnswered)
    stranger.reply(stranger.request("BYE"), 200)
    network.run(70.0)
    assert stranger.bob.agent.idle


def test_a_second_fork_that_answers_is_acknowledged_and_hung_up(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 180, "first")
    stranger.reply(invite, 180, "second")
    stranger.reply(invite, 200, "second", body=ANSWER)
    stranger.reply(invite, 200, "first", body=ANSWER)
    assert stranger.bob.of(CallAnswered) == [CallAnswered(call, ANSWER)]
    assert {ack.to.tag for ack in stranger.heard("ACK")} == {"first", "second"}
    assert [bye.to.tag for bye in stranger.heard("BYE")] == ["first"]


def test_a_fork_that_repeats_its_answer_gets_its_ack_again_but_one_bye(network, stranger):
    _, invite = stranger.called()
    stranger.reply(invite, 200, "won", body=ANSWER)
    for _ in range(3):
        stranger.reply(invite, 200, "lost", body=ANSWER)
    assert [ack.to.tag for ack in stranger.heard("ACK")] == ["won", "lost", "lost", "lost"]
    assert len(stranger.heard("BYE")) == 1


def test_a_repeated_200_gets_the_same_ack(network, stranger):
    _, invite = stranger.connect()
    stranger.reply(invite, 200, "t1", body=ANSWER)
    network.run(33.0)  # the transaction of the INVITE is gone by now
    stranger.reply(invite, 200, "t1", body=ANSWER)
    acks = stranger.heard("ACK")
    assert len(acks) == 3
    assert len({ack.via.branch for ack in acks}) == 3
    assert len(stranger.bob.of(CallAnswered)) == 1


def test_an_answer_without_sdp_breaks_the_model_and_ends_the_call(network, stranger):
    _, invite = stranger.called()
    stranger.reply(invite, 200, "t1")
    assert stranger.heard("ACK")
    assert stranger.heard("BYE")
    assert stranger.bob.last(CallEnded).cause is EndCause.PROTOCOL_ERROR


def test_early_media_is_told_and_stands_for_the_answer(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 183, "t1", body=ANSWER)
    stranger.reply(invite, 200, "t1")
    assert stranger.bob.effects == [CallRinging(call, 183, ANSWER), CallAnswered(call, ANSWER)]


def test_a_call_without_offer_answers_the_callees_in_the_ack(network, stranger):
    bob = stranger.bob.agent
    call = bob.place_call(uri_of(STRANGER), NameAddr(uri_of(BOB)), None, network.now)
    network.settle()
    stranger.reply(stranger.request("INVITE"), 200, "t1", body=OFFER)
    assert stranger.bob.effects == [CallAnswered(call, None), OfferReceived(call, OFFER)]
    assert not stranger.heard("ACK")
    bob.answer_offer(call, ANSWER, network.now)
    network.settle()
    assert stranger.request("ACK").body == ANSWER


def test_an_offer_in_the_200_that_cannot_be_answered_ends_the_call(network, stranger):
    bob = stranger.bob.agent
    call = bob.place_call(uri_of(STRANGER), NameAddr(uri_of(BOB)), None, network.now)
    network.settle()
    stranger.reply(stranger.request("INVITE"), 200, "t1", body=OFFER)
    bob.reject_offer(call, 488, network.now)
    network.settle()
    assert stranger.request("ACK").body == b""
    assert stranger.heard("BYE")
    assert stranger.bob.of(CallEnded)


def test_a_redirect_is_followed_by_preference(network, stranger):
    _, invite = stranger.called()
    contacts = [("Contact", "<sip:low@198.51.100.7:5080>;q=0.1, <sip:high@198.51.100.7:5080>;q=0.9")]
    stranger.reply(invite, 302, "t1", headers=contacts)
    again = stranger.request("INVITE")
    assert str(again.uri) == "sip:high@198.51.100.7:5080"
    assert again.cseq.number > invite.cseq.number
    assert (again.call_id, again.from_.tag) == (invite.call_id, invite.from_.tag)
    stranger.reply(again, 404, "t2")
    assert str(stranger.request("INVITE").uri) == "sip:low@198.51.100.7:5080"


def test_redirects_that_lead_in_a_circle_end(network, stranger):
    call, _ = stranger.called()
    for _ in range(2):
        contacts = [("Contact", "<sip:stranger@198.51.100.7:5080>, <sip:other@198.51.100.7:5080>")]
        stranger.reply(stranger.request("INVITE"), 302, "t1", headers=contacts)
    assert stranger.bob.last(CallEnded) == CallEnded(call, EndCause.REDIRECTED, 302, "Moved Temporarily")


def test_a_redirect_is_reported_when_none_may_be_followed(network):
    stranger = Stranger(network, network.add(BOB, limits=AgentLimits(max_redirects=0)))
    _, invite = stranger.called()
    stranger.reply(invite, 301, "t1", headers=[("Contact", "<sip:new@198.51.100.7:5080>")])
    assert stranger.bob.last(CallEnded).cause is EndCause.REDIRECTED


def test_requests_follow_the_recorded_route_to_the_remote_target(network, stranger):
    call, invite = stranger.called()
    routes = "<sip:10.0.0.2;lr>, <sip:10.0.0.1;lr>"
    contact = "<sip:target@203.0.113.9>"
    stranger.reply(invite, 200, "t1", headers=[("Record-Route", routes), ("Contact", contact)], body=ANSWER)
    stranger.bob.agent.hang_up(call, network.now)
    network.settle()
    for name in ("ACK", "BYE"):
        message = stranger.request(name)
        assert str(message.uri) == "sip:target@203.0.113.9"
        assert [str(route.uri) for route in message.routes] == ["sip:10.0.0.1;lr", "sip:10.0.0.2;lr"]
        assert network.sent(name)[-1].receiver == ("10.0.0.1", 5060)


def test_a_strict_router_finds_itself_in_the_request_uri(network, stranger):
    call, invite = stranger.called()
    routes = [("Record-Route", "<sip:10.0.0.2;lr>, <sip:10.0.0.1>"), ("Contact", "<sip:target@203.0.113.9>")]
    stranger.reply(invite, 200, "t1", headers=routes, body=ANSWER)
    stranger.bob.agent.hang_up(call, network.now)
    network.settle()
    bye = stranger.request("BYE")
    assert str(bye.uri) == "sip:10.0.0.1"
    assert [str(route.uri) for route in bye.routes] == ["sip:10.0.0.2;lr", "sip:target@203.0.113.9"]
    assert network.sent("BYE")[-1].receiver == ("10.0.0.1", 5060)


def test_a_call_may_go_through_a_proxy_we_know(network, stranger):
    stranger.called(routes=[parse_name_addr("<sip:10.0.0.1;lr>")])
    invite = stranger.request("INVITE")
    assert str(invite.uri) == "sip:stranger@198.51.100.7:5080"
    assert network.sent("INVITE")[-1].receiver == ("10.0.0.1", 5060)


def test_a_name_is_resolved_and_the_next_target_tried_after_silence(network, stranger):
    network.names["trunk.example"] = [Target(Transport.UDP, ("10.0.0.1", 5060)), Target(Transport.UDP, STRANGER)]
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.run(33.0)
    receivers = [sent.receiver for sent in network.sent("INVITE")]
    assert receivers[0] == ("10.0.0.1", 5060)
    assert receivers[-1] == STRANGER
    assert stranger.bob.of(Resolve)
    assert len({sent.message.via.branch for sent in network.sent("INVITE")}) == 2


def test_a_503_moves_the_call_to_the_next_target(network, stranger):
    network.names["trunk.example"] = [Target(Transport.UDP, STRANGER), Target(Transport.UDP, ("10.0.0.2", 5060))]
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    stranger.reply(stranger.request("INVITE"), 503, "t1")
    assert network.sent("INVITE")[-1].receiver == ("10.0.0.2", 5060)
    assert not stranger.bob.of(CallEnded)


def test_a_broken_transport_moves_the_call_to_the_next_target(network, stranger):
    network.names["trunk.example"] = [Target(Transport.TCP, ("10.0.0.1", 5060)), Target(Transport.UDP, STRANGER)]
    network.closed.add(("10.0.0.1", 5060))
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    assert [sent.transport for sent in network.sent("INVITE")] == [Transport.TCP, Transport.UDP]


def test_a_call_that_rings_when_its_connection_breaks_is_not_placed_twice(network, stranger):
    network.names["trunk.example"] = [Target(Transport.TCP, STRANGER), Target(Transport.UDP, ("203.0.113.2", 5060))]
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    stranger.reply(stranger.request("INVITE"), 180, "t1", transport=Transport.TCP)
    stranger.bob.agent.transport_failed(Flow(Transport.TCP, BOB, STRANGER), network.now)
    network.settle()
    assert len(stranger.heard("INVITE")) == 1
    stranger.reply(stranger.request("INVITE"), 200, "t1", body=ANSWER)  # on another connection (§18.2.2)
    assert stranger.bob.of(CallAnswered)


def test_a_name_that_leads_nowhere_ends_the_call(network, stranger):
    network.names["trunk.example"] = []
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.run(0.1)
    assert stranger.bob.last(CallEnded).cause is EndCause.UNREACHABLE


def test_a_name_nobody_resolves_ends_the_call(network, stranger):
    stranger.bob.agent.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.run(10.1)
    assert stranger.bob.last(CallEnded).cause is EndCause.UNREACHABLE
    assert stranger.bob.agent.idle


def test_a_call_hung_up_before_its_name_is_resolved_is_never_sent(network, stranger):
    bob = stranger.bob.agent
    call = bob.place_call(parse_uri("sip:1@trunk.example"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    bob.hang_up(call, network.now)
    bob.resolved(stranger.bob.last(Resolve).query, [Target(Transport.UDP, STRANGER)], network.now)
    network.run(1.0)
    assert not network.log
    assert bob.idle


def test_an_invite_too_long_for_a_datagram_goes_over_tcp_and_falls_back(network, stranger):
    network.closed.add(STRANGER)
    long = OFFER + b"a=x:" + b"y" * 1_500 + b"\r\n"
    stranger.bob.agent.place_call(uri_of(STRANGER), NameAddr(uri_of(BOB)), long, network.now)
    network.settle()
    assert [sent.transport for sent in network.sent("INVITE")] == [Transport.TCP, Transport.UDP]
    assert stranger.request("INVITE").via.transport == "UDP"


def test_a_call_beyond_the_limit_is_not_placed(network):
    stranger = Stranger(network, network.add(BOB, limits=AgentLimits(max_calls=1)))
    stranger.called()
    second, _ = stranger.called()
    network.run(0.0)
    assert stranger.bob.last(CallEnded) == CallEnded(second, EndCause.UNREACHABLE, 503, "")
    assert len(network.log) == 1


def test_more_forks_than_we_care_for_are_still_told(network):
    stranger = Stranger(network, network.add(BOB, limits=AgentLimits(max_forks=2)))
    _, invite = stranger.called()
    for number in range(5):
        stranger.reply(invite, 180, f"t{number}")
    assert len(stranger.bob.of(CallRinging)) == 5
    assert stranger.bob.agent.stats()["dialogs"] == 2
    stranger.reply(invite, 200, "t4", body=ANSWER)
    assert stranger.bob.of(CallAnswered)
    assert stranger.bob.agent.stats()["dialogs"] == 1


def test_the_peer_may_hang_up_a_call_we_placed(network, stranger):
    _, invite = stranger.connect()
    bye = request("BYE", from_tag="t1", to_tag=invite.from_.tag, call_id=invite.call_id, cseq=77)
    stranger.send(bye)
    assert stranger.heard("200 BYE")
    assert stranger.bob.last(CallEnded).cause is EndCause.PEER_HUNG_UP


def test_the_reply_to_a_contact_behind_a_nat_takes_the_way_it_came(network, stranger):
    call, invite = stranger.called()
    stranger.reply(invite, 200, "t1", headers=[("Contact", "<sip:x@10.1.2.3:5062>")], body=ANSWER)
    stranger.bob.agent.hang_up(call, network.now)
    network.settle()
    assert network.sent("BYE")[-1].receiver == STRANGER
