"""RFC 4475, at the parser and through a user agent that admits everybody and is no registrar."""

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.flow import Flow, Transport
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.parser import parse_message
from gateway.sip.ua.effects import IncomingCall, SendBytes
from gateway.sip.uri import OtherUri, SipUri
from tests.gateway.sip.network import BOB, Network
from tests.gateway.sip.raw import STRANGER
from tests.gateway.sip.torture import CASES, FOLDER, PARSED, RINGS, SILENCE, message

UNDERSTOOD = [name for name, case in CASES.items() if case.fault == PARSED]
REFUSED = [name for name, case in CASES.items() if case.fault != PARSED]


def request(name: str) -> Request:
    parsed = parse_message(message(name))
    assert isinstance(parsed, Request)
    return parsed


def response(name: str) -> Response:
    parsed = parse_message(message(name))
    assert isinstance(parsed, Response)
    return parsed


def sip_uri(address: NameAddr) -> SipUri:
    assert isinstance(address.uri, SipUri)
    return address.uri


def test_all_49_messages_are_judged():
    assert set(CASES) == {path.stem for path in FOLDER.glob("*.dat")}
    assert len(CASES) == 49


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_what_is_valid_is_parsed_and_means_the_same_when_written(name: str):
    parsed = parse_message(message(name))
    again = parse_message(parsed.to_bytes(), stream=True)
    assert again.to_bytes() == parsed.to_bytes()
    assert (again.via, again.from_, again.to, again.cseq) == (parsed.via, parsed.from_, parsed.to, parsed.cseq)
    assert (again.contacts, again.routes, again.body) == (parsed.contacts, parsed.routes, parsed.body)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_invalid_is_refused_for_its_reason(name: str):
    with pytest.raises(SipParseError) as caught:
        parse_message(message(name))
    outcome = CASES[name].outcome
    assert caught.value.reason == CASES[name].fault
    assert caught.value.status == (None if outcome is SILENCE else outcome)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("name", CASES)
def test_a_user_agent_answers_as_the_rfc_says(name: str, transport: Transport):
    agent = Network().add(BOB).agent
    agent.receive(message(name), Flow(transport, BOB, STRANGER, 7), 100.0)
    answers, rings = [], False
    while (effect := agent.poll()) is not None:
        if isinstance(effect, SendBytes):
            answers.append(int(effect.data[8:11]))
        rings = rings or isinstance(effect, IncomingCall)
    expected = CASES[name].outcome
    assert rings == (expected is RINGS)
    assert answers == ([expected] if isinstance(expected, int) else [])


def test_white_space_is_folded_away():
    invite = request("wsinv")
    assert [(via.transport, via.host, via.branch) for via in invite.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert invite.to.tag == "1918181833n"
    assert (invite.from_.display_name, invite.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (invite.max_forwards, invite.cseq.number, invite.cseq.method) == (68, 9, "INVITE")
    assert invite.headers.get("Subject") == ""
    assert invite.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert invite.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert sip_uri(invite.routes[0]).lr
    contact = invite.contacts[0]
    assert contact.display_name == 'Quoted string ""'
    assert list(contact.params.items()) == [("newparam", "newvalue"), ("secondparam", None), ("q", "0.33")]


def test_every_character_that_the_grammar_allows_is_taken():
    strange = request("intmeth")
    assert strange.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert isinstance(strange.uri, SipUri)
    assert strange.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert strange.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert strange.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert strange.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert strange.from_.params.get("fromParam''~+*_!.-%") == "работающий"
    assert strange.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_escapes_are_undone_once_and_only_where_they_mean_something():
    invite = request("esc01")
    assert isinstance(invite.uri, SipUri)
    assert invite.uri.user == "sips:user@example.com"
    assert sip_uri(invite.to).user == "user"
    assert sip_uri(invite.from_).user == "I have spaces"
    contact = sip_uri(invite.contacts[0])
    assert contact.user == "caller"
    assert contact.lr
    assert contact.params.get("name") == "value%41"
    other = request("esc02")
    assert other.method == "RE%47IST%45R"
    assert other.to.display_name == "%Z%45"
    assert len(other.contacts) == 2  # "C%6Fntact" is another header


def test_a_user_may_hold_nulls():
    register = request("escnull")
    assert sip_uri(register.to).user == "null-\x00-null"
    assert [sip_uri(contact).user for contact in register.contacts] == ["\x00", "\x00\x00"]
    assert [str(contact) for contact in register.contacts][1] == "<sip:%00%00@host5.example.com>"


def test_compact_forms_and_cases_are_all_the_same_via():
    vias = request("longreq").vias
    assert len(vias) == 34
    assert vias[-1].received == "192.0.2.5"


def test_a_datagram_ends_where_its_content_length_says_and_a_stream_goes_on():
    assert request("dblreq").body == b""
    items = StreamFramer().push(message("dblreq"))
    messages = (item for item in items if isinstance(item, bytes))
    assert [parse_message(next(messages), stream=True).cseq.method for _ in range(2)] == ["REGISTER", "INVITE"]


def test_a_semicolon_before_the_at_belongs_to_the_user():
    options = request("semiuri")
    assert isinstance(options.uri, SipUri)
    assert (options.uri.user, options.uri.host) == ("user;par=u@example.net", "example.com")
    assert len(options.uri.params) == 0
    assert len(options.tokens("Accept")) == 6


def test_unknown_transports_further_down_do_no_harm():
    assert [via.transport for via in request("transports").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_a_binary_body_is_kept_octet_by_octet():
    body = request("mpart01").body
    assert len(body) == 553
    assert message("mpart01").endswith(body)


def test_reasons_may_be_utf_8_or_missing():
    assert response("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert response("noreason").status == 100


def test_a_comma_needs_quotes_even_where_the_message_is_whole():
    with pytest.raises(SipParseError) as caught:
        parse_message(message("baddn") + b"\r\n")
    assert (caught.value.reason, caught.value.status) == ("name_addr", 400)


def test_a_stream_waits_for_what_content_length_promised():
    assert list(StreamFramer().push(message("clerr"))) == []


def test_unknown_schemes_are_kept_as_they_are():
    register = request("unksm2")
    assert register.to.uri == OtherUri("isbn", "2983792873")
    assert register.from_.uri == OtherUri("http", "//www.example.com")
    assert register.contacts[0].uri == OtherUri("name", "John_Smith")


def test_angle_brackets_decide_whose_parameter_it_is():
    bare, bracketed = request("cparam01").contacts[0], request("cparam02").contacts[0]
    assert "unknownparam" in bare.params
    assert "unknownparam" not in sip_uri(bare).params
    assert "unknownparam" in sip_uri(bracketed).params
    assert "unknownparam" not in bracketed.params


def test_headers_in_the_uri_of_a_contact_are_unescaped():
    assert sip_uri(request("regescrt").contacts[0]).headers == (("Route", "<sip:sip.example.com>"),)


def test_what_rfc_2543_left_out_is_none():
    old = request("inv2543")
    assert (old.via.branch, old.from_.tag, old.max_forwards) == (None, None, None)
    assert old.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")
    assert old.to.params.get("user") == "phone"  # no brackets: the header's, whoever meant it
