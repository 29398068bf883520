"""Where a request goes, and which address its signature is over: the two differ behind a proxy."""

from collections.abc import Mapping

from twilio.request_validator import RequestValidator

SIGNATURE_HEADER = "X-Twilio-Signature"


class Addresses:
    """``url`` reaches the gateway; ``public_url`` is what the gateway believes its address to be."""

    def __init__(self, url: str, public_url: str | None, auth_token: str) -> None:
        self._url = url.rstrip("/")
        self._public_url = (public_url or url).rstrip("/")
        self._validator = RequestValidator(auth_token)

    def public(self, path: str) -> str:
        """The public address of a path of the gateway."""
        return self._public_url + path

    def reach(self, public: str) -> str:
        """The address under which this machine reaches a public address of the gateway; others stay."""
        for scheme in ("http", "ws"):
            base = scheme + self._public_url.removeprefix("http")
            if public == base or public.startswith((base + "/", base + "?")):
                return scheme + self._url.removeprefix("http") + public[len(base) :]
        return public

    def signed(self, public: str, params: Mapping[str, str]) -> dict[str, str]:
        """The header that proves a request for ``public`` to come from Twilio."""
        return {SIGNATURE_HEADER: self._validator.compute_signature(public, params)}
