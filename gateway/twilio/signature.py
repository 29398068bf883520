"""Check that a request comes from Twilio: webhooks and the WebSocket upgrade.

Twilio, "Security - Validating requests": base64(HMAC-SHA1(auth token, URL + sorted
parameters)). The URL is the one Twilio was given, so it is built from the configured public
address, never from ``Host``.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator

SIGNATURE_HEADER = "X-Twilio-Signature"
_SHA1_BASE64_CHARS = 28


class SignatureChecker:
    """Accepts what was signed with the account's auth token; everything else is refused."""

    def __init__(self, auth_token: str) -> None:
        self._validator = RequestValidator(auth_token)

    def accepts(self, url: str, params: Mapping[str, str | list[str]], signature: str | None) -> bool:
        """True when ``signature`` fits. Never raises: the package's validator does, on many inputs."""
        if signature is None or len(signature) != _SHA1_BASE64_CHARS:
            return False
        try:
            if self._validator.validate(url, params, signature):
                return True
            # The validator knows the default port of https only; for wss Twilio may sign :443.
            parts = urlsplit(url)
            if parts.scheme == "wss" and parts.port is None:
                with_port = parts._replace(netloc=f"{parts.netloc}:443").geturl()
                return bool(self._validator.validate(with_port, params, signature))
        except Exception:
            return False
        return False
