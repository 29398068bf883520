"""Which server an engine reaches, and how: what an operator sets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import Url

from model_worker.duplex.remote.effects import Request


class ServerSettings(BaseModel):
    """One server. ``url``: with scheme and path, as each engine's page in docs/ENGINES.md has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    model: str = ""
    """Its name on the server; empty: the server's only one, or its own choice."""
    second_model: str = ""
    """One beside it, where a session names two: who writes down the caller, who runs tools; empty: the engine's."""
    key: SecretStr | None = None
    sessions: int = Field(default=32, ge=1)
    """How many calls one worker opens there at once."""
    flavour: str = ""
    """Which of several protocols of one family it speaks; empty: the engine's first."""
    audio: Literal["pcm", "g711"] = "pcm"
    """What crosses to a server that takes both: linear sound, or telephone octets as they are."""
    voice: bytes = Field(default=b"", repr=False)
    """Some seconds of the voice that a model is to speak with: int16, little-endian, 16 kHz; empty: the server's."""

    @field_validator("url")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        url = Url(text)
        if url.scheme not in ("ws", "wss", "http", "https") or not url.host:
            raise ValueError("expected ws://, wss://, http:// or https:// and a host")
        if url.username is not None or url.password is not None or url.fragment:
            raise ValueError("a key belongs into a file of its own, not into the URL")
        return text

    def request(
        self, url: str | None = None, headers: tuple[tuple[str, str], ...] = (), subprotocols: tuple[str, ...] = ()
    ) -> Request:
        """A request to the server, or to another ``url`` of it, with the key as a bearer token (RFC 6750)."""
        bearer = () if self.key is None else (("Authorization", f"Bearer {self.key.get_secret_value()}"),)
        return Request(url or self.url, (*bearer, *headers), subprotocols)
