"""One-time tokens that tie a media stream to the call its webhook answered.

Signatures carry neither time nor nonce, so they can be replayed. The webhook therefore puts a
token into a ``<Parameter>`` (Twilio strips query strings from stream URLs): bound to the
CallSid, valid for 60 s, and spent at the first ``start``, on whichever gateway that arrives.
"""

import hashlib
import hmac
from dataclasses import dataclass

TOKEN_TTL_S = 60
_MAX_TOKEN_CHARS = 256


class InvalidTokenError(Exception):
    """The token is not ours, not this call's, or too old. The text never holds the token."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a valid token says."""

    nonce: str
    expires_unix_s: int


class TokenMint:
    """Makes and checks tokens with a key derived from the account's auth token, shared by all gateways."""

    def __init__(self, auth_token: str) -> None:
        self._key = hmac.digest(auth_token.encode(), b"twowire media token v1", "sha256")

    def mint(self, call_sid: str, nonce: str, now_unix_s: float) -> str:
        """``nonce`` is fresh randomness of the caller's, without dots."""
        expires_unix_s = int(now_unix_s) + TOKEN_TTL_S
        return f"{expires_unix_s}.{nonce}.{self._mac(call_sid, nonce, expires_unix_s)}"

    def check(self, token: str, call_sid: str, now_unix_s: float) -> TokenClaims:
        """Raises InvalidTokenError. Whether the nonce was spent before is not known here."""
        parts = token.split(".") if len(token) <= _MAX_TOKEN_CHARS and token.isascii() else []
        if len(parts) != 3 or not parts[0].isdecimal():
            raise InvalidTokenError("malformed token")
        expires_unix_s, nonce, mac = int(parts[0]), parts[1], parts[2]
        if not hmac.compare_digest(mac, self._mac(call_sid, nonce, expires_unix_s)):
            raise InvalidTokenError("token was not made for this call")
        if now_unix_s > expires_unix_s:
            raise InvalidTokenError(f"token expired {now_unix_s - expires_unix_s:.0f} s ago")
        return TokenClaims(nonce, expires_unix_s)

    def _mac(self, call_sid: str, nonce: str, expires_unix_s: int) -> str:
        text = f"{call_sid}\0{nonce}\0{expires_unix_s}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
