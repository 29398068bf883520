"""Who may call: signatures, one-time tokens, and what TwiML lets through."""

import string
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from gateway.twilio import twiml
from gateway.twilio.signature import SignatureChecker
from gateway.twilio.tokens import TOKEN_TTL_S, InvalidTokenError, TokenMint

AUTH_TOKEN = "an-auth-token-of-32-characters-xx"
URL = "https://voice.example.com/twilio/voice"
PARAMS = {"CallSid": "CA1", "From": "+15550100", "To": "+15550199"}
CHECKER = SignatureChecker(AUTH_TOKEN)


def sign(url: str, params: dict[str, str] | None = None, token: str = AUTH_TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, params or {}))


def test_what_twilio_signed_is_accepted():
    assert CHECKER.accepts(URL, PARAMS, sign(URL, PARAMS))


@pytest.mark.parametrize("signed", ["wss://voice.example.com/m", "wss://voice.example.com:443/m"])
def test_the_upgrade_is_accepted_with_and_without_the_default_port(signed: str):
    assert CHECKER.accepts("wss://voice.example.com/m", {}, sign(signed))


@pytest.mark.parametrize(
    ("url", "params", "signature"),
    [
        (URL, PARAMS, None),
        (URL, PARAMS, ""),
        (URL, PARAMS, "A" * 28),
        (URL, PARAMS, "ü" * 28),
        (URL, PARAMS, sign(URL, PARAMS) + "="),
        (URL, PARAMS, sign(URL, PARAMS, "another-auth-token-of-the-account")),
        (URL, {**PARAMS, "From": "+15550666"}, sign(URL, PARAMS)),
        (URL, {}, sign(URL, PARAMS)),
        (URL + "?x=1", PARAMS, sign(URL, PARAMS)),
        ("http" + URL[5:], PARAMS, sign(URL, PARAMS)),
        (URL.replace("example.com", "evil.example"), PARAMS, sign(URL, PARAMS)),
        ("https://[::1/x", {}, sign(URL)),
        ("https://h:99999999/x", {}, sign(URL)),
        ("https://h/\ud800", {}, sign(URL)),
        (URL, {"a": 5}, sign(URL)),
    ],
)
def test_everything_else_is_refused_without_an_exception(url, params, signature):
    assert CHECKER.accepts(url, params, signature) is False


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.text(max_size=8)), st.text(max_size=40))
def test_no_input_raises(url: str, params: dict[str, str], signature: str):
    assert CHECKER.accepts(url, params, signature) is False


MINT = TokenMint(AUTH_TOKEN)
TOKEN = MINT.mint("CA1", "nonce", now_unix_s=1_000.5)


def test_a_token_opens_its_call_within_a_minute():
    assert MINT.check(TOKEN, "CA1", 1_000 + TOKEN_TTL_S).nonce == "nonce"


@pytest.mark.parametrize(
    ("token", "call_sid", "now"),
    [
        (TOKEN, "CA2", 1_001),
        (TOKEN, "CA1", 1_000 + TOKEN_TTL_S + 1),
        (TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"), "CA1", 1_001),
        ("9" + TOKEN, "CA1", 1_001),
        (TOKEN.replace("nonce", "nonse"), "CA1", 1_001),
        (TokenMint("another-auth-token-of-the-account").mint("CA1", "n", 1_000), "CA1", 1_001),
        ("", "CA1", 1_001),
        ("..", "CA1", 1_001),
        ("1.2", "CA1", 1_001),
        ("²." + TOKEN, "CA1", 1_001),
        ("1" * 5_000, "CA1", 1_001),
    ],
)
def test_any_other_token_is_refused(token: str, call_sid: str, now: float):
    with pytest.raises(InvalidTokenError):
        MINT.check(token, call_sid, now)


@given(st.text(max_size=300), st.text(max_size=40))
def test_no_text_is_a_token_and_none_raises_anything_else(token: str, call_sid: str):
    with pytest.raises(InvalidTokenError):
        MINT.check(token, call_sid, 0)


def test_the_answer_carries_the_token_as_a_parameter_not_in_the_url():
    root = ET.fromstring(twiml.connect_stream("wss://h/twilio/media", "a.b.c", "https://h/twilio/after"))
    stream = root.find("./Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://h/twilio/media"
    assert root.find("./Connect").get("action") == "https://h/twilio/after"  # type: ignore[union-attr]
    parameter = stream.find("Parameter")
    assert parameter is not None
    assert (parameter.get("name"), parameter.get("value")) == ("token", "a.b.c")


def test_a_refused_call_is_rejected_before_it_is_answered():
    assert ET.fromstring(twiml.reject_busy()).find("Reject").get("reason") == "busy"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("action", "verbs"),
    [
        ("hangup", ["Hangup"]),
        ("transfer", ["Dial", "Hangup"]),
        ("voicemail", ["Record", "Hangup"]),
        ("failed", ["Say", "Hangup"]),
        ("something new", ["Hangup"]),
    ],
)
def test_what_comes_after_the_agent(action: str, verbs: list[str]):
    root = ET.fromstring(twiml.after_call(action, {"to": "+15550123"}))
    assert [element.tag for element in root] == verbs


@given(st.text(string.printable.replace("\x0b", "").replace("\x0c", "")))
def test_no_number_can_add_a_verb(number: str):
    root = ET.fromstring(twiml.after_call("transfer", {"to": number}))
    assert [element.tag for element in root] == ["Dial", "Hangup"]
    assert len(list(root.iterfind("./Dial/*"))) == 1
