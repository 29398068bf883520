"""Transfers: REFER both ways, its NOTIFYs, and calls that replace others."""

import pytest

from gateway.sip.message import Request
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.config import AgentLimits
from gateway.sip.ua.effects import CallEnded, EndCause, IncomingCall, TransferProgress, TransferRequested
from gateway.sip.uri import parse_uri
from tests.gateway.sip.network import ALICE, BOB, CAROL, OFFER, Network, auto_answer, connected, uri_of
from tests.gateway.sip.raw import Stranger, invite, request

ELSEWHERE = parse_uri("sip:carol@192.0.2.3")


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def stranger(network):
    return Stranger(network, network.add(BOB))


def notify(stranger: Stranger, sent: Request, cseq: int, line: str, state: str = "active") -> None:
    stranger.send(
        request(
            "NOTIFY",
            to_tag=sent.from_.tag,
            from_tag="t1",
            call_id=sent.call_id,
            cseq=cseq,
            branch=f"n{cseq}",
            extra=f"Event: refer\nSubscription-State: {state}",
            body=line,
            content_type="message/sipfrag;version=2.0",
        )
    )


def test_a_transfer_is_asked_for_and_its_progress_told(network, stranger):
    call, sent = stranger.connect()
    bob = stranger.bob
    bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    refer = stranger.request("REFER")
    assert refer.headers.get("Refer-To") == "<sip:carol@192.0.2.3>"
    assert refer.headers.get("Referred-By") == "<sip:user@192.0.2.2:5060>"
    stranger.reply(refer, 202, "t1")
    notify(stranger, sent, 1, "SIP/2.0 100 Trying\n")
    notify(stranger, sent, 2, "SIP/2.0 180 Ringing\n")
    notify(stranger, sent, 3, "SIP/2.0 200 OK\n", "terminated;reason=noresource")
    assert bob.of(TransferProgress) == [
        TransferProgress(call, 100, False),
        TransferProgress(call, 180, False),
        TransferProgress(call, 200, True),
    ]
    assert len(stranger.heard("200 NOTIFY")) == 3


def test_a_refused_transfer_is_final_at_once(network, stranger):
    call, _ = stranger.connect()
    stranger.bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    stranger.reply(stranger.request("REFER"), 603, "t1")
    assert stranger.bob.of(TransferProgress) == [TransferProgress(call, 603, True)]


def test_a_subscription_that_ends_without_an_outcome_has_failed(network, stranger):
    call, sent = stranger.connect()
    stranger.bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    stranger.reply(stranger.request("REFER"), 202, "t1")
    notify(stranger, sent, 1, "SIP/2.0 100 Trying\n", "terminated;reason=timeout")
    assert stranger.bob.last(TransferProgress) == TransferProgress(call, 487, True)


def test_a_transferee_that_reports_nothing_has_failed_after_the_limit(network):
    stranger = Stranger(network, network.add(BOB, limits=AgentLimits(transfer_s=60.0)))
    call, _ = stranger.connect()
    stranger.bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    stranger.reply(stranger.request("REFER"), 202, "t1")
    network.run(60.1)
    assert stranger.bob.last(TransferProgress) == TransferProgress(call, 408, True)


def test_the_outcome_may_come_after_the_call_was_hung_up(network, stranger):
    call, sent = stranger.connect()
    bob = stranger.bob
    bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    stranger.reply(stranger.request("REFER"), 202, "t1")
    bob.agent.hang_up(call, network.now)
    network.settle()
    stranger.reply(stranger.request("BYE"), 200, "t1")
    notify(stranger, sent, 1, "SIP/2.0 200 OK\n", "terminated;reason=noresource")
    assert bob.last(TransferProgress) == TransferProgress(call, 200, True)
    assert stranger.heard("200 NOTIFY")


def test_a_notify_of_another_event_is_refused(network, stranger):
    call, sent = stranger.connect()
    stranger.bob.agent.refer(call, ELSEWHERE, network.now)
    network.settle()
    stranger.send(
        request("NOTIFY", to_tag=sent.from_.tag, from_tag="t1", call_id=sent.call_id, extra="Event: presence")
    )
    assert stranger.response("489 NOTIFY").headers.get("Allow-Events") == "refer"


def test_a_notify_nobody_subscribed_to_is_of_no_dialog(network, stranger):
    _, sent = stranger.connect()
    notify(stranger, sent, 1, "SIP/2.0 200 OK\n")
    assert stranger.heard("481 NOTIFY")


def test_a_transfer_asked_of_us_is_declined_unless_allowed(network, stranger):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(request("REFER", to_tag=tag, cseq=2, branch="2", extra="Refer-To: <sip:carol@192.0.2.3>"))
    assert stranger.heard("603 REFER")
    assert not stranger.bob.of(TransferRequested)


@pytest.fixture
def obliging(network):
    stranger = Stranger(network, network.add(BOB, allow_refer=True))
    auto_answer(stranger.bob)
    return stranger


def test_a_transfer_asked_of_us_is_reported_to_its_end(network, obliging):
    tag = obliging.call()
    extra = "Refer-To: Carol <sip:carol@192.0.2.3>\nReferred-By: <sip:stranger@198.51.100.7>"
    obliging.send(request("REFER", to_tag=tag, cseq=2, branch="2", extra=extra))
    bob = obliging.bob
    wanted = bob.last(TransferRequested)
    assert (str(wanted.refer_to.uri), str(wanted.referred_by.uri)) == (
        "sip:carol@192.0.2.3",
        "sip:stranger@198.51.100.7",
    )
    bob.agent.report_transfer(wanted.call, 180, network.now)
    bob.agent.report_transfer(wanted.call, 200, network.now)
    bob.agent.report_transfer(wanted.call, 200, network.now)
    network.settle()
    assert obliging.heard("202 REFER")
    assert [message.body for message in obliging.heard("NOTIFY")] == [
        b"SIP/2.0 100 Trying\r\n",
        b"SIP/2.0 180 Ringing\r\n",
        b"SIP/2.0 200 OK\r\n",
    ]
    assert obliging.request("NOTIFY").headers.get("Subscription-State") == "terminated;reason=noresource"
    assert obliging.request("NOTIFY").headers.get("Event") == "refer;id=2"


