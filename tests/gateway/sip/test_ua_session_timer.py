"""Session timers: what is agreed, who refreshes, and what happens when nobody does."""

import pytest

from gateway.sip.message import Request
from gateway.sip.parser import parse_message
from gateway.sip.ua.config import SessionTimerSettings
from gateway.sip.ua.effects import CallEnded, EndCause, OfferAnswered
from gateway.sip.ua.session_timer import Accepted, Terms, TooShort, accept, delta_seconds
from tests.gateway.sip.network import BOB, REOFFER, Network, auto_answer, connected
from tests.gateway.sip.raw import Stranger, invite, request

SETTINGS = SessionTimerSettings(interval_s=1_800, min_s=90)


def asking(extra: str) -> Request:
    message = parse_message(invite(extra=extra).replace("\n", "\r\n").encode())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", Accepted(None)),
        ("Supported: timer", (1_800, "uac")),
        ("Supported: timer\nMin-SE: 3600", (3_600, "uac")),
        ("Supported: timer\nSession-Expires: 600", (600, "uac")),
        ("Supported: timer\nx: 600", (600, "uac")),
        ("Supported: timer\nSession-Expires: 7200", (1_800, "uac")),
        ("Supported: timer\nSession-Expires: 7200\nMin-SE: 5000", (5_000, "uac")),
        ("Supported: timer\nSession-Expires: 600;refresher=uas", (600, "uas")),
        ("Supported: timer\nSession-Expires: 600 ; Refresher = UAC", (600, "uac")),
        ("Session-Expires: 600", (600, "uas")),
        ("Session-Expires: 600;refresher=uac", (600, "uas")),
        ("Session-Expires: 60", (60, "uas")),
        ("Supported: timer\nSession-Expires: 60", TooShort(90)),
        ("Supported: timer\nSession-Expires: soon", (1_800, "uac")),
    ],
)
def test_what_a_callee_agrees_to(extra, expected):
    outcome = accept(asking(extra), SETTINGS)
    if not isinstance(expected, tuple):
        assert outcome == expected
        return
    assert isinstance(outcome, Accepted)
    interval, refresher = expected
    assert outcome.terms == Terms(interval, we_refresh=refresher == "uas")
    assert outcome.fields[0] == ("Session-Expires", f"{interval};refresher={refresher}")
    assert (("Require", "timer") in outcome.fields) == (refresher == "uac")


@pytest.mark.parametrize("value", [None, "", "x", "-1", "1.5", "٣", "9" * 11])
def test_what_is_no_number_of_seconds_is_none(value):
    assert delta_seconds(value) is None


def test_a_call_lives_on_because_the_caller_refreshes_it_by_update():
    network = Network()
    alice, bob, outgoing, _ = connected(network)
    network.run(7_200.0)
    assert len(network.sent("UPDATE")) == 7_200 // 900
    assert all(not sent.message.body for sent in network.sent("UPDATE"))
    assert not alice.of(CallEnded)
    assert not bob.of(CallEnded)
    alice.agent.hang_up(outgoing, network.now)
    network.run(70.0)
    assert alice.agent.next_deadline() is bob.agent.next_deadline() is None


def test_a_refresh_survives_a_lossy_network():
    network = Network(seed=3)
    alice, bob, *_ = connected(network)
    network.loss = 0.4
    network.run(7_200.0)
    assert not alice.of(CallEnded)
    assert not bob.of(CallEnded)


def test_without_a_refresh_both_sides_end_the_call():
    network = Network()
    alice, bob, *_ = connected(network)
    network.loss = 1.0
    network.run(1_800.0 - 32.0 + 1.0)
    assert bob.last(CallEnded).cause is EndCause.SESSION_EXPIRED
    assert alice.last(CallEnded).cause in (EndCause.TIMED_OUT, EndCause.SESSION_EXPIRED)
    network.run(70.0)
    assert alice.agent.idle
    assert bob.agent.idle


@pytest.fixture
def stranger():
    network = Network()
    return Stranger(network, network.add(BOB, session_timer=SETTINGS))


def test_too_short_an_interval_is_refused_with_the_least_we_take(stranger):
    stranger.send(invite(extra="Supported: timer\nSession-Expires: 45"))
    assert stranger.response("422 INVITE").headers.get("Min-SE") == "90"


