"""The bearer token of ``/api``."""

import hmac

from aiohttp import web


class BearerToken:
    """Compares in constant time."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}".encode()

    def check(self, request: web.Request) -> None:
        """Raises HTTPUnauthorized."""
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            raise web.HTTPUnauthorized(text="bearer token missing or wrong\n", headers={"WWW-Authenticate": "Bearer"})
