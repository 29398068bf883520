"""The gateway's configuration: read once, from ``TWOWIRE_*`` in the environment, passed down in pieces."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wire.logs import LogFormat
from wire.settings import ENV_PREFIX, load_settings, process_id

MIN_SECRET_CHARS = 16


class GatewayConfig(BaseSettings):
    """Every setting of ``twowire serve``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65_535, description="port for HTTP and media")
    public_url: str = Field(
        "", description="address under which Twilio reaches this gateway, e.g. https://voice.example.com"
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="the bus")
    gateway_id: str = Field(default_factory=process_id, description="unique name of this process")
    twilio_auth_token: SecretStr = Field(description="auth token of the Twilio account; requests are checked with it")
    api_token: SecretStr = Field(description="bearer token of /api")
    sip_file: Path | None = Field(None, description="file that opens the SIP door: listeners, trunks (docs/SIP.md)")
    webrtc_file: Path | None = Field(None, description="file that opens the browser door (docs/WEBRTC.md)")
    console_token: SecretStr | None = Field(None, description="opens the operator console; no console without one")
    agent: str = Field("front-desk", description="agent that answers")
    zone: str = Field("", description="where this gateway runs; workers of the same zone come first")
    replay_s: float = Field(
        60.0, ge=0, le=120, description="how much of a call is kept in memory for another worker to take it over"
    )
    language: str = Field("", description="language of the callers; workers without it are not asked; empty: any")
    line_engine: str = Field("", description="engine that serves calls; empty: any that plays the agent")
    fallback_file: Path | None = Field(
        None, description="file that says what happens to callers for whom there is no slot (docs/FALLBACK.md)"
    )
    drain_limit_s: float = Field(3_600.0, ge=0, description="how long live calls may go on after SIGTERM")
    farewell: str = Field(
        "We have to end this call now. Please call again.",
        max_length=200,
        description="the agent's last words in calls that are live at the drain limit, where the engine can say them",
    )
    hold_clip: Path | None = Field(
        None, description="WAV file for callers whom nobody serves for two seconds; default: one moment, please"
    )
    max_call_s: float = Field(3_600.0, gt=0, description="longest call")
    never_speaks_s: float = Field(
        20.0, ge=0, description="a call fails whose engine says nothing for this long after the caller; 0: never"
    )
    longest_reply_s: float = Field(180.0, gt=0, description="a turn of the agent is ended when it is longer")
    media_timeout_s: float = Field(4.5, gt=0, description="a leg that sends no audio for this long is dead")
    decision_log: Path | None = Field(None, description="file that gets one JSON line per decision")
    call_log: Path | None = Field(None, description="file that gets one JSON line per call, with callers' numbers")
    archive_retention_s: float = Field(
        7 * 86_400.0, ge=0, description="how long past calls, with their words, are kept on the bus; 0: not at all"
    )
    shadow_engine: str = Field("", description="a second engine that hears the same callers, and is not heard")
    shadow_share: float = Field(1.0, ge=0, le=1, description="share of the calls to which it listens")
    record_calls_s: float = Field(
        0.0,
        ge=0,
        le=30 * 86_400,
        description="keep what workers hear of each call this long, to run it again: callers' voices; 0: not at all",
    )
    echo_guard: bool = Field(
        True, description="take the agent's echo out of phone calls that have one; needs the extra `echo`"
    )
    recording: bool = Field(False, description="record every call; tell callers so, where the law asks for it")
    recording_dir: Path | None = Field(None, description="directory of the recordings, stereo WAV files")
    log_level: str = Field("info", description="debug, info, warning or error")
    log_format: LogFormat = Field("console", description="console or json")

    @field_validator("public_url")
    @classmethod
    def _no_path(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with http:// or https://")
        if "/" in url.rstrip("/").partition("://")[2]:
            raise ValueError("expected an address without a path")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _fits_together(self) -> "GatewayConfig":
        if not self.public_url and self.host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
            raise ValueError("set TWOWIRE_PUBLIC_URL: how does Twilio reach a gateway that listens on every address?")
        if self.recording and self.recording_dir is None:
            raise ValueError("set TWOWIRE_RECORDING_DIR: where are recordings to be kept?")
        return self

    @field_validator("twilio_auth_token", "api_token", "console_token")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < MIN_SECRET_CHARS:
            raise ValueError(f"expected at least {MIN_SECRET_CHARS} characters")
        return secret

    @property
    def base_url(self) -> str:
        """What Twilio signs and is told to call back: the public address, else where we listen."""
        return self.public_url or f"http://{self.host}:{self.port}"


def load_config(**overrides: object) -> GatewayConfig:
    """Read the environment; ``overrides`` are options of the command line. Raises ConfigError."""
    return load_settings(GatewayConfig, overrides)