def test_a_422_is_answered_by_a_longer_interval(stranger):
    _, first = stranger.called()
    assert first.headers.get("Session-Expires") == "1800"
    stranger.reply(first, 422, "t1", headers=[("Min-SE", "3600")])
    again = stranger.request("INVITE")
    assert again.headers.get("Session-Expires") == "3600"
    assert again.headers.get("Min-SE") == "3600"
    assert again.cseq.number == first.cseq.number + 1


def test_a_peer_that_raises_its_minimum_for_ever_is_given_up(stranger):
    for number in range(10):
        if not stranger.bob.of(CallEnded):
            if number == 0:
                stranger.called()
            stranger.reply(stranger.request("INVITE"), 422, "t1", headers=[("Min-SE", str(3_600 + number))])
    assert stranger.bob.last(CallEnded).status == 422
    assert len(stranger.heard("INVITE")) == 4


def test_a_peer_without_update_is_refreshed_by_a_re_invite_that_changes_nothing(stranger):
    stranger.connect(Allow="INVITE, ACK, BYE, CANCEL", Session_Expires="600;refresher=uac", Require="timer")
    stranger.network.run(300.1)
    refresh = stranger.request("INVITE")
    assert refresh.to.tag == "t1"
    assert refresh.body
    assert refresh.headers.get("Session-Expires") == "600;refresher=uac"
    terms = [("Session-Expires", "600;refresher=uac")]
    from tests.gateway.sip.network import ANSWER

    stranger.reply(refresh, 200, "t1", headers=terms, body=ANSWER)
    assert not stranger.bob.of(OfferAnswered)
    stranger.network.run(299.0)
    assert len(stranger.heard("INVITE")) == 2
    stranger.network.run(2.0)
    assert len({message.cseq.number for message in stranger.heard("INVITE")}) == 3


def test_a_peer_that_took_the_duty_and_is_silent_loses_the_call(stranger):
    stranger.connect(Session_Expires="600;refresher=uas")
    stranger.network.run(567.9)
    assert not stranger.bob.of(CallEnded)
    stranger.network.run(0.2)
    assert stranger.bob.last(CallEnded).cause is EndCause.SESSION_EXPIRED
    assert not [message for message in stranger.heard("INVITE") if message.to.tag]
    assert "session expired" in stranger.request("BYE").headers.get("Reason")


def test_without_session_expires_in_the_answer_a_call_has_no_end(stranger):
    stranger.connect()
    stranger.network.run(10_000.0)
    assert not stranger.bob.of(CallEnded)


def test_a_change_of_the_session_is_a_refresh_too(stranger):
    auto_answer(stranger.bob)
    tag = stranger.call(extra="Supported: timer\nSession-Expires: 600;refresher=uac")
    stranger.network.run(500.0)
    extra = "Supported: timer\nSession-Expires: 600;refresher=uac"
    stranger.send(invite(to_tag=tag, cseq=2, branch="2", body=REOFFER.decode(), extra=extra))
    stranger.ack(tag, cseq=2)
    stranger.network.run(500.0)
    assert not stranger.bob.of(CallEnded)


def test_an_update_of_the_peer_refreshes_and_confirms_the_roles(stranger):
    auto_answer(stranger.bob)
    tag = stranger.call(extra="Supported: timer\nSession-Expires: 600;refresher=uac")
    extra = "Supported: timer\nSession-Expires: 600;refresher=uac"
    stranger.network.run(500.0)
    stranger.send(request("UPDATE", to_tag=tag, cseq=2, branch="2", extra=extra))
    assert stranger.response("200 UPDATE").headers.get("Session-Expires") == "600;refresher=uac"
    stranger.network.run(500.0)
    assert not stranger.bob.of(CallEnded)


def test_a_refresh_that_is_not_understood_is_made_in_the_other_way(stranger):
    stranger.connect(Allow="INVITE, UPDATE", Session_Expires="600;refresher=uac")
    stranger.network.run(300.1)
    stranger.reply(stranger.request("UPDATE"), 501, "t1")
    stranger.network.run(0.0)
    assert stranger.request("INVITE").to.tag == "t1"
