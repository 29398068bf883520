"""The lock of the console's API: a login, its cookie, and requests only from our own page."""

from time import monotonic

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.web.console_session import SESSION_S, ConsoleSessions, TooManyWrongTokensError
from gateway.web.origins import Origins

log = structlog.get_logger()

COOKIE = "twowire_console"
_PATH = "/console"


class _Login(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=512)


class ConsoleGuard:
    """Lets in who has logged in. Raises what the page can act on: 401, 403, 429."""

    def __init__(self, token: str, base_url: str) -> None:
        self._sessions = ConsoleSessions(token)
        self._origins = Origins(base_url)
        self._https = base_url.startswith("https://")

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/console/login", self._log_in), web.post("/console/logout", self._log_out)]

    def check(self, request: web.Request) -> None:
        """A request that only looks. Raises HTTPUnauthorized."""
        if not self.is_logged_in(request):
            raise web.HTTPUnauthorized(text='{"error": "log in first"}', content_type="application/json")

    def check_own_page(self, request: web.Request) -> None:
        """A request that acts, or opens a socket: besides, only our own page may send it. Raises HTTPForbidden too."""
        if not self._origins.check(request):
            raise web.HTTPForbidden(text='{"error": "no Origin"}', content_type="application/json")
        self.check(request)

    def is_logged_in(self, request: web.Request) -> bool:
        """True while the session of this request's cookie is open; an open socket asks again."""
        return self._sessions.knows(request.cookies.get(COOKIE, ""), monotonic())

    async def _log_in(self, request: web.Request) -> web.Response:
        origin = self._origins.check(request)
        try:
            body = _Login.model_validate_json(await request.read())
        except ValidationError:
            return web.json_response({"error": "expected a JSON object with a token"}, status=422)
        address = request.remote or ""
        try:
            cookie = self._sessions.log_in(body.token, address, monotonic())
        except TooManyWrongTokensError as error:
            headers = {"Retry-After": str(round(error.retry_after_s) + 1)}
            return web.json_response({"error": str(error)}, status=429, headers=headers)
        if cookie is None:
            log.warning("console.wrong_token", address=address)
            return web.json_response({"error": "this is not the token"}, status=401)
        log.info("console.login", address=address)
        response = web.Response(status=204)
        # A browser that came by https, through whatever proxy, must never send the cookie without.
        secure = origin.startswith("https://") if origin else self._https
        response.set_cookie(
            COOKIE, cookie, max_age=round(SESSION_S), path=_PATH, httponly=True, samesite="Strict", secure=secure
        )
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        self._origins.check(request)
        self._sessions.log_out(request.cookies.get(COOKIE, ""))
        response = web.Response(status=204)
        response.del_cookie(COOKIE, path=_PATH)
        return response
