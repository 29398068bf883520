import pytest
from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from twowire.caller.addresses import SIGNATURE_HEADER, Addresses
from twowire.caller.twiml import ConnectStream, TwimlError, Verb, parse_twiml

BASE = "https://voice.example.com/twilio/voice"


def test_the_stream_its_parameters_and_its_action_are_read():
    response = VoiceResponse()
    connect = Connect(action="/twilio/after", method="POST")
    connect.stream(url="wss://voice.example.com/m").parameter(name="token", value="a&b")
    response.append(connect)
    response.hangup()
    read = parse_twiml(str(response).encode(), BASE)
    assert read.stream == ConnectStream(
        "wss://voice.example.com/m", {"token": "a&b"}, "https://voice.example.com/twilio/after"
    )
    assert read.verbs == (Verb("Hangup", {}),)


def test_other_verbs_are_named_for_people():
    response = VoiceResponse()
    dial = Dial(timeout=30)
    dial.number("+15550123")
    response.append(dial)
    response.record(max_length=120)
    response.redirect("next")
    response.reject(reason="busy")
    names = [str(verb) for verb in parse_twiml(str(response).encode(), BASE).verbs]
    assert names == [
        "Dial +15550123",
        "Record maxLength=120",
        "Redirect https://voice.example.com/twilio/next",
        "Reject reason=busy",
    ]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "not XML"),
        (b"<a", "not XML"),
        (b"\xff\xfe<", "not XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><Response/>', "not XML"),
        (b"<html/>", "root element is <html>"),
        (b"<Response>" + b" " * 70_000 + b"</Response>", "expected no more than"),
        (b'<Response><Connect><Stream url="http://x/m"/></Connect></Response>', "has the url 'http://x/m'"),
        (b'<Response><Connect><Stream url="wss://x/m?a=b"/></Connect></Response>', "without a query"),
    ],
)
def test_what_is_not_twiml_is_refused(document: bytes, why: str):
    with pytest.raises(TwimlError, match=why):
        parse_twiml(document, BASE)


def test_requests_are_signed_for_the_public_address_and_sent_to_the_near_one():
    addresses = Addresses("http://127.0.0.1:8080/", "https://voice.example.com", "auth-token-of-the-tests")
    assert addresses.public("/twilio/voice") == BASE
    assert addresses.reach(BASE) == "http://127.0.0.1:8080/twilio/voice"
    assert addresses.reach("wss://voice.example.com/m") == "ws://127.0.0.1:8080/m"
    assert addresses.reach("wss://voice.example.company/m") == "wss://voice.example.company/m"
    header = addresses.signed(BASE, {"CallSid": "CA1"})
    assert len(header[SIGNATURE_HEADER]) == 28
    assert header != addresses.signed("http://127.0.0.1:8080/twilio/voice", {"CallSid": "CA1"})


def test_without_a_public_address_everything_stays_where_it_is():
    addresses = Addresses("http://127.0.0.1:8080", None, "auth-token-of-the-tests")
    assert addresses.reach(addresses.public("/x")) == "http://127.0.0.1:8080/x"
    assert addresses.reach("ws://127.0.0.1:8080/m") == "ws://127.0.0.1:8080/m"
