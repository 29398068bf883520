"""What is refused at the door, and with which words."""

import pytest

from gateway.sip.flow import Flow, Transport
from gateway.sip.message import Request
from gateway.sip.ua.effects import BadInput, IncomingCall
from gateway.sip.ua.gate import Admitted, Challenged, Ignored, Refused, Verdict
from tests.gateway.sip.network import BOB, OFFER, Network, auto_answer
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


def test_a_merged_request_is_refused_the_second_time(network, bob, stranger):
    stranger.send(invite(branch="1"))
    stranger.send(invite(branch="2"))
    assert stranger.heard("482 INVITE")
    assert len(bob.of(IncomingCall)) == 1


def test_the_same_request_with_another_number_is_not_merged(network, bob, stranger):
    stranger.send(request("OPTIONS", branch="1", cseq=1))
    stranger.send(request("OPTIONS", branch="2", cseq=2))
    assert len(stranger.heard("200 OPTIONS")) == 2


def test_an_invite_of_ours_that_comes_back_went_round_in_a_circle(network, bob, stranger):
    _, ours = stranger.called()
    stranger.send(invite(call_id=ours.call_id, from_tag=ours.from_.tag))
    assert stranger.heard("482 INVITE")


def test_an_invite_of_a_call_that_is_over_is_a_new_call_of_somebody(network, bob, stranger):
    _call, ours = stranger.called()
    stranger.reply(ours, 486, "t1")
    stranger.send(invite(call_id=ours.call_id, from_tag=ours.from_.tag))
    assert bob.of(IncomingCall)


def test_the_last_hop_may_be_the_end_of_max_forwards(network, bob, stranger):
    stranger.send(invite(forwards=0))
    assert bob.of(IncomingCall)


def test_a_method_we_do_not_speak_is_refused_with_those_we_do(network, bob, stranger):
    stranger.send(request("MESSAGE"))
    assert "INVITE" in stranger.response("405 MESSAGE").headers.get("Allow")


def test_a_body_we_do_not_understand_is_refused_with_those_we_do(network, bob, stranger):
    stranger.send(invite(body="hello\n", content_type="text/plain"))
    assert "application/sdp" in stranger.response("415 INVITE").headers.get("Accept")


def test_a_body_that_may_be_ignored_is(network, bob, stranger):
    extra = "Content-Disposition: render;handling=optional"
    stranger.send(invite(body="hello\n", content_type="text/plain", extra=extra))
    assert bob.last(IncomingCall).offer is None


def test_an_encoded_body_is_refused(network, bob, stranger):
    stranger.send(invite(extra="Content-Encoding: gzip"))
    assert stranger.response("415 INVITE").headers.get("Accept-Encoding") == "identity"


def test_the_sdp_is_found_among_the_parts_of_a_multipart_body(network, bob, stranger):
    body = "\n".join(
        [
            "preamble",
            "--gap",
            "Content-Type: application/isup;version=itu-t92+",
            "Content-Disposition: signal;handling=optional",
            "",
            "\x01\x02",
            "--gap  ",
            "content-type: application/SDP",
            "",
            OFFER.decode().replace("\r\n", "\n") + "",
            "--gap--",
            "epilogue",
        ]
    )
    stranger.send(invite(body=body, content_type='multipart/mixed; boundary="gap"'))
    assert bob.last(IncomingCall).offer == OFFER


def test_an_unknown_uri_scheme_is_refused(network, bob, stranger):
    stranger.send(invite(uri="soap.beep://192.0.2.2"))
    assert stranger.heard("416 INVITE")


def test_a_tel_uri_is_a_scheme_we_know(network, bob, stranger):
    stranger.send(invite(uri="tel:+1-201-555-0123"))
    assert bob.of(IncomingCall)


def test_a_bad_request_uri_is_a_bad_request(network, bob, stranger):
    stranger.send(invite(uri="<sip:bob@192.0.2.2>"))
    assert stranger.heard("400 INVITE")
    assert bob.of(BadInput)


def test_another_version_of_sip_is_refused(network, bob, stranger):
    stranger.send(invite(version="SIP/7.0"))
    assert stranger.heard("505 INVITE")


def test_noise_is_told_and_not_answered(network, bob, stranger):
    stranger.send("jaK\n\n")
    assert bob.of(BadInput)
    assert not network.log


def test_an_invite_without_contact_makes_no_dialog(network, bob, stranger):
    stranger.send(invite(contact=""))
    assert stranger.heard("400 INVITE")


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "INFO", "PRACK", "NOTIFY"])
def test_what_belongs_into_a_dialog_has_no_place_outside(network, bob, stranger, method):
    stranger.send(request(method))
    assert stranger.heard(f"481 {method}")


def test_a_refer_outside_a_call_is_forbidden(network, bob, stranger):
    stranger.send(request("REFER", extra="Refer-To: <sip:elsewhere@192.0.2.9>"))
    assert stranger.heard("403 REFER")


class Gatekeeper:
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.asked: list[str] = []

    def check(self, request: Request, flow: Flow, now: float) -> Verdict:
        self.asked.append(request.method)
        return self.verdict


def test_the_gate_names_the_trunk(network):
    gate = Gatekeeper(Admitted("carrier"))
    bob = network.add(BOB, gate)
    Stranger(network, bob).send(invite())
    assert bob.last(IncomingCall).trunk == "carrier"


def test_the_gate_may_ask_for_a_password(network):
    gate = Gatekeeper(Challenged((("WWW-Authenticate", 'Digest realm="r", nonce="n"'),)))
    stranger = Stranger(network, network.add(BOB, gate))
    stranger.send(invite())
    assert stranger.response("401 INVITE").headers.get("WWW-Authenticate") == 'Digest realm="r", nonce="n"'
    assert not stranger.bob.of(IncomingCall)


def test_the_gate_may_refuse_even_to_say_what_we_can(network):
    stranger = Stranger(network, network.add(BOB, Gatekeeper(Refused(403))))
    stranger.send(request("OPTIONS"))
    assert stranger.heard("403 OPTIONS")


def test_a_stranger_the_gate_ignores_hears_nothing(network):
    stranger = Stranger(network, network.add(BOB, Gatekeeper(Ignored())))
    stranger.send(invite())
    network.run(5.0)
    assert not network.log


def test_the_gate_is_not_asked_within_a_dialog(network):
    gate = Gatekeeper(Admitted("carrier"))
    bob = network.add(BOB, gate)
    auto_answer(bob)
    stranger = Stranger(network, bob)
    tag = stranger.call()
    stranger.send(request("BYE", to_tag=tag, cseq=2, branch="2"))
    assert gate.asked == ["INVITE"]


def test_over_tcp_the_answer_takes_the_connection_back(network, bob):
    network.inject(request("OPTIONS").replace("/UDP", "/TCP"), BOB, STRANGER, Transport.TCP)
    sent = network.sent("200 OPTIONS")[-1]
    assert (sent.transport, sent.receiver) == (Transport.TCP, STRANGER)
