"""SIP, SIPS and TEL URIs, and those that mean nothing to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import SipParseError
from gateway.sip.params import MAX_PARAMS, Params
from gateway.sip.uri import MAX_HOST_CHARS, MAX_URI_CHARS, OtherUri, SipUri, TelUri, parse_host_port, parse_uri


def sip(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


def fault(text: str) -> SipParseError:
    with pytest.raises(SipParseError) as caught:
        parse_uri(text)
    return caught.value


def test_every_part_of_a_uri_is_found():
    uri = sip("sips:alice:secret@atlanta.com:5061;transport=tcp;lr?Subject=hi&Priority=urgent")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "alice", "secret", "atlanta.com", 5061)
    assert (uri.transport, uri.lr, uri.maddr) == ("tcp", True, None)
    assert uri.headers == (("Subject", "hi"), ("Priority", "urgent"))


@pytest.mark.parametrize(
    "text",
    [
        "sip:atlanta.com",
        "sip:a@b",
        "sip:a@b:1",
        "sip:a@b:65535;x",
        "sip:+1-415;isub=1;postd=pp22@gw;user=phone",
        "sip:a;b?c=d@e",
        "sip:a/b&c=d+e$f,g@h",
        "sip:a:@b",
        "sip:a:b%3A@c",
        "sip:%00@b",
        "sip:%F0%9F%98%80@b",
        "sip:a@[2001:db8::1]:5060;maddr=[2001:db8::2]",
        "sip:a@b;method=INVITE;ttl=15;maddr=239.255.255.1",
        "sip:a@b?Replaces=id%40h%3Bto-tag%3D1%3Bfrom-tag%3D2",
        "sip:a@under_score.example",
        "sip:a@trailing.dot.",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "tel:*67#",
        "mailto:a@b.c",
        "soap.beep://192.0.2.103:3002",
        "urn:service:sos",
        "x-1+.:",
    ],
)
def test_a_uri_is_written_as_it_came(text: str):
    assert str(parse_uri(text)) == text


def test_a_user_may_hold_semicolons_and_question_marks():
    assert sip("sip:user;par=u%40example.net@example.com").user == "user;par=u@example.net"
    assert sip("sip:a?b@c").user == "a?b"
    assert sip("sip:a?b@c").headers == ()


def test_an_escaped_null_is_part_of_the_user():
    assert sip("sip:null-%00-null@a").user == "null-\0-null"


def test_octets_that_are_no_utf_8_survive_in_escapes_and_bare():
    uri = sip("sip:%FF%fe@a;x=%80")
    assert uri.user == "\udcff\udcfe"
    assert str(uri) == "sip:%FF%FE@a;x=%80"
    assert str(sip("sip:caf\udce9@a")) == "sip:caf%E9@a"


def test_needless_escapes_are_undone_and_needed_ones_written():
    assert str(sip("sip:%61%40b@c;%6Cr;x=%3b")) == "sip:a%40b@c;lr;x=%3B"


def test_a_dialog_to_replace_may_stand_in_the_headers_with_a_bare_at():
    uri = sip("sip:bob@b?Replaces=12345%40a.example%3Bto-tag%3D1&x=id@host")
    assert uri.user == "bob"
    assert uri.headers == (("Replaces", "12345@a.example;to-tag=1"), ("x", "id@host"))
    assert sip(str(uri)) == uri


def test_a_header_may_be_empty_but_not_nameless():
    assert sip("sip:a@b?x=").headers == (("x", ""),)
    assert fault("sip:a@b?=x").reason == "uri"
    assert fault("sip:a@b?x").reason == "uri"
    assert fault("sip:a@b?").reason == "uri"


def test_a_parameter_may_be_empty_but_not_nameless():
    assert sip("sip:a@b;x=;y").params.get("x") == ""
    assert fault("sip:a@b;").reason == "uri"
    assert fault("sip:a@b;;x").reason == "uri"
    assert fault("sip:a@b;=x").reason == "uri"


def test_names_of_parameters_have_no_case():
    uri = sip("sip:a@b;TransPort=TCP;LR")
    assert uri.transport == "TCP"
    assert uri.lr


def test_an_ipv6_reference_is_held_without_brackets():
    uri = sip("sip:a@[2001:db8::1]:5061")
    assert (uri.host, uri.port, uri.host_port) == ("2001:db8::1", 5061, "[2001:db8::1]:5061")
    assert sip("sip:a@b;maddr=[::1]").maddr == "::1"


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", ":a", "1sip:a", "sip:@b", "sip:a@", "sip:a@b@c", "sip:a@b;x@c", "sip:a b@c", "sip:a@b c",
        " sip:a@b", "sip:a@b ", "sip:a@b\r\nX: y", "sip:a\0@b", 'sip:"a"@b', "<sip:a@b>", "sip:<a>@b",
        "sip:a@b:0", "sip:a@b:65536", "sip:a@b:", "sip:a@b:x", "sip:a@b:123456", "sip:a@-b", "sip:a@b-", "sip:a@b..-",
        "sip:%4@b", "sip:%@b", "sip:%zz@b", "sip:a@b;x=%1", "sip:a@b?x=%1",
        "sip:a@2001:db8::1", "sip:a@[2001:db8::1", "sip:a@2001:db8::1]", "sip:a@[]", "sip:a@[1.2.3.4]",
        "sip:a@[fe80::1%25eth0]",
        "sip:a@[::1::2]", "sip:a@[12345::]", "tel:", "tel:abcxyz", "tel:;x=y", "tel:+1;", "tel:+1;=x",
    ],
)  # fmt: skip
def test_what_is_no_uri_is_a_bad_request(text: str):
    assert (fault(text).reason, fault(text).status) == ("uri", 400)


def test_the_limits_have_their_errors():
    longest = "sip:" + "a" * (MAX_URI_CHARS - 6) + "@b"
    assert len(sip(longest).user or "") == MAX_URI_CHARS - 6
    assert (fault("x" + longest).reason, fault("x" + longest).status) == ("uri_too_long", 414)
    # Short as it came, and too long as we would write it.
    assert fault("sip:" + "é" * 700 + "@b").reason == "uri_too_long"
    assert len(sip("sip:a@b" + ";x" * MAX_PARAMS).params) == MAX_PARAMS
    assert fault("sip:a@b" + ";x" * (MAX_PARAMS + 1)).reason == "uri"
    assert fault("sip:a@b?x=" + "&x=" * MAX_PARAMS).reason == "uri"
    assert sip("sip:" + "a" * MAX_HOST_CHARS).host == "a" * MAX_HOST_CHARS
    assert fault("sip:" + "a" * (MAX_HOST_CHARS + 1)).reason == "uri"


def test_a_request_uri_has_neither_headers_nor_method():
    assert str(sip("sip:a:b@c:1;method=BYE;x?y=z").without_headers()) == "sip:a:b@c:1;x"


def test_a_host_and_port_stand_alone_as_well():
    assert parse_host_port("a.example") == ("a.example", None)
    assert parse_host_port("[::1]:5060") == ("::1", 5060)
    for text in ("", "a b", "::1", "[::1", "a:99999", "[::1]5"):
        with pytest.raises(SipParseError):
            parse_host_port(text)


# The examples of RFC 3261 §19.1.4, and of our own.
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
        ("sip:a@[2001:DB8:0:0::1]", "sip:a@[2001:db8::1]"),
    ],
)  # fmt: skip
def test_these_are_equivalent(one: str, other: str):
    assert sip(one).equivalent(sip(other))
    assert sip(other).equivalent(sip(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:bob:x@biloxi.com"),
    ],
)
def test_these_are_not_equivalent(one: str, other: str):
    assert not sip(one).equivalent(sip(other))
    assert not sip(other).equivalent(sip(one))


def test_a_uri_of_another_scheme_is_equivalent_to_no_sip_uri():
    assert not sip("sip:1@b").equivalent(parse_uri("tel:1"))


def test_schemes_have_no_case():
    assert sip("SIP:a@b").scheme == "sip"
    assert parse_uri("TEL:+1;Phone-Context=x") == TelUri("+1", sip("sip:h;Phone-Context=x").params)


def test_any_other_scheme_is_kept_letter_by_letter():
    assert parse_uri("URN:Service:sos?x#y") == OtherUri("URN", "Service:sos?x#y")


@given(
    st.text(min_size=1, max_size=40),
    st.none() | st.text(max_size=20),
    st.none() | st.integers(1, 65_535),
    st.lists(st.tuples(st.text(min_size=1, max_size=9), st.none() | st.text(max_size=9)), max_size=4),
    st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text(max_size=9)), max_size=4),
)
def test_whatever_a_uri_is_made_of_it_is_read_as_it_was_written(user, password, port, params, headers):
    uri = SipUri("h.example", user, port, Params(params), tuple(headers), password)
    assert parse_uri(str(uri)) == uri


@given(st.text(max_size=80) | st.builds("sip:{}".format, st.text('ab@:;?&=%[]1.<> "', max_size=40)))
def test_any_text_is_a_uri_that_reads_as_it_is_written_or_an_error(text):
    try:
        uri = parse_uri(text)
    except SipParseError:
        return
    assert parse_uri(str(uri)) == uri
