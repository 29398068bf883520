"""The console's sessions: for how long, for whom, and how often one may guess."""

import pytest

from gateway.web.console_session import (
    MAX_SESSIONS,
    SESSION_S,
    WRONG_PER_MINUTE,
    ConsoleSessions,
    TooManyWrongTokensError,
)

TOKEN = "the-right-token-of-the-tests"
HOME = "192.0.2.7"


def cookie_of(sessions: ConsoleSessions, now: float = 0.0) -> str:
    cookie = sessions.log_in(TOKEN, HOME, now)
    assert cookie is not None
    return cookie


def test_a_session_lasts_a_shift():
    sessions = ConsoleSessions(TOKEN)
    cookie = cookie_of(sessions)
    assert sessions.knows(cookie, SESSION_S - 1)
    assert not sessions.knows(cookie, SESSION_S)


def test_every_login_has_a_cookie_of_its_own_that_nobody_guesses():
    sessions = ConsoleSessions(TOKEN)
    cookies = {cookie_of(sessions) for _ in range(100)}
    assert len(cookies) == 100
    assert min(map(len, cookies)) >= 43  # 256 bits


@pytest.mark.parametrize("cookie", ["", "x", "\udcff", TOKEN])
def test_what_is_no_cookie_of_ours_opens_nothing(cookie: str):
    sessions = ConsoleSessions(TOKEN)
    cookie_of(sessions)
    assert not sessions.knows(cookie, 1.0)
    sessions.log_out(cookie)


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\udcff"])
def test_only_the_whole_token_opens(token: str):
    assert ConsoleSessions(TOKEN).log_in(token, HOME, 0.0) is None


def test_who_logged_out_is_out_and_the_others_are_in():
    sessions = ConsoleSessions(TOKEN)
    mine, theirs = cookie_of(sessions), cookie_of(sessions)
    sessions.log_out(mine)
    assert not sessions.knows(mine, 1.0)
    assert sessions.knows(theirs, 1.0)


def test_a_guesser_waits_until_his_oldest_guess_is_a_minute_old():
    sessions = ConsoleSessions(TOKEN)
    for second in range(WRONG_PER_MINUTE):
        assert sessions.log_in("wrong", HOME, float(second)) is None
    with pytest.raises(TooManyWrongTokensError) as refused:
        sessions.log_in(TOKEN, HOME, 10.0)
    assert refused.value.retry_after_s == 50.0
    assert sessions.log_in(TOKEN, HOME, 60.0) is not None


def test_right_tokens_are_not_counted():
    sessions = ConsoleSessions(TOKEN)
    assert all(sessions.log_in(TOKEN, HOME, 0.0) for _ in range(20))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
        ("", "192.0.2.7", False),
    ],
)
def test_guesses_count_against_one_subscriber(one: str, other: str, same: bool):
    sessions = ConsoleSessions(TOKEN)
    for _ in range(WRONG_PER_MINUTE):
        sessions.log_in("wrong", one, 0.0)
    if same:
        with pytest.raises(TooManyWrongTokensError):
            sessions.log_in(TOKEN, other, 1.0)
    else:
        assert sessions.log_in(TOKEN, other, 1.0) is not None


def test_sessions_are_bounded_and_the_oldest_goes():
    sessions = ConsoleSessions(TOKEN)
    cookies = [cookie_of(sessions) for _ in range(MAX_SESSIONS + 1)]
    assert not sessions.knows(cookies[0], 1.0)
    assert sessions.knows(cookies[1], 1.0)


def test_a_guesser_with_many_addresses_fills_nothing():
    sessions = ConsoleSessions(TOKEN)
    for number in range(10_000):
        sessions.log_in("wrong", f"10.0.{number >> 8}.{number & 255}", 0.0)
    assert len(sessions._wrong) == 4_096
