"""Header fields: order, names, compact forms, cutting at commas."""

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.headers import Headers
from gateway.sip.lexer import MAX_ELEMENTS, MAX_NESTING, parse_params, split_outside, without_comments
from gateway.sip.params import MAX_PARAMS, Params


def test_names_are_found_in_any_case_and_order_is_kept():
    headers = Headers([("Via", "1"), ("From", "f"), ("VIA", "2"), ("X-Y", "z")])
    assert headers.get("via") == "1"
    assert headers.get_all("vIa") == ["1", "2"]
    assert "x-y" in headers
    assert "y" not in headers
    assert headers.get("To") is None
    assert list(headers.items()) == [("Via", "1"), ("From", "f"), ("VIA", "2"), ("X-Y", "z")]


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("a", "Accept-Contact"), ("b", "Referred-By"), ("c", "Content-Type"), ("d", "Request-Disposition"),
        ("e", "Content-Encoding"), ("f", "From"), ("i", "Call-ID"), ("j", "Reject-Contact"), ("k", "Supported"),
        ("l", "Content-Length"), ("m", "Contact"), ("o", "Event"), ("r", "Refer-To"), ("s", "Subject"), ("t", "To"),
        ("u", "Allow-Events"), ("v", "Via"), ("x", "Session-Expires"), ("y", "Identity"),
    ],
)  # fmt: skip
def test_compact_forms_are_the_long_ones(letter, name):
    for written in (letter, letter.upper()):
        headers = Headers([(written, "value")])
        assert headers.get(name) == headers.get(letter) == "value"
        assert list(headers.items()) == [(name, "value")]


def test_fields_are_added_replaced_and_removed():
    headers = Headers([("Via", "1"), ("A", "x"), ("via", "2")])
    headers.prepend("v", "0")
    assert headers.get_all("Via") == ["0", "1", "2"]
    headers.remove_first("VIA")
    assert headers.get_all("Via") == ["1", "2"]
    headers.set("via", "3")
    assert list(headers.items()) == [("via", "3"), ("Accept-Contact", "x")]
    headers.set("New", "n")
    headers.remove("A")
    headers.remove("nothing")
    headers.remove_first("nothing")
    assert list(headers.items()) == [("via", "3"), ("New", "n")]


def test_a_copy_is_on_its_own():
    headers = Headers([("A1", "1")])
    copy = headers.copy()
    copy.set("A1", "2")
    copy.add("B1", "3")
    assert list(headers.items()) == [("A1", "1")]


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        (
            '"Smith, J" <sip:a@b>, <sip:c,d@e;x=","> ;p="q,\\"r"',
            ['"Smith, J" <sip:a@b>', '<sip:c,d@e;x=","> ;p="q,\\"r"'],
        ),
        ('a="\\\\", b', ['a="\\\\"', "b"]),
        (", ,a,,", ["a"]),
        ("", []),
        ("<,>", ["<,>"]),
    ],
)
def test_elements_are_cut_outside_of_quotes_and_brackets(value, elements):
    assert Headers([("Contact", value)]).split("Contact") == elements


def test_elements_of_all_lines_come_in_order():
    assert Headers([("Via", "a, b"), ("v", "c")]).split("via") == ["a", "b", "c"]


def test_comments_hold_no_commas_where_comments_may_stand():
    assert Headers([("Via", 'a (x, (y, z) \\)), b "(," (c')]).split("Via") == ["a", 'b "(," (c']
    assert Headers([("Contact", "sip:a(1@h, sip:b)2@h")]).split("Contact") == ["sip:a(1@h", "sip:b)2@h"]


@pytest.mark.parametrize("value", ['a, "b', "<a, b", '"a\\"', '"\\', '"a" "b'])
def test_what_is_opened_must_be_closed(value):
    with pytest.raises(SipParseError) as error:
        Headers([("Contact", value)]).split("Contact")
    assert error.value.reason == "unbalanced"


def test_lists_and_nesting_have_limits():
    split_outside(",".join("a" * MAX_ELEMENTS), ",")
    with pytest.raises(SipParseError, match="elements"):
        split_outside(",".join("a" * (MAX_ELEMENTS + 1)), ",")
    with pytest.raises(SipParseError, match="elements"):
        Headers([("Via", ",".join("a" * MAX_ELEMENTS)), ("Via", "b")]).split("Via")
    assert without_comments("(" * MAX_NESTING + ")" * MAX_NESTING) == ""
    with pytest.raises(SipParseError, match="deep"):
        without_comments("(" * (MAX_NESTING + 1))
    with pytest.raises(SipParseError, match="comments"):
        without_comments("()" * (MAX_ELEMENTS + 1))


def test_parameters_are_read_with_and_without_quotes():
    params = parse_params(' a ; b = c ; d="x;y, \\"z\\"";e= ;f=[2001:db8::1];g=h=')
    assert list(params.items()) == [
        ("a", None), ("b", "c"), ("d", 'x;y, "z"'), ("e", ""), ("f", "[2001:db8::1]"), ("g", "h="),
    ]  # fmt: skip
    assert params.get("A") == ""
    assert params.get("z") is None
    assert params.get("D") == 'x;y, "z"'


@pytest.mark.parametrize("text", ["", ";", "a;", "a;;b", "=a", "a=b c", 'a="b', 'a="b"c', "a<b", "a,b", "a b", "ä=1"])
def test_what_is_no_parameter_is_refused(text):
    with pytest.raises(SipParseError) as error:
        parse_params(text)
    assert error.value.reason == "parameter"


def test_parameters_have_a_limit():
    assert len(parse_params(";".join("a" * MAX_PARAMS))) == MAX_PARAMS
    with pytest.raises(SipParseError) as error:
        parse_params(";".join("a" * (MAX_PARAMS + 1)))
    assert error.value.reason == "too_many_parameters"


def test_a_quoted_value_stays_quoted_and_a_bare_one_bare():
    for text in (';a=b;c="d";e="";f', ';+sip.instance="<urn:uuid:1>"', ';x="\\"\\\\\\\x00"', ";r=[::1];s=a/b@c"):
        assert str(parse_params(text[1:])) == text


def test_values_get_quotes_where_they_need_them():
    assert (
        str(Params([("a", "b c"), ("d", ""), ("e", 'f"'), ("g", "z9hG4bK.-1")]))
        == ';a="b c";d="";e="f\\"";g=z9hG4bK.-1'
    )


def test_parameters_are_set_in_place_and_taken_away():
    params = Params([("A", "1"), ("b", None)])
    assert str(params.with_("a", "2").with_("c", None)) == ";A=2;b;c"
    assert str(params.without("B")) == ";A=1"
    assert "B" in params
    assert params == Params([("A", "1"), ("b", None)])
