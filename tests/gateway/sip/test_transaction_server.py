"""Requests of a peer: 100, retransmission, the ACK, CANCEL, and ways that break."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.sip.message import Request, Response
from gateway.sip.transaction.effects import (
    AckMissing,
    AckReceived,
    CancelReceived,
    RequestReceived,
    SendMessage,
    TransactionId,
    TransportFailed,
)
from tests.gateway.sip.transactions import TCP, UDP, Bench, our_request, request, sent, statuses


def ack_of(response: Response, **more: Any) -> Request:
    return request("ACK", to_tag=response.to.tag or "", **more)


def test_100_is_sent_after_200_ms_unless_the_transaction_user_said_something():
    for flow in (UDP, TCP):
        bench = Bench()
        bench.accept(request(), flow)
        [(at, effect)] = bench.run(60)
        assert at == 0.2
        assert isinstance(effect, SendMessage)
        assert isinstance(effect.message, Response)
        assert (effect.message.status, effect.message.to.tag, effect.flow) == (100, None, flow)
        bench = Bench()
        received = bench.accept(request(), flow)
        bench.run(0.19)
        assert statuses(bench.respond(received, 180)[1]) == [180]
        assert bench.run(60) == []


def test_a_retransmitted_invite_is_answered_by_the_same_response():
    bench = Bench()
    received = bench.accept(request())
    assert bench.receive(request()) == []
    bench.run(0.2)
    assert statuses(bench.receive(request())) == [100]
    for status in (180, 183):
        response, effects = bench.respond(received, status)
        assert list(sent(effects)) == [response]
        [again] = sent(bench.receive(request()))
        assert again is response
    response, _ = bench.respond(received, 486)
    [again] = sent(bench.receive(request()))
    assert again is response
    assert bench.layer.stats()["absorbed_requests"] == 5


def test_an_unacknowledged_failure_is_sent_again_and_given_up_after_32_s():
    bench = Bench()
    received = bench.accept(request())
    bench.respond(received, 486)
    found = bench.run(60)
    times = [at for at, effect in found if isinstance(effect, SendMessage)]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert found[-1] == (32.0, AckMissing(received.transaction))
    assert bench.live == 0


def test_on_a_stream_a_failure_is_sent_once_and_its_ack_still_awaited():
    bench = Bench()
    received = bench.accept(request(transport="TCP"), TCP)
    bench.respond(received, 486)
    assert bench.run(60) == [(32.0, AckMissing(received.transaction))]
    received = bench.accept(request(transport="TCP"), TCP)
    response, _ = bench.respond(received, 486)
    assert bench.receive(ack_of(response, transport="TCP"), TCP) == []
    assert bench.live == 0


def test_the_ack_of_a_failure_is_absorbed_with_its_copies():
    bench = Bench()
    received = bench.accept(request())
    response, _ = bench.respond(received, 404)
    for _ in range(3):
        assert bench.receive(ack_of(response)) == []
    assert bench.receive(request()) == []  # a late copy of the INVITE
    assert bench.run(5) == []
    assert bench.live == 0


def test_a_retransmitted_invite_is_absorbed_once_it_is_accepted():
    bench = Bench()
    received = bench.accept(request())
    response, effects = bench.respond(received, 200)
    assert list(sent(effects)) == [response]
    assert bench.receive(request()) == []
    bench.run(31.9)
    assert bench.receive(request()) == []
    bench.run(0.2)
    assert bench.live == 0


def test_a_2xx_is_sent_as_often_as_the_transaction_user_wants():
    bench = Bench()
    received = bench.accept(request())
    response, _ = bench.respond(received, 200)
    for _ in range(3):
        bench.layer.respond(received.transaction, response, bench.now)
        assert list(sent(bench.drain())) == [response]
    for status in (180, 486):
        assert bench.respond(received, status)[1] == []
    assert bench.layer.stats()["ignored_responses"] == 2
    bench.run(32)
    bench.layer.respond(received.transaction, response, bench.now)
    assert bench.drain() == []
    assert bench.layer.stats()["ignored_responses"] == 3


def test_the_ack_of_a_2xx_reaches_the_transaction_user_whatever_its_branch():
    bench = Bench()
    received = bench.accept(request())
    response, _ = bench.respond(received, 200)
    for branch in ("z9hG4bKack", "z9hG4bKpeer1", "z9hG4bKack"):
        ack = ack_of(response, branch=branch)
        assert bench.receive(ack) == [AckReceived(ack, UDP)]
    bench.run(32)
    ack = ack_of(response)
    assert bench.receive(ack) == [AckReceived(ack, UDP)]
    assert bench.live == 0


def test_an_ack_before_any_final_response_is_dropped():
    bench = Bench()
    bench.accept(request())
    assert bench.receive(request("ACK")) == []


def test_a_cancel_is_answered_200_and_told_once():
    bench = Bench()
    received = bench.accept(request())
    bench.respond(received, 180)
    cancel = request("CANCEL")
    answered, told = bench.receive(cancel)
    assert isinstance(answered, SendMessage)
    assert isinstance(answered.message, Response)
    assert (answered.message.status, answered.message.to.tag) == (200, "ours")
    assert answered.message.headers.get("CSeq") == "1 CANCEL"
    assert told == CancelReceived(received.transaction, cancel)
    [repeated] = bench.receive(request("CANCEL"))
    assert statuses([repeated]) == [200]
    assert bench.respond(received, 487)[1]
    [repeated] = bench.receive(request("CANCEL"))
    assert statuses([repeated]) == [200]


def test_a_cancel_before_any_response_gets_a_tag_that_stays():
    bench = Bench()
    bench.accept(request())
    answers = [next(sent(bench.receive(request("CANCEL")))) for _ in range(2)]
    assert answers[0].to.tag
    assert answers[0].to.tag == answers[1].to.tag


def test_a_cancel_after_the_answer_changes_nothing():
    bench = Bench()
    received = bench.accept(request())
    bench.respond(received, 200)
    [effect] = bench.receive(request("CANCEL"))
    assert statuses([effect]) == [200]


def test_the_answer_to_a_cancel_finds_its_way_like_any_other():
    for known in (True, False):
        bench = Bench()
        if known:
            bench.accept(request())
        effect = bench.receive(request("CANCEL", via="198.51.100.7:5070", via_params=";rport"))[0]
        assert isinstance(effect, SendMessage)
        assert effect.message.via.received == "198.51.100.7"
        assert effect.message.via.rport == 5070


@pytest.mark.parametrize(
    "cancel",
    [
        request("CANCEL", branch="z9hG4bKother"),
        request("CANCEL", via="198.51.100.8:5070"),
        request("CANCEL", via="198.51.100.7:5071"),
    ],
)
def test_a_cancel_of_something_unknown_is_answered_481(cancel: Request):
    bench = Bench()
    bench.accept(request())
    assert statuses(bench.receive(cancel)) == [481]


def test_a_cancel_means_no_other_request_than_invite():
    bench = Bench()
    bench.accept(request("OPTIONS"))
    assert statuses(bench.receive(request("CANCEL"))) == [481]
    assert bench.live == 1


def test_a_retransmitted_request_is_absorbed_until_answered_and_then_answered_again():
    bench = Bench()
    received = bench.accept(request("BYE", to_tag="ours"))
    assert bench.receive(request("BYE", to_tag="ours")) == []
    response, _ = bench.respond(received, 200)
    for _ in range(3):
        bench.run(10)
        [again] = sent(bench.receive(request("BYE", to_tag="ours")))
        assert again is response
    bench.run(2)
    assert bench.live == 0


def test_on_a_stream_a_request_is_forgotten_with_its_answer():
    bench = Bench()
    received = bench.accept(request("OPTIONS", transport="TCP"), TCP)
    assert statuses(bench.respond(received, 200)[1]) == [200]
    assert bench.live == 0
    assert bench.layer.next_deadline() is None


def test_a_silent_transaction_user_is_helped_out_by_a_late_100_and_forgotten():
    for flow in (UDP, TCP):
        bench = Bench()
        received = bench.accept(request("INFO"), flow)
        [(at, effect)] = bench.run(31)
        assert at == 3.5
        assert statuses([effect]) == [100]
        assert statuses(bench.receive(request("INFO"), flow)) == [100]
        bench.run(1)
        assert bench.live == 0
        assert bench.respond(received, 200)[1] == []


def test_provisional_responses_to_other_requests_are_held_back():
    bench = Bench()
    received = bench.accept(request("REFER"))
    assert bench.respond(received, 180)[1] == []
    assert bench.respond(received, 100)[1] == []  # too early over UDP: it would stop the client's retransmissions
    bench.run(3.4)
    assert bench.respond(received, 100)[1] == []
    bench.run(0.2)
    assert bench.respond(received, 180)[1] == []
    assert statuses(bench.respond(received, 100)[1]) == [100]
    received = bench.accept(request("REFER", branch="z9hG4bKpeer2", transport="TCP"), TCP)
    assert statuses(bench.respond(received, 100)[1]) == [100]


def test_a_408_is_never_sent_to_another_request_than_invite():
    bench = Bench()
    received = bench.accept(request("INFO"))
    assert bench.respond(received, 408)[1] == []
    assert bench.live == 0
    received = bench.accept(request())
    assert statuses(bench.respond(received, 408)[1]) == [408]


def test_a_transaction_that_is_dropped_is_forgotten():
    bench = Bench()
    received = bench.accept(request())
    bench.layer.drop(received.transaction)
    bench.layer.drop(received.transaction)
    assert bench.drain() == []
    assert (bench.live, bench.layer.next_deadline()) == (0, None)
    again = bench.accept(request())
    assert again.transaction != received.transaction
    challenge = again.request.respond(401, to_tag="x")
    bench.layer.drop(again.transaction, challenge)
    assert bench.drain() == [SendMessage(challenge, UDP)]
    assert bench.run(60) == []


def test_requests_of_ours_are_neither_answered_nor_dropped():
    bench = Bench()
    transaction, sent_request = bench.send(our_request())
    bench.layer.respond(transaction, sent_request.respond(200), bench.now)
    bench.layer.drop(transaction)
    bench.layer.respond(TransactionId(99), sent_request.respond(200), bench.now)
    assert bench.drain() == []
    assert bench.live == 1
    assert bench.layer.stats()["ignored_responses"] == 2


def test_the_response_goes_to_the_port_of_the_via_when_the_connection_is_gone():
    bench = Bench()
    received = bench.accept(request(transport="TCP"), TCP)
    bench.layer.transport_failed(TCP, bench.now)
    assert bench.drain() == []
    response, effects = bench.respond(received, 200)
    way = replace(TCP, remote=("198.51.100.7", 5070), connection=0)
    assert effects == [SendMessage(response, way)]
    bench.layer.transport_failed(way, bench.now)
    assert bench.drain() == [TransportFailed(received.transaction)]
    assert bench.live == 1  # RFC 6026 §8.8


def test_a_failure_that_may_be_lost_with_its_connection_is_sent_once_more():
    bench = Bench()
    received = bench.accept(request(transport="TCP"), TCP)
    response, _ = bench.respond(received, 486)
    bench.layer.transport_failed(TCP, bench.now)
    [effect] = bench.drain()
    assert isinstance(effect, SendMessage)
    assert effect.message is response
    assert effect.flow.remote == ("198.51.100.7", 5070)
    assert bench.receive(ack_of(response, transport="TCP"), replace(TCP, connection=5)) == []
    assert bench.live == 0


def test_a_refused_datagram_is_told_and_the_invite_stays():
    bench = Bench()
    received = bench.accept(request())
    bench.layer.transport_failed(UDP, bench.now)
    assert bench.drain() == []
    bench.respond(received, 180)
    bench.layer.transport_failed(UDP, bench.now)
    assert bench.drain() == [TransportFailed(received.transaction)]
    assert bench.live == 1
    other = bench.accept(request("OPTIONS", branch="z9hG4bKo"))
    bench.respond(other, 200)
    bench.layer.transport_failed(UDP, bench.now)
    assert bench.drain() == [TransportFailed(received.transaction), TransportFailed(other.transaction)]
    assert bench.live == 1


def test_the_request_is_told_with_its_flow_and_its_source():
    bench = Bench()
    message = request(via="phone.example", via_params=";rport")
    [effect] = bench.receive(message)
    assert isinstance(effect, RequestReceived)
    assert (effect.request, effect.flow) == (message, UDP)
    assert effect.request.via.received == "198.51.100.7"
    assert effect.request.via.rport == 5070
