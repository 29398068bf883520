"""Which server is a part of the cascade, and how: what an operator sets."""

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from pydantic_core import Url

from model_worker.duplex.remote.effects import Request


class PartSettings(BaseModel):
    """One server. ``url``: with scheme and path, as docs/ENGINES.md has it for each flavour."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    flavour: str = ""
    """Which protocol it speaks; empty: the first of those that the part knows."""
    model: str = ""
    voice: str = ""
    """Of a line that names none; only where the part is a voice."""
    key: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        url = Url(text)
        if url.scheme not in ("ws", "wss", "http", "https", "tcp") or not url.host:
            raise ValueError("expected ws://, wss://, http://, https:// or tcp:// and a host")
        if url.username is not None or url.password is not None or url.fragment:
            raise ValueError("a key belongs into a file of its own, not into the URL")
        return text

    def expect_scheme(self, *schemes: str) -> None:
        """Raises ValueError where the flavour is not reached by the URL's scheme."""
        if Url(self.url).scheme not in schemes:
            raise ValueError(f"expected {' or '.join(f'{scheme}://' for scheme in schemes)} of this flavour")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The key as a bearer token (RFC 6750)."""
        return () if self.key is None else (("Authorization", f"Bearer {self.key.get_secret_value()}"),)

    def request(self) -> Request:
        return Request(self.url, self.headers)
