"""Requests of ours: retransmission, responses, CANCEL, ACK, broken transports."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.sip.flow import Flow, Transport
from gateway.sip.message import Request
from gateway.sip.transaction.effects import (
    ResponseReceived,
    SendMessage,
    StrayResponse,
    TransactionTimedOut,
    TransportFailed,
)
from tests.gateway.sip.transactions import TCP, UDP, Bench, answer, our_request, reported, sent

OPEN = Flow(Transport.TCP, ("192.0.2.1", 5060), ("198.51.100.7", 5060))  # connection 0: open one


def send_times(found: Sequence[tuple[float, object]]) -> list[float]:
    return [at for at, effect in found if isinstance(effect, SendMessage)]


def test_an_invite_nobody_answers_is_sent_seven_times_and_given_up_after_32_s():
    bench = Bench()
    transaction, request = bench.send(our_request())
    found = bench.run(60)
    assert send_times(found) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert all(effect.message is request for _, effect in found if isinstance(effect, SendMessage))
    assert found[-1] == (32.0, TransactionTimedOut(transaction))
    assert bench.live == 0


def test_another_request_nobody_answers_is_sent_every_4_s_at_last():
    bench = Bench()
    transaction, _ = bench.send(our_request("OPTIONS"))
    found = bench.run(60)
    times = send_times(found)
    assert times[:6] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5]
    assert [round(b - a, 6) for a, b in zip([0.0, *times], times, strict=False)][:6] == [0.5, 1, 2, 4, 4, 4]
    assert found[-1] == (32.0, TransactionTimedOut(transaction))
    assert bench.live == 0


def test_after_a_provisional_response_a_request_is_sent_every_4_s_and_still_given_up():
    bench = Bench()
    transaction, request = bench.send(our_request("BYE"))
    assert reported(bench.receive(answer(request, 100))) == [100]
    found = bench.run(60)
    assert send_times(found) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert found[-1] == (32.0, TransactionTimedOut(transaction))


def test_a_ringing_invite_is_neither_sent_again_nor_given_up():
    bench = Bench()
    _, request = bench.send(our_request())
    bench.run(1)
    assert reported(bench.receive(answer(request, 180))) == [180]
    assert bench.layer.next_deadline() is None
    assert bench.run(3_600) == []
    assert reported(bench.receive(answer(request, 200))) == [200]


def test_on_a_stream_nothing_is_sent_again():
    for method in ("INVITE", "OPTIONS"):
        bench = Bench()
        transaction, _ = bench.send(our_request(method), TCP)
        assert bench.run(60) == [(32.0, TransactionTimedOut(transaction))]


def test_the_via_of_a_request_says_transport_address_branch_and_rport():
    bench = Bench()
    template = our_request()
    _, request = bench.send(template)
    assert request.headers.get("Via") == "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours1;rport"
    assert "Via" not in template.headers
    _, request = bench.send(template, replace(TCP, local=("2001:db8::1", 5060)))
    assert request.headers.get("Via") == "SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bKours2;rport"
    assert next(iter(request.headers.items()))[0] == "Via"


def test_a_failure_is_acknowledged_and_told_once_but_each_copy_is_acknowledged():
    bench = Bench()
    _, request = bench.send(our_request(routes="Route: <sip:p1.example;lr>\r\nRoute: <sip:p2.example;lr>\r\n"))
    first = bench.receive(answer(request, 486))
    assert [type(effect) for effect in first] == [SendMessage, ResponseReceived]
    [ack] = sent(first)
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    assert str(ack.uri) == str(request.uri)
    assert ack.headers.get_all("Via") == request.headers.get_all("Via")
    assert ack.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert (ack.headers.get("CSeq"), ack.to.tag, ack.from_.tag) == ("1 ACK", "theirs", "peer")
    assert ack.headers.get("Max-Forwards") == "70"
    assert [type(effect) for effect in bench.receive(answer(request, 486))] == [SendMessage]
    assert bench.run(31.9) == []
    assert bench.live == 1
    bench.run(0.2)
    assert bench.live == 0


def test_on_a_stream_a_failure_ends_the_invite_at_once():
    bench = Bench()
    _, request = bench.send(our_request(), TCP)
    assert [type(effect) for effect in bench.receive(answer(request, 603), TCP)] == [SendMessage, ResponseReceived]
    assert bench.live == 0


def test_every_2xx_of_every_fork_is_told_for_32_s():
    bench = Bench()
    transaction, request = bench.send(our_request())
    for tag in ("a", "b", "a"):
        [effect] = bench.receive(answer(request, 200, tag))
        assert isinstance(effect, ResponseReceived)
        assert (effect.transaction, effect.response.to.tag) == (transaction, tag)
    assert bench.receive(answer(request, 180, "c")) == []
    assert bench.receive(answer(request, 486, "c")) == []
    assert bench.run(32) == []
    assert bench.live == 0


def test_a_2xx_without_a_transaction_is_told_as_a_stray_one():
    bench = Bench()
    _, request = bench.send(our_request())
    bench.receive(answer(request, 200))
    bench.run(32)
    late = answer(request, 200, "late")
    assert bench.receive(late) == [StrayResponse(late, UDP)]
    for status in (180, 486):
        assert bench.receive(answer(request, status)) == []
    assert bench.layer.stats()["stray_responses"] == 2


def test_a_2xx_after_a_failure_is_a_stray_one():
    bench = Bench()
    _, request = bench.send(our_request())
    bench.receive(answer(request, 486))
    other_fork = answer(request, 200, "fork")
    assert bench.receive(other_fork) == [StrayResponse(other_fork, UDP)]


def test_a_response_to_another_method_with_the_branch_of_the_invite_does_not_answer_it():
    bench = Bench()
    _, request = bench.send(our_request())
    response = answer(request, 200)
    response.headers.set("CSeq", "1 CANCEL")
    assert bench.receive(response) == []
    assert bench.layer.stats()["stray_responses"] == 1


def test_a_response_with_two_vias_is_misrouted_and_dropped():
    bench = Bench()
    _, request = bench.send(our_request())
    response = answer(request, 200)
    response.headers.add("Via", "SIP/2.0/UDP other.example;branch=z9hG4bKx")
    assert bench.receive(response) == []
    response.headers.remove("Via")
    assert bench.receive(response) == []
    assert bench.layer.stats()["stray_responses"] == 2


def test_the_response_may_come_on_another_flow_and_with_the_branch_in_capitals():
    bench = Bench()
    _, request = bench.send(our_request("OPTIONS"), OPEN)
    response = answer(request, 200)
    response.headers.set("Via", (response.headers.get("Via") or "").replace("z9hG4bKours1", "Z9HG4BKOURS1"))
    assert reported(bench.receive(response, TCP)) == [200]


def test_retransmissions_of_the_response_to_another_request_are_absorbed_for_t4():
    bench = Bench()
    _, request = bench.send(our_request("BYE"))
    assert reported(bench.receive(answer(request, 200))) == [200]
    assert bench.receive(answer(request, 200)) == []
    assert bench.run(5) == []
    assert bench.live == 0
    bench.receive(answer(request, 200))
    assert bench.layer.stats()["stray_responses"] == 1


def test_a_cancel_is_like_its_invite_and_goes_the_same_way():
    bench = Bench()
    invite, request = bench.send(our_request(routes="Route: <sip:p1.example;lr>\r\n"))
    bench.receive(answer(request, 180))
    cancel_id = bench.layer.send_cancel(invite, bench.now, [("Reason", "SIP;cause=200")])
    [effect] = bench.drain()
    assert isinstance(effect, SendMessage)
    cancel = effect.message
    assert isinstance(cancel, Request)
    assert cancel_id is not None
    assert effect.flow == UDP
    assert cancel.method == "CANCEL"
    assert cancel.headers.get_all("Via") == request.headers.get_all("Via")
    for name in ("Route", "From", "To", "Call-ID"):
        assert cancel.headers.get_all(name) == request.headers.get_all(name)
    assert cancel.headers.get("CSeq") == "1 CANCEL"
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    [told] = bench.receive(answer(cancel, 200))
    assert isinstance(told, ResponseReceived)
    assert told.transaction == cancel_id
    effects = bench.receive(answer(request, 487))
    assert reported(effects) == [487]
    assert bench.layer.send_cancel(invite, bench.now) is None


def test_a_cancel_waits_for_the_first_provisional_response():
    bench = Bench()
    invite, request = bench.send(our_request())
    assert bench.layer.send_cancel(invite, bench.now, [("Reason", "SIP;cause=200")]) is None
    assert bench.layer.send_cancel(invite, bench.now) is None
    assert [at for at, _ in bench.run(1)] == [0.5]  # the INVITE is still sent again
    effects = bench.receive(answer(request, 100))
    assert reported(effects) == [100]
    [cancel] = sent(effects)
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.headers.get("Reason")) == ("CANCEL", "SIP;cause=200")
    assert list(sent(bench.receive(answer(request, 180)))) == []


def test_a_wanted_cancel_is_not_sent_when_the_invite_is_answered_first():
    bench = Bench()
    invite, request = bench.send(our_request())
    bench.layer.send_cancel(invite, bench.now)
    effects = bench.receive(answer(request, 200))
    assert [type(effect) for effect in effects] == [ResponseReceived]
    assert bench.run(64) == []
    assert bench.live == 0


def test_a_cancelled_invite_that_is_never_answered_is_given_up():
    bench = Bench()
    invite, request = bench.send(our_request(), TCP)
    bench.receive(answer(request, 180), TCP)
    cancel = bench.layer.send_cancel(invite, bench.now)
    assert cancel is not None
    assert len(bench.drain()) == 1
    bench.run(20)
    assert reported(bench.receive(answer(request, 183), TCP)) == [183]
    assert {effect for _, effect in bench.run(20)} == {TransactionTimedOut(invite), TransactionTimedOut(cancel)}
    assert bench.live == 0


def test_a_call_may_be_answered_although_it_was_cancelled():
    bench = Bench()
    invite, request = bench.send(our_request())
    bench.receive(answer(request, 180))
    bench.layer.send_cancel(invite, bench.now)
    bench.drain()
    assert reported(bench.receive(answer(request, 200))) == [200]


def test_the_ack_of_a_2xx_has_a_branch_of_its_own_and_is_sent_once():
    bench = Bench()
    ack = our_request("ACK")
    for number in (1, 2):
        bench.layer.send_ack(ack, UDP, bench.now)
        [effect] = bench.drain()
        assert isinstance(effect, SendMessage)
        assert effect.message.headers.get_all("Via") == [f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours{number};rport"]
    assert bench.layer.next_deadline() is None
    assert bench.live == 0


def test_a_request_is_sent_by_the_method_made_for_it():
    bench = Bench()
    with pytest.raises(ValueError, match="expected ACK, got INVITE"):
        bench.layer.send_ack(our_request(), UDP, 0.0)
    for method in ("ACK", "CANCEL"):
        with pytest.raises(ValueError, match=f"transaction of its own, got {method}"):
            bench.layer.send_request(our_request(method), UDP, 0.0)


def test_unanswered_requests_are_bounded():
    bench = Bench(max_transactions=2)
    bench.send(our_request())
    bench.send(our_request("OPTIONS"))
    with pytest.raises(OverflowError, match="expected fewer than 2 client transactions, got 2"):
        bench.layer.send_request(our_request(), UDP, bench.now)
    bench.run(32)
    bench.send(our_request())


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_broken_connection_ends_the_requests_that_wait_on_it(method: str):
    bench = Bench()
    on_it, _ = bench.send(our_request(method), TCP)
    any_to_there, _ = bench.send(our_request(method), replace(TCP, connection=0))
    another, _ = bench.send(our_request(method), replace(TCP, connection=4))
    elsewhere, _ = bench.send(our_request(method), OPEN)
    bench.layer.transport_failed(TCP, bench.now)
    assert bench.drain() == [TransportFailed(on_it), TransportFailed(any_to_there)]
    assert [effect for _, effect in bench.run(60)] == [TransactionTimedOut(another), TransactionTimedOut(elsewhere)]


def test_a_connection_that_cannot_be_opened_ends_what_waited_for_it_only():
    bench = Bench()
    waiting, _ = bench.send(our_request(), OPEN)
    bench.send(our_request(), replace(OPEN, connection=9))
    bench.layer.transport_failed(OPEN, bench.now)
    assert bench.drain() == [TransportFailed(waiting)]


def test_a_ringing_invite_outlives_its_connection():
    bench = Bench()
    _, request = bench.send(our_request(), TCP)
    bench.receive(answer(request, 180), TCP)
    bench.layer.transport_failed(TCP, bench.now)
    assert bench.drain() == []
    assert reported(bench.receive(answer(request, 200), replace(TCP, connection=8))) == [200]


def test_a_broken_transport_after_the_final_response_is_nobodys_business():
    bench = Bench()
    _, request = bench.send(our_request())
    bench.receive(answer(request, 486))
    bench.layer.transport_failed(UDP, bench.now)
    assert bench.drain() == []


def test_a_late_shell_sends_again_once_and_not_for_every_interval_it_missed():
    bench = Bench()
    bench.send(our_request("OPTIONS"))
    bench.now += 10
    bench.layer.handle_deadline(bench.now)
    assert len(bench.drain()) == 1
    assert bench.layer.next_deadline() == bench.now + 1.0
