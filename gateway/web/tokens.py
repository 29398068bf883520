"""Page tokens: handed out to whoever has the API's bearer token, and to our own page where the line is open."""

import secrets
from collections.abc import Callable
from time import time
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config.webrtc import IceServer, WebRtcConfig
from gateway.web.bearer import BearerToken
from gateway.web.origins import Origins
from gateway.web.whip import WHIP_PATH
from gateway.webrtc.page_token import PageClaims, sign

TOKENS_PATH = "/api/page-tokens"
TALK_CONFIG_PATH = "/talk/config.json"
MAX_TTL_S = 3_600
_PRIVATE = {"Cache-Control": "no-store"}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    agent: str = Field("", max_length=64)
    ttl_s: int | None = Field(None, ge=1, le=MAX_TTL_S)
    origin: str = Field("", max_length=256)


class PageTokens:
    """The two routes that give a page what it needs to call."""

    def __init__(
        self,
        config: WebRtcConfig,
        token: BearerToken,
        origins: Origins,
        clock: Callable[[], float] = time,
    ) -> None:
        """``clock`` gives wall time."""
        self._config = config
        self._token = token
        self._origins = origins
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.post(TOKENS_PATH, self._post), web.get(TALK_CONFIG_PATH, self._talk)]

    async def _post(self, request: web.Request) -> web.Response:
        self._token.check(request)
        try:
            body = _Body.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            return _refusal(400, "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults))
        if body.origin and not self._origins.admits(body.origin, request.host):
            return _refusal(400, "origin: no page of it may call; list it in allowed_origins")
        ttl_s = self._config.page_token_ttl_s if body.ttl_s is None else body.ttl_s
        token, expires_unix_s, servers = self._sign(ttl_s, body.agent, body.origin)
        content = {"token": token, "expires_unix_s": expires_unix_s, "ice_servers": servers}
        return web.json_response(content, status=201, headers=_PRIVATE)

    async def _talk(self, request: web.Request) -> web.Response:
        if not self._config.open_page:
            return _refusal(403, "this line is not open to everyone; ask for a page token with the API's")
        if not self._origins.is_own_page(request):
            return _refusal(403, "only the talk page of this gateway may ask, under its own address")
        token, _, servers = self._sign(self._config.page_token_ttl_s, "", "")
        content = {"whip": WHIP_PATH, "token": token, "ice_servers": servers}
        return web.json_response(content, headers=_PRIVATE)

    def _sign(self, ttl_s: int, agent: str, origin: str) -> tuple[str, int, list[dict[str, Any]]]:
        now_unix_s = self._clock()
        claims = PageClaims(int(now_unix_s) + ttl_s, secrets.token_hex(8), agent, origin)
        servers = self._config.browser_ice_servers(claims.nonce, now_unix_s)
        return sign(self._config.token_key, claims), claims.expires_unix_s, [_as_json(server) for server in servers]


def _as_json(server: IceServer) -> dict[str, Any]:
    """As ``RTCConfiguration.iceServers`` wants it."""
    if server.username is None:
        return {"urls": list(server.urls)}
    return {"urls": list(server.urls), "username": server.username, "credential": server.credential}


def _place(where: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in where) or "body"


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=_PRIVATE)
