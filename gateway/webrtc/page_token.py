"""Short-lived tokens that let a page begin one browser call.

Whoever serves the page asks for one with the API's bearer token and puts it into the page. It says when it ends, which
agent answers and, where wanted, from which origin it may be used; a page cannot change any of that.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

MAX_TOKEN_CHARS = 1_024

_DOMAIN = b"twowire page token v1\0"  # so that no other signature of the same key passes for one


class BadTokenError(Exception):
    """The token is not ours, too old, or made for another origin. ``reason`` is a metric label of few values."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PageClaims:
    """What a token says. No ``agent`` is the gateway's own; no ``origin`` is any that the gateway allows."""

    expires_unix_s: int
    nonce: str
    """Fresh chance, for logs and TURN user names to tell one page from another."""
    agent: str = ""
    origin: str = ""


def sign(key: bytes, claims: PageClaims) -> str:
    """The token that says so."""
    content = json.dumps([claims.expires_unix_s, claims.nonce, claims.agent, claims.origin], separators=(",", ":"))
    payload = urlsafe_b64encode(content.encode()).rstrip(b"=")
    return f"{payload.decode()}.{_signature(key, payload)}"


def check(key: bytes, token: str, origin: str, now_unix_s: float) -> PageClaims:
    """What a token says that is used now by a page of ``origin`` (empty: none was told). Raises BadTokenError."""
    payload, dot, signature = token.partition(".")
    if not dot or len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise BadTokenError("malformed_token", "expected a page token, got something else")
    if not hmac.compare_digest(signature, _signature(key, payload.encode())):
        raise BadTokenError("wrong_token", "expected a page token of this gateway, got another one")
    claims = _claims(payload)
    if now_unix_s >= claims.expires_unix_s:
        late_s = now_unix_s - claims.expires_unix_s
        raise BadTokenError("expired_token", f"expected a token that is still good, got one over since {late_s:.0f} s")
    if claims.origin and claims.origin != origin:
        raise BadTokenError("wrong_origin", f"expected to be called from {claims.origin}, got another origin")
    return claims


def _signature(key: bytes, payload: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(key, _DOMAIN + payload, "sha256")).rstrip(b"=").decode()


def _claims(payload: str) -> PageClaims:
    """Signed, so written by us; but maybe by another version of us."""
    try:
        content = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires_unix_s, nonce, agent, origin = content
    except (Base64Error, ValueError, TypeError):
        raise BadTokenError("malformed_token", "expected the claims of a page token, got something else") from None
    if not (isinstance(expires_unix_s, int) and all(isinstance(text, str) for text in (nonce, agent, origin))):
        raise BadTokenError("malformed_token", "expected the claims of a page token, got others")
    return PageClaims(expires_unix_s, nonce, agent, origin)
