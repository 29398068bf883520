"""Registering and staying registered, and pings."""

import itertools

import pytest

from gateway.sip.ua.config import AgentLimits
from gateway.sip.ua.effects import PingAnswered, RegistrationChanged
from gateway.sip.ua.registration import Registration
from gateway.sip.uri import parse_uri
from tests.gateway.sip.network import BOB, Network, pair, uri_of
from tests.gateway.sip.raw import STRANGER, Stranger

WANTED = Registration(
    registrar=parse_uri("sip:198.51.100.7:5080"),
    address_of_record=parse_uri("sip:line@example.com"),
    contact=parse_uri("sip:line@192.0.2.2:5060"),
    expires_s=600,
)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    return Stranger(network, network.add(BOB))


def grant(stranger: Stranger, seconds: int) -> None:
    contact = [("Contact", f"<sip:other@9.9.9.9>;expires=5, <sip:line@192.0.2.2>;expires={seconds}")]
    stranger.reply(stranger.request("REGISTER"), 200, "r1", headers=contact)


def test_a_registration_asks_for_its_time_and_is_told(network, stranger):
    bob = stranger.bob
    id = bob.agent.register(WANTED, network.now)
    network.settle()
    sent = stranger.request("REGISTER")
    assert str(sent.uri) == "sip:198.51.100.7:5080"
    assert str(sent.to.uri) == "sip:line@example.com"
    assert sent.headers.get("Contact") == "<sip:line@192.0.2.2:5060>;expires=600"
    grant(stranger, 600)
    assert bob.of(RegistrationChanged) == [RegistrationChanged(id, True, 200)]


def test_it_is_refreshed_well_before_what_was_granted_ends(network, stranger):
    stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    first = stranger.request("REGISTER")
    grant(stranger, 100)
    network.run(74.9)
    assert len(stranger.heard("REGISTER")) == 1
    network.run(0.2)
    again = stranger.request("REGISTER")
    assert (again.call_id, again.cseq.number) == (first.call_id, first.cseq.number + 1)
    grant(stranger, 100)
    assert len(stranger.bob.of(RegistrationChanged)) == 1


def test_a_registrar_that_wants_longer_gets_it(network, stranger):
    stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    stranger.reply(stranger.request("REGISTER"), 423, "r1", headers=[("Min-Expires", "3600")])
    assert stranger.request("REGISTER").headers.get("Expires") == "3600"


def test_failures_are_retried_with_growing_waits(network):
    limits = AgentLimits(retry_wait_s=30.0, max_retry_wait_s=200.0)
    stranger = Stranger(network, network.add(BOB, limits=limits))
    id = stranger.bob.agent.register(WANTED, network.now)
    times = []
    for _ in range(6):
        network.run(0.0)
        times.append(network.now)
        stranger.reply(stranger.request("REGISTER"), 500, "r1")
        count = len(stranger.heard("REGISTER"))
        while len(stranger.heard("REGISTER")) == count:
            network.run(1.0)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for wait, bound in zip(waits, (30, 60, 120, 200, 200), strict=True):
        assert bound / 2 <= wait <= bound + 2
    assert stranger.bob.of(RegistrationChanged)[0] == RegistrationChanged(id, False, 500)


def test_a_registrar_that_names_a_time_is_not_asked_before(network, stranger):
    stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    stranger.reply(stranger.request("REGISTER"), 503, "r1", headers=[("Retry-After", "300")])
    network.run(299.0)
    assert len(stranger.heard("REGISTER")) == 1
    network.run(2.0)
    assert len({message.cseq.number for message in stranger.heard("REGISTER")}) == 2


def test_a_silent_registrar_is_a_failure_that_is_retried(network, stranger):
    id = stranger.bob.agent.register(WANTED, network.now)
    network.run(33.0)
    assert stranger.bob.last(RegistrationChanged) == RegistrationChanged(id, False, 408)
    network.run(60.0)
    assert len({message.cseq.number for message in stranger.heard("REGISTER")}) == 2


def test_an_answer_that_does_not_list_us_is_no_registration(network, stranger):
    id = stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    stranger.reply(stranger.request("REGISTER"), 200, "r1", headers=[("Contact", "<sip:other@9.9.9.9>;expires=60")])
    assert stranger.bob.of(RegistrationChanged) == [RegistrationChanged(id, False, 200)]


def test_unregistering_removes_the_binding_and_all_its_state(network, stranger):
    id = stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    grant(stranger, 600)
    stranger.bob.agent.unregister(id, network.now)
    network.settle()
    removal = stranger.request("REGISTER")
    assert removal.headers.get("Expires") == "0"
    stranger.reply(removal, 200, "r1", contact="")
    assert stranger.bob.last(RegistrationChanged) == RegistrationChanged(id, False, 200)
    network.run(70.0)
    assert stranger.bob.agent.idle
    assert stranger.bob.agent.next_deadline() is None


def test_unregistering_waits_for_the_registration_under_way(network, stranger):
    id = stranger.bob.agent.register(WANTED, network.now)
    stranger.bob.agent.unregister(id, network.now)
    network.settle()
    assert len(stranger.heard("REGISTER")) == 1
    grant(stranger, 600)
    assert stranger.request("REGISTER").headers.get("Expires") == "0"


def test_stopping_unregisters(network, stranger):
    stranger.bob.agent.register(WANTED, network.now)
    network.settle()
    grant(stranger, 600)
    stranger.bob.agent.stop(network.now)
    network.settle()
    assert stranger.request("REGISTER").headers.get("Expires") == "0"


def test_a_ping_is_answered_by_what_the_peer_says():
    network = Network()
    alice, _ = pair(network)
    id = alice.agent.ping(uri_of(BOB), network.now)
    network.run(1.0)
    assert alice.of(PingAnswered) == [PingAnswered(id, 200)]


def test_a_ping_into_silence_has_no_answer(network, stranger):
    id = stranger.bob.agent.ping(uri_of(STRANGER), network.now)
    network.run(33.0)
    assert stranger.bob.of(PingAnswered) == [PingAnswered(id, None)]
