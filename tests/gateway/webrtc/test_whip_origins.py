"""Which pages may speak to us."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.web.origins import Origins

ORIGINS = Origins("https://voice.example.com", ["https://shop.example.com"])


def request(host: str, origin: str = "", site: str = "") -> web.Request:
    headers = {"Host": host}
    if origin:
        headers["Origin"] = origin
    if site:
        headers["Sec-Fetch-Site"] = site
    return make_mocked_request("GET", "/", headers=headers)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://voice.example.com", "voice.example.com"),
        ("https://voice.example.com", "10.0.0.7:8080"),  # behind a proxy that writes its own host
        ("https://shop.example.com", "voice.example.com"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://192.168.1.5", "192.168.1.5"),
    ],
)
def test_our_own_pages_and_the_listed_ones_may(origin, host):
    assert ORIGINS.admits(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "voice.example.com"),
        ("http://voice.example.com", "voice.example.com:8080"),
        ("https://voice.example.com.evil.example", "voice.example.com"),
        ("https://voice.example.com:444", "voice.example.com"),
        ("http://evil.example:8080", "evil.example:8080"),  # a name of theirs that points at us
        ("http://localhost:3000", "localhost:8080"),
        ("https://shop.example.com/", "voice.example.com"),
        ("null", "voice.example.com"),
        ("file://", "voice.example.com"),
        ("https://[", "voice.example.com"),
        ("http://localhost:99999", "localhost:99999"),
        ("x", "x"),
        ("", ""),
    ],
)
def test_all_others_may_not(origin, host):
    assert not ORIGINS.admits(origin, host)


def test_who_is_no_browser_tells_no_origin():
    assert ORIGINS.check(request("voice.example.com")) == ""
    with pytest.raises(web.HTTPForbidden):
        ORIGINS.check(request("voice.example.com", "null"))


def test_a_page_of_ours_is_known_by_host_and_site():
    assert ORIGINS.is_own_page(request("voice.example.com", site="same-origin"))
    assert ORIGINS.is_own_page(request("localhost:8080"))
    assert ORIGINS.is_own_page(request("localhost:8080", "http://localhost:8080", "same-origin"))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_page_of_others_is_known_by_its_site(site):
    assert not ORIGINS.is_own_page(request("voice.example.com", site=site))


def test_a_page_under_a_strange_name_is_not_ours():
    assert not ORIGINS.is_own_page(request("evil.example", site="same-origin"))
    assert not ORIGINS.is_own_page(request("voice.example.com", "https://shop.example.com", "same-origin"))
