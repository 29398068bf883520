"""Which pages may speak to us: our own, and those of the origins that the configuration lists (CORS)."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

_EXPOSED = "Location, Link, ETag, Accept-Patch"
_ALLOWED_HEADERS = "Authorization, Content-Type, If-Match"
_PREFLIGHT_AGE_S = "600"


class Origins:
    """Judges requests by the origin that their browser tells; who is no browser may leave it out."""

    def __init__(self, base_url: str, allowed: Iterable[str] = ()) -> None:
        """``base_url`` is the address under which our own pages are reached."""
        self._base = _parts(base_url)
        self._allowed = frozenset(allowed)

    def admits(self, origin: str, host: str) -> bool:
        """Whether a page of ``origin`` may call; ``host`` is where its request was sent to."""
        return origin in self._allowed or self._is_own(origin, host)

    def check(self, request: web.Request) -> str:
        """The origin of a request, empty when it tells none. Raises HTTPForbidden for a foreign one."""
        origin = request.headers.get("Origin", "")
        if origin and not self.admits(origin, request.host):
            raise web.HTTPForbidden(text="this origin may not call; list it in allowed_origins\n")
        return origin

    def is_own_page(self, request: web.Request) -> bool:
        """Whether a GET comes from a page of ours: those tell no origin, but browsers tell what kind of page it is."""
        site = request.headers.get("Sec-Fetch-Site", "same-origin")  # only left out where there is no microphone either
        origin = request.headers.get("Origin", "")
        own = self._is_own(origin, request.host) if origin else self._is_our_host(request.host)
        return own and site == "same-origin"

    def headers(self, request: web.Request) -> dict[str, str]:
        """What lets the page read the answer to its request."""
        origin = request.headers.get("Origin", "")
        headers = {"Vary": "Origin"}
        if origin and self.admits(origin, request.host):
            headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
        return headers

    def preflight(self, request: web.Request, methods: str) -> dict[str, str]:
        """What a browser asks before it sends a request of a foreign page. Raises HTTPForbidden."""
        self.check(request)
        return self.headers(request) | {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": _PREFLIGHT_AGE_S,
        }

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            found = _parts(origin)
            asked = _parts(f"{found[0]}://{host}")
        except ValueError:
            return False
        # A proxy in front may speak https where we do not, so of the scheme nothing is asked.
        return found == self._base or (found[1:] == asked[1:] and self._is_our_host(host))

    def _is_our_host(self, host: str) -> bool:
        """Names alone prove nothing: a foreign page can have its own point here (DNS rebinding). Addresses cannot."""
        try:
            name = _parts(f"http://{host}")[1]
        except ValueError:
            return False
        if name in ("localhost", self._base[1]) or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host, port. Raises ValueError when it has none of these."""
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or split.path not in ("", "/"):
        raise ValueError(f"expected an origin, got {url!r}")
    return split.scheme, split.hostname, split.port or (443 if split.scheme == "https" else 80)
