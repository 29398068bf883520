"""Names and addresses, and the parameters behind them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import parse_params
from gateway.sip.name_addr import NameAddr, parse_name_addr, parse_name_addrs
from gateway.sip.params import Params
from gateway.sip.uri import SipUri, TelUri, parse_uri


def fault(text: str) -> str:
    with pytest.raises(SipParseError) as caught:
        parse_name_addr(text)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ('"Alice" <sip:a@b>;tag=1', "Alice", "sip:a@b", "1"),
        ("Alice <sip:a@b>", "Alice", "sip:a@b", None),
        ("Alice B.<sip:a@b> ; tag = 1", "Alice B.", "sip:a@b", "1"),
        ('"a, \\"b\\" \\\\ <c>;" <sip:a@b>', 'a, "b" \\ <c>;', "sip:a@b", None),
        ('""<sip:a@b>', "", "sip:a@b", None),
        ("<sip:a@b;x=1?y=z>;tag=1", "", "sip:a@b;x=1?y=z", "1"),
        ("sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("sip:a@b", "", "sip:a@b", None),
        ("\tsip:a@b ;\ttag=1 ", "", "sip:a@b", "1"),
        ("<tel:+1-415;phone-context=x>", "", "tel:+1-415;phone-context=x", None),
        ("tel:+1;tag=x", "", "tel:+1", "x"),
        ("Größe 世界 <sip:a@b>", "Größe 世界", "sip:a@b", None),
        ("John (home) a@b.c 1/2 <sip:a@b>", "John (home) a@b.c 1/2", "sip:a@b", None),
        ("<urn:uuid:1>", "", "urn:uuid:1", None),
    ],
)
def test_a_name_an_address_and_a_tag_are_found(text: str, name: str, uri: str, tag: str | None):
    address = parse_name_addr(text)
    assert (address.display_name, str(address.uri), address.tag) == (name, uri, tag)
    assert parse_name_addr(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Alice", "<>", "<sip:a@b", "sip:a@b>", '"Alice <sip:a@b>', 'Alice" <sip:a@b>', '"a" "b" <sip:a@b>',
        "Bell, Alexander <sip:a@b>", "< sip:a@b >", "<sip:a@b> tag=1", "<sip:a@b>;", "<sip:a@b>;;tag=1", "<sip:a@b>;=1",
        "sip:a@b?x=y", "sip:a,b@c", "<<sip:a@b>>", "<sip:a@b><sip:a@b>", '<sip:a@b>;x="', '<sip:a@b>;x="a"b', "*",
        "<sip:a@b>;a b", "a;b <sip:a@b>", "a\\b <sip:a@b>", "a\0b <sip:a@b>", "<sip:a@b>;x=a b",
    ],
)  # fmt: skip
def test_what_is_no_address_is_an_error(text: str):
    assert fault(text) in ("name_addr", "uri", "parameter")


def test_without_brackets_the_parameters_are_those_of_the_header():
    assert parse_name_addr("sip:a@b;lr;x").params == Params([("lr", None), ("x", None)])
    assert parse_name_addr("sip:a@b;lr;x").uri == parse_uri("sip:a@b")


def test_several_addresses_stand_in_lines_and_between_commas():
    values = ['"a,b" <sip:1@h,i>, sip:2@h;x="c,d"', "", " ,<tel:3> ,, "]
    with pytest.raises(SipParseError):  # a comma is no part of a host, but is none of a separator in brackets
        parse_name_addrs(values)
    addresses = parse_name_addrs([value.replace("h,i", "h;i=1") for value in values])
    assert [str(address) for address in addresses] == ['"a,b" <sip:1@h;i=1>', '<sip:2@h>;x="c,d"', "<tel:3>"]


def test_a_tag_can_be_given_and_changed():
    address = NameAddr(TelUri("1"), "A", Params([("x", "y")]))
    assert str(address.with_tag("t")) == '"A" <tel:1>;x=y;tag=t'
    assert str(address.with_tag("t").with_tag("u")) == '"A" <tel:1>;x=y;tag=u'


@given(st.text(st.characters(exclude_characters="\n\r"), max_size=40), st.text(min_size=1, max_size=20))
def test_any_name_and_tag_survive_writing_and_reading(name, tag):
    address = NameAddr(SipUri("h"), name, Params([("tag", tag)]))
    assert parse_name_addr(str(address)) == address


@given(st.text(max_size=60) | st.text('<>"\\;,=@: sip', max_size=40))
def test_any_text_is_addresses_or_an_error(text):
    try:
        addresses = parse_name_addrs([text])
    except SipParseError:
        return
    assert parse_name_addrs([", ".join(map(str, addresses))]) == addresses


def test_params_are_values_that_changes_leave_alone():
    params = parse_params("a=1;b")
    assert str(params.with_("B", "2")) == ";a=1;b=2"
    assert str(params.with_("c", None)) == ";a=1;b;c"
    assert str(params.without("A")) == ";b"
    assert str(params) == ";a=1;b"
    assert hash(params) == hash(parse_params("a=1;b"))
    assert params != ";a=1;b"
    assert repr(params) == "Params(';a=1;b')"
