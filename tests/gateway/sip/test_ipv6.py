"""RFC 5118: what IPv6 does to SIP messages."""

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.message import Request, Response
from gateway.sip.parser import parse_message
from gateway.sip.uri import SipUri


def register(uri: str = "sip:[2001:db8::10]", via: str = "[2001:db8::9:1]", to: str = "sip:user@example.com") -> bytes:
    return (
        f"REGISTER {uri} SIP/2.0\r\nTo: {to}\r\nFrom: sip:user@example.com;tag=81x2\r\n"
        f"Via: SIP/2.0/UDP {via};branch=z9hG4bKas3-111\r\nCall-ID: SSG9559905523997077@hlau_4100\r\n"
        'Contact: "Caller" <sip:caller@[2001:db8::1]>\r\nMax-Forwards: 70\r\nCSeq: 98176 REGISTER\r\n'
        "Content-Length: 0\r\n\r\n"
    ).encode()


def request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def test_4_1_an_address_in_brackets_is_valid():
    message = request(register())
    assert message.uri == SipUri("2001:db8::10")
    assert message.via.sent_by == ("2001:db8::9:1", 5060)
    assert str(message.contacts[0].uri) == "sip:caller@[2001:db8::1]"
    assert message.to_bytes() == register()


def test_4_2_an_address_without_brackets_is_answered_400():
    with pytest.raises(SipParseError) as error:
        parse_message(register("sip:2001:db8::10"))
    assert error.value.status == 400


def test_4_3_what_looks_like_a_port_belongs_to_the_address():
    assert request(register("sip:[2001:db8::10:5070]")).uri == SipUri("2001:db8::10:5070")


def test_4_4_the_port_stands_behind_the_brackets():
    assert request(register("sip:[2001:db8::10]:5070")).uri == SipUri("2001:db8::10", port=5070)


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_4_5_received_may_come_with_brackets_or_without(received):
    message = request(register(via=f"[2001:db8::9:1];received={received}"))
    assert message.via.received == "2001:db8::9:255"
    assert f";received={received}" in str(message.via)


def test_4_6_and_4_7_a_body_may_mix_both_families():
    sdp = b"v=0\r\no=u 1 1 IN IP6 2001:db8::20\r\nc=IN IP4 192.0.2.1\r\n"
    head = register().replace(b"Content-Length: 0", b"Content-Length: %d" % len(sdp))
    assert request(head + sdp).body == sdp


def test_4_8_a_way_may_mix_both_families():
    data = (
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144, SIP/2.0/TCP [::1]:5061;branch=z9hG4bK1\r\n"
        b"Record-Route: <sip:[2001:db8::9:1]:6050;lr>, <sip:192.0.2.1;lr>\r\n"
        b"From: <sip:a@[2001:db8::9]>;tag=1\r\nTo: <sip:b@192.0.2.2>;tag=2\r\nCall-ID: 1@[::20]\r\n"
        b"CSeq: 1 BYE\r\n\r\n"
    )
    message = parse_message(data)
    assert isinstance(message, Response)
    assert [via.sent_by for via in message.vias] == [("2001:db8::9:1", 6050), ("192.0.2.1", 5060), ("::1", 5061)]
    assert [str(route.uri) for route in message.record_routes] == ["sip:[2001:db8::9:1]:6050;lr", "sip:192.0.2.1;lr"]


@pytest.mark.parametrize("mapped", ["::ffff:192.0.2.10", "::FFFF:192.0.2.10"])
def test_4_9_a_mapped_ipv4_address_is_valid(mapped):
    message = request(register(f"sip:user@[{mapped}]", via=f"[{mapped}]:19823"))
    assert message.uri == SipUri(mapped, "user")
    assert message.via.sent_by == (mapped, 19823)


def test_4_10_the_third_colon_of_the_old_grammar_is_ignored():
    message = request(register("sip:user@[2001:db8:::192.0.2.1]", to="sip:user@[2001:db8:::192.0.2.1]"))
    assert message.uri == SipUri("2001:db8::192.0.2.1", "user")
    assert message.to_bytes().startswith(b"REGISTER sip:user@[2001:db8::192.0.2.1] SIP/2.0\r\n")


@pytest.mark.parametrize(
    "host",
    ["[2001:db8::10", "2001:db8::10]", "[]", "[::1::2]", "[::fffff]", "[1.2.3.4]", "[fe80::1%25eth0]", "[::1]x", "[h]"],
)
def test_what_is_no_address_in_brackets_is_answered_400(host):
    for data in (register(f"sip:{host}"), register(via=host), register(to=f"<sip:u@{host}>")):
        with pytest.raises(SipParseError) as error:
            parse_message(data)
        assert error.value.status == 400
