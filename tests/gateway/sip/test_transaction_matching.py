"""Which request is a copy of which, and where responses go."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.sip.flow import Address
from gateway.sip.message import Request
from gateway.sip.transaction.effects import AckReceived, CancelReceived, RequestReceived, SendMessage
from tests.gateway.sip.transactions import UDP, Bench, request, statuses


def is_new(bench: Bench, message: Request) -> bool:
    return any(isinstance(effect, RequestReceived) for effect in bench.receive(message))


def test_the_branch_names_a_request_even_when_nothing_else_differs():
    bench = Bench()
    bench.accept(request())
    assert not is_new(bench, request())
    assert not is_new(bench, request(branch="Z9HG4BKPEER1", via="198.51.100.7:5070"))
    assert is_new(bench, request(branch="z9hG4bKpeer2"))  # merged (§8.2.2.2): the transaction user compares
    assert is_new(bench, request(via="198.51.100.7:5071"))
    assert is_new(bench, request(via="198.51.100.8:5070"))
    assert is_new(bench, request("OPTIONS"))


def test_the_default_port_is_the_same_as_none():
    bench = Bench()
    bench.accept(request(via="198.51.100.7"))
    assert not is_new(bench, request(via="198.51.100.7:5060"))


OLD: dict[str, Any] = {"branch": "", "via": "old.example:5070"}


@pytest.mark.parametrize("branch", ["", "1", "z9hG4b", "z9hG4bK"])
def test_a_client_of_rfc_2543_is_known_by_the_rest_of_its_request(branch: str):
    old = OLD | {"branch": branch}
    bench = Bench()
    bench.accept(request(**old))
    assert not is_new(bench, request(**old))
    assert is_new(bench, request(**old, cseq=2))
    assert is_new(bench, request(**old, call_id="c2@peer"))
    assert is_new(bench, request(**old, from_tag="other"))
    assert is_new(bench, request(**old, uri="sip:other@192.0.2.1"))
    assert is_new(bench, request(**old | {"via": "old.example:5071"}))
    assert is_new(bench, request("OPTIONS", **old))


def test_the_ack_of_rfc_2543_is_told_from_others_by_our_tag():
    bench = Bench()
    received = bench.accept(request(**OLD))
    bench.respond(received, 486, to_tag="ours")
    foreign = request("ACK", to_tag="else", **OLD)
    assert bench.receive(foreign) == [AckReceived(foreign, UDP)]
    assert bench.receive(request("ACK", to_tag="ours", **OLD)) == []
    assert bench.run(5) == []
    assert bench.live == 0


def test_the_ack_of_rfc_2543_for_a_2xx_reaches_the_transaction_user():
    bench = Bench()
    received = bench.accept(request(**OLD))
    bench.respond(received, 200, to_tag="ours")
    ack = request("ACK", to_tag="ours", **OLD)
    assert bench.receive(ack) == [AckReceived(ack, UDP)]


def test_a_client_of_rfc_2543_can_cancel():
    bench = Bench()
    received = bench.accept(request(**OLD))
    effects = bench.receive(request("CANCEL", **OLD))
    assert statuses(effects) == [200]
    assert [effect.invite for effect in effects if isinstance(effect, CancelReceived)] == [received.transaction]


def test_a_request_of_rfc_2543_that_differs_in_its_to_tag_only_is_refused():
    bench = Bench()
    bench.accept(request(**OLD))
    assert statuses(bench.receive(request(**OLD, to_tag="other"))) == [503]
    assert bench.live == 1


@pytest.mark.parametrize(
    ("via", "params", "expected"),
    [
        ("198.51.100.7:5070", "", ";branch=z9hG4bKpeer1"),
        ("198.51.100.7:5070", ";rport", ";branch=z9hG4bKpeer1;rport=5070;received=198.51.100.7"),
        ("10.0.0.9:5070", "", ";branch=z9hG4bKpeer1;received=198.51.100.7"),
        ("phone.example", ";received=203.0.113.1", ";branch=z9hG4bKpeer1;received=198.51.100.7"),
        ("198.51.100.7:5070", ";received=203.0.113.1", ";branch=z9hG4bKpeer1;received=198.51.100.7"),
        ("10.0.0.9", ";rport=9", ";branch=z9hG4bKpeer1;rport=5070;received=198.51.100.7"),
    ],
)
def test_the_source_is_noted_in_the_top_via(via: str, params: str, expected: str):
    received = Bench().accept(request(via=via, via_params=params))
    assert received.request.headers.get("Via") == f"SIP/2.0/UDP {via}{expected}"


def test_an_ipv6_source_stands_bare_in_received():
    flow = replace(UDP, remote=("2001:db8::7", 5070))
    received = Bench().accept(request(via="phone.example", via_params=";rport"), flow)
    assert (received.request.headers.get("Via") or "").endswith(";rport=5070;received=2001:db8::7")
    assert received.request.via.received == "2001:db8::7"
    received = Bench().accept(request(via="phone.example"), replace(UDP, remote=("fe80::7%eth0", 5070)))
    assert received.request.via.received == "fe80::7"


def test_the_vias_below_stay_as_they_are_and_in_order():
    below = "SIP/2.0/TCP b.example;branch=z9hG4bKb, SIP/2.0/UDP c.example;branch=z9hG4bKc"
    last = "SIP/2.0/UDP d.example;branch=z9hG4bKd"
    received = Bench().accept(request(via="a.example", via_params=f", {below}", headers=f"Via: {last}\r\n"))
    top, *rest = received.request.vias
    assert (top.host, top.received) == ("a.example", "198.51.100.7")
    assert [via.host for via in rest] == ["b.example", "c.example", "d.example"]
    response = received.request.respond(200, to_tag="x")
    assert [via.host for via in response.vias] == ["a.example", "b.example", "c.example", "d.example"]


@pytest.mark.parametrize(
    ("via", "params", "remote"),
    [
        ("10.0.0.9:5080", ";rport", ("198.51.100.7", 5070)),
        ("10.0.0.9:5080", "", ("198.51.100.7", 5080)),
        ("10.0.0.9", "", ("198.51.100.7", 5060)),
        ("10.0.0.9:5080", ";maddr=203.0.113.66", ("198.51.100.7", 5080)),
    ],
)
def test_a_response_goes_to_the_source_address_and_to_rport_or_the_port_of_the_via(
    via: str, params: str, remote: Address
):
    bench = Bench()
    received = bench.accept(request("OPTIONS", via=via, via_params=params))
    _, effects = bench.respond(received, 200)
    [effect] = effects
    assert isinstance(effect, SendMessage)
    assert effect.flow == replace(UDP, remote=remote)


def test_a_request_without_a_single_via_is_dropped():
    bench = Bench()
    message = request()
    message.headers.set("Via", ",")
    for method in ("INVITE", "ACK", "CANCEL"):
        message.method = method
        assert bench.receive(message) == []
    assert bench.layer.stats()["refused_requests"] == 3
