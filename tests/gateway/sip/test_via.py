"""One hop of a request's way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import SipParseError
from gateway.sip.params import Params
from gateway.sip.via import Via, parse_via


def fault(text: str) -> str:
    with pytest.raises(SipParseError) as caught:
        parse_via(text)
    return caught.value.reason


def test_every_part_of_a_via_is_found():
    via = parse_via("SIP/2.0/UDP pc33.atlanta.com:5066;branch=z9hG4bK776;received=192.0.2.1;rport=9988;ttl=3")
    assert (via.protocol, via.transport, via.host, via.port) == ("SIP/2.0", "UDP", "pc33.atlanta.com", 5066)
    assert (via.branch, via.received, via.rport) == ("z9hG4bK776", "192.0.2.1", 9988)
    assert via.sent_by == ("pc33.atlanta.com", 5066)
    assert str(via) == "SIP/2.0/UDP pc33.atlanta.com:5066;branch=z9hG4bK776;received=192.0.2.1;rport=9988;ttl=3"


@pytest.mark.parametrize(("transport", "port"), [("UDP", 5_060), ("TCP", 5_060), ("TLS", 5_061), ("tls", 5_061)])
def test_a_via_without_a_port_means_that_of_its_transport(transport: str, port: int):
    assert parse_via(f"SIP/2.0/{transport} a.example").sent_by == ("a.example", port)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z",
         "SIP/2.0/UDP first.example.com:4000;ttl=16;maddr=224.2.0.1;branch=z"),
        ("SIP/2.0/UDP\th : 1", "SIP/2.0/UDP h:1"),
        ("SIP/2.0/UDP [2001:db8::1]:5060 ; rport", "SIP/2.0/UDP [2001:db8::1]:5060;rport"),
        ("SIP/2.0/UDP h (a (nested) comment)", "SIP/2.0/UDP h"),
        ("SIP/2.0/UDP h;a=1 (x) ;b", "SIP/2.0/UDP h;a=1;b"),
        ('SIP/2.0/UDP h;a="(x)"', 'SIP/2.0/UDP h;a="(x)"'),
        ("SIP/7.0/UDP h", "SIP/7.0/UDP h"),
    ],
)  # fmt: skip
def test_spaces_and_comments_are_left_out(text: str, plain: str):
    assert str(parse_via(text)) == plain


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "SIP/2.0/UDP a b", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:", "SIP/2.0/UDP h:x", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP [::1", "SIP/2.0/UDP [x]",
        "SIP/2.0/UDP [1.2.3.4]", "SIP/2.0/UDP h, SIP/2.0/UDP i", "SIP/2.0/UDP -h", "/2.0/UDP h",
        "SIP/2.0/UDP h;branch=1;branch=2",
    ],
)  # fmt: skip
def test_what_is_no_via_is_an_error(text: str):
    assert fault(text) == "via"


@pytest.mark.parametrize("params", [";", ";;a", ";=1", ";a b", ";branch=a b", ';a="'])
def test_bad_parameters_are_an_error(params: str):
    assert fault("SIP/2.0/UDP h" + params) == "parameter"


@pytest.mark.parametrize(
    ("value", "port"),
    [("", None), ("=", None), ("=0", None), ("=65536", None), ("=x", None), ("=5060", 5_060), ("=٣", None)],
)
def test_rport_is_a_port_or_nothing(value: str, port: int | None):
    assert parse_via(f"SIP/2.0/UDP h;rport{value}").rport == port


def test_received_is_read_with_brackets_and_without():
    assert parse_via("SIP/2.0/UDP h;received=[2001:db8::9:255]").received == "2001:db8::9:255"
    assert parse_via("SIP/2.0/UDP h;received=2001:db8::9:255").received == "2001:db8::9:255"
    assert parse_via("SIP/2.0/UDP h").received is None


def test_a_parameter_can_be_given():
    via = parse_via("SIP/2.0/UDP h;rport;branch=x")
    assert str(via.with_param("rport", "1").with_param("received", "::1")) == (
        "SIP/2.0/UDP h;rport=1;branch=x;received=::1"
    )


@given(
    st.sampled_from(["UDP", "TCP", "TLS", "x-y"]),
    st.sampled_from(["h", "a.b.example", "192.0.2.1", "::1", "2001:db8::1"]),
    st.none() | st.integers(1, 65_535),
    st.text(st.characters(exclude_characters="()"), max_size=20),  # those open comments, and no token has them
)
def test_any_via_is_read_as_it_was_written(transport, host, port, branch):
    via = Via(transport, host, port, Params([("branch", branch), ("rport", None)]))
    assert parse_via(str(via)) == via


@given(st.text(max_size=40) | st.builds("SIP/2.0/UDP {}".format, st.text('h:1[];=,"() \\', max_size=30)))
def test_any_text_is_a_via_that_reads_as_it_is_written_or_an_error(text):
    try:
        via = parse_via(text)
    except SipParseError:
        return
    assert parse_via(str(via)) == via
