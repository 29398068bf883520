"""From what a person asks for to what an INVITE says."""

import pytest
from pydantic import ValidationError

from gateway.config.sip import SipConfig
from gateway.sip.dial_plan import BadTargetError, home_of, parse_proxy, parse_target, parse_user, route_to
from gateway.sip.uri import SipUri, parse_uri


def proxy(text: str) -> SipUri:
    uri = parse_proxy(text)
    assert uri is not None
    return uri


@pytest.mark.parametrize(
    ("to", "uri"),
    [
        ("+15005550001", "sip:+15005550001@carrier.example.com:5070;transport=tcp"),
        ("+1-(500)-555.0001", "sip:+15005550001@carrier.example.com:5070;transport=tcp"),
        ("tel:+1-500-555-0001;phone-context=x", "sip:+15005550001@carrier.example.com:5070;transport=tcp"),
        ("front-desk", "sip:front-desk@carrier.example.com:5070;transport=tcp"),
        ("sip:bob@example.com;transport=udp", "sip:bob@example.com;transport=udp"),
        ("sip:bob@example.com?Replaces=x&Subject=y", "sip:bob@example.com"),
        ("sips:bob@example.com", "sips:bob@example.com"),
    ],
)
def test_numbers_are_called_at_the_proxy_and_uris_as_they_are(to, uri):
    assert str(parse_target(to, proxy("sip:carrier.example.com:5070;transport=tcp;lr"))) == uri


@pytest.mark.parametrize("to", ["", "sip:@", "sip:a b@c", "mailto:a@b", "a@b", "+1 500", "1\r\n", "ü", "1" * 65])
def test_what_is_neither_a_number_nor_a_uri_is_refused_without_being_repeated(to):
    with pytest.raises(BadTargetError) as caught:
        parse_target(to, proxy("carrier.example.com"))
    assert not to or to not in str(caught.value)


def test_a_number_without_a_proxy_has_nowhere_to_go():
    with pytest.raises(BadTargetError, match="proxy"):
        parse_target("+15005550001", None)
    assert str(parse_target("sip:bob@example.com", None)) == "sip:bob@example.com"


def test_the_name_of_an_extension_keeps_its_hyphen_and_a_number_loses_it():
    assert parse_user("front-desk.2") == "front-desk.2"
    assert parse_user("500-555-0001") == "5005550001"


@pytest.mark.parametrize("text", ["carrier.example.com", "sip:carrier.example.com"])
def test_a_proxy_may_be_written_as_a_host_or_as_a_uri(text):
    assert str(proxy(text)) == "sip:carrier.example.com"


def test_a_trunk_may_have_no_proxy():
    assert parse_proxy("") is None


@pytest.mark.parametrize("text", ["sip:user@host", "sip:host?a=b", "http://host", "a b"])
def test_a_proxy_that_is_no_host_is_refused(text):
    with pytest.raises(ValueError, match="expected a"):
        parse_proxy(text)


def test_other_hosts_are_reached_by_a_loose_route_through_the_proxy():
    there = parse_uri("sip:bob@example.com")
    assert isinstance(there, SipUri)
    for text in ("sip:proxy.example.com;transport=tcp", "sip:proxy.example.com;transport=tcp;lr"):
        assert [str(route) for route in route_to(there, proxy(text))] == ["<sip:proxy.example.com;transport=tcp;lr>"]
    assert route_to(there, None) == ()


def test_the_proxy_itself_needs_no_route():
    at = proxy("proxy.example.com:5070")
    assert route_to(parse_target("100", at), at) == ()


def test_a_peer_that_called_over_a_connection_is_found_at_its_end():
    assert str(parse_target("100", home_of("192.0.2.1", 5060, "UDP"))) == "sip:100@192.0.2.1:5060"
    assert str(parse_target("100", home_of("2001:db8::1", 40_000, "TCP"))) == (
        "sip:100@[2001:db8::1]:40000;transport=tcp"
    )


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"proxy": "sip:me@carrier.example.com"}, "proxy"),
        ({"caller_id": "me and you"}, "caller_id"),
        ({"register": {"registrar": "pbx", "address": "sip:a@pbx"}}, "register.registrar"),
        ({"register": {"registrar": "sip:pbx", "address": "tel:+1"}}, "register.address"),
    ],
)
def test_a_trunk_that_nobody_can_be_called_over_is_refused_at_the_start(setting, word):
    trunk = {"name": "carrier", **setting}
    with pytest.raises(ValidationError) as caught:
        SipConfig.model_validate({"listen": ["udp:127.0.0.1:0"], "trunks": [trunk]})
    assert ".".join(map(str, caught.value.errors()[0]["loc"])) == f"trunks.0.{word}"