def test_a_transfer_without_subscription_is_not_reported(network, obliging):
    tag = obliging.call()
    extra = "Refer-To: <sip:carol@192.0.2.3>\nRefer-Sub: false"
    obliging.send(request("REFER", to_tag=tag, cseq=2, branch="2", extra=extra))
    assert obliging.response("202 REFER").headers.get("Refer-Sub") == "false"
    assert obliging.bob.of(TransferRequested)
    assert not obliging.heard("NOTIFY")


@pytest.mark.parametrize("extra", ["", "Refer-To: <sip:a@b>\nRefer-To: <sip:c@d>", "Refer-To: nonsense"])
def test_a_refer_that_does_not_say_to_whom_is_bad(network, obliging, extra):
    tag = obliging.call()
    obliging.send(request("REFER", to_tag=tag, cseq=2, branch="2", extra=extra))
    assert obliging.heard("400 REFER")
    assert not obliging.bob.of(TransferRequested)


def test_an_attended_transfer_puts_one_call_in_the_place_of_another():
    """Bob talks to Alice and to Carol, and connects the two: Alice calls Carol in the place of Bob."""
    network = Network()
    alice, bob, _, with_alice = connected(network, allow_refer=True)
    carol = network.add(CAROL)
    auto_answer(carol)
    with_carol = bob.agent.place_call(uri_of(CAROL), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.run(1.0)
    bob.agent.refer(with_alice, uri_of(CAROL), network.now, replaces=with_carol)
    network.run(1.0)
    wanted = alice.last(TransferRequested)
    new_call = alice.agent.place_call(wanted.refer_to.uri, NameAddr(uri_of(ALICE)), OFFER, network.now)
    network.run(1.0)
    alice.agent.report_transfer(wanted.call, 200, network.now)
    network.run(1.0)
    assert carol.last(IncomingCall).replaces == carol.of(IncomingCall)[0].call
    assert carol.of(CallEnded)[0].cause is EndCause.REPLACED
    assert bob.of(CallEnded)[0].call == with_carol
    assert bob.last(TransferProgress) == TransferProgress(with_alice, 200, True)
    alice.agent.hang_up(new_call, network.now)
    bob.agent.hang_up(with_alice, network.now)
    network.run(70.0)
    assert alice.agent.idle
    assert bob.agent.idle
    assert carol.agent.idle


def replaces(tag: str) -> str:
    return f"Replaces: raw@stranger;to-tag={tag};from-tag=f1"


def test_a_refer_cannot_forge_headers_of_our_invite(network, stranger):
    target = parse_uri("sip:stranger@198.51.100.7:5080?Replaces=a%0d%0aX-Forged:1;to-tag=b;from-tag=c&X-Other=1")
    stranger.bob.agent.place_call(target, NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    sent = stranger.request("INVITE")
    assert not {"X-Forged", "X-Other", "Replaces"} & {name for name, _ in sent.headers.items()}
    assert str(sent.uri) == "sip:stranger@198.51.100.7:5080"


def test_a_replaced_call_ends_when_the_new_one_is_answered(network, stranger):
    bob = stranger.bob
    auto_answer(bob)
    tag = stranger.call()
    stranger.send(invite(call_id="new", branch="9", extra=replaces(tag)))
    assert bob.last(IncomingCall).replaces == bob.of(IncomingCall)[0].call
    assert stranger.request("BYE").call_id == "raw@stranger"


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ("Replaces: raw@stranger;to-tag={tag};from-tag=wrong", 481),
        ("Replaces: raw@stranger;to-tag={tag}", 400),
        ("Replaces: raw@stranger;to-tag={tag};from-tag=f1;early-only", 486),
        ("Replaces: raw@stranger;to-tag={tag};from-tag=f1\nReplaces: x;to-tag=1;from-tag=2", 400),
    ],
)
def test_a_replaces_that_fits_no_call_is_refused(network, stranger, extra, status):
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(invite(call_id="new", branch="9", extra=extra.format(tag=tag)))
    assert stranger.heard(f"{status} INVITE")
    assert len(stranger.bob.of(IncomingCall)) == 1


def test_a_ringing_call_of_the_peer_cannot_be_replaced(network, stranger):
    stranger.send(invite())
    stranger.bob.agent.ring(stranger.bob.last(IncomingCall).call, network.now)
    network.settle()
    tag = stranger.response("180 INVITE").to.tag
    stranger.send(invite(call_id="new", branch="9", extra=replaces(tag)))
    assert stranger.heard("481 INVITE")


def test_a_peer_cannot_replace_a_call_of_another_trunk(network):
    from gateway.sip.ua.gate import Admitted

    class ByCallId:
        def check(self, request, flow, now):
            return Admitted(request.call_id)

    stranger = Stranger(network, network.add(BOB, ByCallId()))
    auto_answer(stranger.bob)
    tag = stranger.call()
    stranger.send(invite(call_id="new", branch="9", extra=replaces(tag)))
    assert stranger.heard("403 INVITE")
