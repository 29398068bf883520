"""The pages: built files out of the package, read once, served from memory under a strict policy."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept, Accept-Encoding",
}
_FOR_EVER = "public, max-age=31536000, immutable"  # a built file has the hash of its content in its name
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
_PACKED = frozenset({"ico", "png", "woff2"})  # pressing them again gains nothing
TALK, CONSOLE, ASSETS = "index.html", "console.html", "assets/"


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    etag: str
    plain: bytes
    pressed: bytes | None


class Pages:
    """The talk page, the console page and what they load, by name; nothing else can be asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """``files``: the built ones by their path, as ``read_static`` gives them."""
        self._files = {name: _file(name, content) for name, content in files.items() if _suffix(name) in _TYPES}

    def routes(self, *, console: bool = True) -> list[web.RouteDef]:
        """Assets and, where there is a console, its page. Routes of ``/console/api`` must come before these."""
        routes = [web.get("/assets/{name}", self._asset)]
        if console:
            routes += [web.get("/console", self._console), web.get("/console/{path:.*}", self._console)]
        return routes

    def talk(self, request: web.Request) -> web.StreamResponse | None:
        """The talk page for a browser; None for who did not ask for a page, ``curl`` for one, or before it is built."""
        if TALK not in self._files or "text/html" not in request.headers.get("Accept", ""):
            return None
        return self._page(request, TALK)

    async def _console(self, request: web.Request) -> web.StreamResponse:
        if request.match_info.get("path", "").partition("/")[0] == "api":
            raise web.HTTPNotFound(text="no such route\n")
        return self._page(request, CONSOLE)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, ASSETS + request.match_info["name"], _FOR_EVER)

    def _page(self, request: web.Request, name: str) -> web.StreamResponse:
        return self._answer(request, name, "no-cache")  # kept, but asked after each time: it names the assets

    def _answer(self, request: web.Request, name: str, cache: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound(text="no such file\n")
        headers = {**_HEADERS, "Cache-Control": cache, "ETag": file.etag}
        if file.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if file.pressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.pressed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.plain, headers=headers)


def read_static() -> dict[str, bytes]:
    """Every built file of the package by its path; empty when the pages were never built."""
    return dict(_walk(resources.files("gateway.web").joinpath("static"), ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    if not folder.is_dir():
        return found
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _file(name: str, content: bytes) -> _File:
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    pressed = None if _suffix(name) in _PACKED else gzip.compress(content, mtime=0)
    return _File(_TYPES[_suffix(name)], etag, content, pressed)


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
