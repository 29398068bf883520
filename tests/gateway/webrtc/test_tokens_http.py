"""The routes that give a page its token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.config.webrtc import WebRtcConfig
from gateway.web.bearer import BearerToken
from gateway.web.origins import Origins
from gateway.web.tokens import PageTokens
from gateway.webrtc.page_token import check

API_TOKEN = "api-token-of-the-tests"
API = {"Authorization": f"Bearer {API_TOKEN}"}
NOW_UNIX_S = 1_800_000_000.0
SHOP = "https://shop.example.com"


@asynccontextmanager
async def tokens_of(**settings: Any) -> AsyncIterator[tuple[TestClient[Any, Any], WebRtcConfig]]:
    config = WebRtcConfig.model_validate({"allowed_origins": [SHOP]} | settings)
    origins = Origins("https://voice.example.com", config.allowed_origins)
    app = web.Application()
    app.add_routes(PageTokens(config, BearerToken(API_TOKEN), origins, lambda: NOW_UNIX_S).routes())
    async with TestClient(TestServer(app)) as http, asyncio.timeout(20):
        yield http, config


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_the_api_token_buys_a_page_token(body):
    async with tokens_of() as (http, config):
        response = await http.post("/api/page-tokens", headers=API, data=body)
        assert response.status == 201
        content = await response.json()
    assert content["expires_unix_s"] == NOW_UNIX_S + 60
    assert content["ice_servers"] == []
    claims = check(config.token_key, content["token"], "https://any.example", NOW_UNIX_S)
    assert (claims.agent, claims.origin, claims.expires_unix_s) == ("", "", NOW_UNIX_S + 60)
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_token_may_be_narrowed():
    async with tokens_of() as (http, config):
        wish = {"agent": "sales", "ttl_s": 10, "origin": SHOP}
        content = await (await http.post("/api/page-tokens", headers=API, json=wish)).json()
    claims = check(config.token_key, content["token"], SHOP, NOW_UNIX_S)
    assert (claims.agent, claims.origin, claims.expires_unix_s) == ("sales", SHOP, NOW_UNIX_S + 10)


async def test_no_two_tokens_are_the_same():
    async with tokens_of() as (http, _):
        tokens = {(await (await http.post("/api/page-tokens", headers=API)).json())["token"] for _ in range(5)}
    assert len(tokens) == 5


async def test_turn_servers_come_with_credentials(monkeypatch):
    monkeypatch.setenv("TEST_TURN_SECRET", "turn-secret-of-the-tests")
    servers = [
        {"urls": ["stun:stun.example.com"]},
        {"urls": ["turn:turn.example.com"], "secret": {"env": "TEST_TURN_SECRET"}},
    ]
    async with tokens_of(ice_servers=servers, turn_ttl_s=600) as (http, _):
        content = await (await http.post("/api/page-tokens", headers=API)).json()
    stun, turn = content["ice_servers"]
    assert stun == {"urls": ["stun:stun.example.com"]}
    assert turn["urls"] == ["turn:turn.example.com"]
    assert turn["username"].startswith("1800000600:")
    assert turn["credential"]


@pytest.mark.parametrize(
    "body",
    [b"x", b"[]", b'{"agents": "a"}', b'{"ttl_s": 0}', b'{"ttl_s": 3601}', b'{"ttl_s": "9"}', b'{"agent": 7}'],
)
async def test_a_wrong_wish_is_a_400(body):
    async with tokens_of() as (http, _):
        response = await http.post("/api/page-tokens", headers=API, data=body)
        assert response.status == 400
        assert "error" in await response.json()


async def test_a_token_for_an_origin_that_may_not_call_is_refused():
    async with tokens_of() as (http, _):
        response = await http.post("/api/page-tokens", headers=API, json={"origin": "https://evil.example"})
        assert response.status == 400
        assert "allowed_origins" in (await response.json())["error"]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_the_api_token_there_is_none(header):
    async with tokens_of(open_page=True) as (http, _):
        assert (await http.post("/api/page-tokens", headers=header)).status == 401


async def test_our_talk_page_gets_a_token_where_the_line_is_open():
    async with tokens_of(open_page=True) as (http, config):
        response = await http.get("/talk/config.json", headers={"Sec-Fetch-Site": "same-origin"})
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
        content = await response.json()
    assert set(content) == {"whip", "token", "ice_servers"}
    assert content["whip"] == "/whip"
    assert check(config.token_key, content["token"], "", NOW_UNIX_S).agent == ""


async def test_no_page_gets_a_token_where_the_line_is_not_open():
    async with tokens_of() as (http, _):
        response = await http.get("/talk/config.json", headers={"Sec-Fetch-Site": "same-origin"})
        assert response.status == 403


@pytest.mark.parametrize(
    "header",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": SHOP},
        {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_no_foreign_page_gets_a_token(header):
    async with tokens_of(open_page=True) as (http, _):
        assert (await http.get("/talk/config.json", headers=header)).status == 403
