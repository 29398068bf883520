"""Page tokens and TURN credentials: made, checked, and refused."""

import hmac
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webrtc.page_token import BadTokenError, PageClaims, check, sign
from gateway.webrtc.turn_credentials import mint

KEY = b"a key of the tests, long enough."
NOW_UNIX_S = 1_800_000_000.0
CLAIMS = PageClaims(int(NOW_UNIX_S) + 60, "page7", "sales", "https://shop.example.com")


def test_a_token_tells_what_was_signed():
    assert check(KEY, sign(KEY, CLAIMS), CLAIMS.origin, NOW_UNIX_S) == CLAIMS


@given(st.integers(1, 2**40), st.text(max_size=40), st.text(max_size=64))
def test_any_claims_survive(expires_unix_s, nonce, agent):
    claims = PageClaims(expires_unix_s, nonce, agent)
    assert check(KEY, sign(KEY, claims), "https://any.example", 0.0) == claims


def test_a_token_may_be_used_until_it_ends():
    check(KEY, sign(KEY, CLAIMS), CLAIMS.origin, CLAIMS.expires_unix_s - 0.001)
    with pytest.raises(BadTokenError) as caught:
        check(KEY, sign(KEY, CLAIMS), CLAIMS.origin, CLAIMS.expires_unix_s)
    assert caught.value.reason == "expired_token"


@pytest.mark.parametrize("origin", ["https://evil.example", "", "https://shop.example.com:444"])
def test_a_token_bound_to_an_origin_is_good_there_only(origin):
    with pytest.raises(BadTokenError) as caught:
        check(KEY, sign(KEY, CLAIMS), origin, NOW_UNIX_S)
    assert caught.value.reason == "wrong_origin"


def test_another_key_signs_nothing():
    with pytest.raises(BadTokenError) as caught:
        check(b"another key", sign(KEY, CLAIMS), CLAIMS.origin, NOW_UNIX_S)
    assert caught.value.reason == "wrong_token"


def test_a_signature_of_the_key_for_something_else_is_no_token():
    payload = sign(KEY, CLAIMS).partition(".")[0]
    signature = urlsafe_b64encode(hmac.digest(KEY, payload.encode(), "sha256")).rstrip(b"=").decode()
    with pytest.raises(BadTokenError):
        check(KEY, f"{payload}.{signature}", CLAIMS.origin, NOW_UNIX_S)


@given(st.data())
def test_no_changed_token_is_taken(data):
    token = sign(KEY, CLAIMS)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(exclude_characters=token[place]))
    with pytest.raises(BadTokenError):
        check(KEY, token[:place] + other + token[place + 1 :], CLAIMS.origin, NOW_UNIX_S)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text):
    with pytest.raises(BadTokenError):
        check(KEY, text, "", NOW_UNIX_S)


@pytest.mark.parametrize("content", [b"", b"7", b"{}", b"[1,2,3]", b'["1","n","a","o"]', b'[1,2,"a","o"]', b"\xff"])
def test_claims_of_another_version_are_refused(content):
    payload = urlsafe_b64encode(content).rstrip(b"=").decode()
    mac = hmac.digest(KEY, b"twowire page token v1\0" + payload.encode(), "sha256")
    token = f"{payload}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(BadTokenError) as caught:
        check(KEY, token, "", 0.0)
    assert caught.value.reason == "malformed_token"


def test_turn_credentials_are_what_coturn_computes():
    username, password = mint("turn-secret-of-the-tests", "page7", 1_800_003_600)
    assert username == "1800003600:page7"
    # printf 1800003600:page7 | openssl dgst -sha1 -hmac turn-secret-of-the-tests -binary | base64
    assert password == "RmSTeA7MW6a3WoDHoUYQqFB12B4="
