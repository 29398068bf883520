"""The worker's configuration: read once, from ``TWOWIRE_*`` in the environment, passed down in pieces."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from wire.ids import WorkerId
from wire.logs import LogFormat
from wire.settings import ENV_PREFIX, load_settings, process_id


def _worker_id() -> WorkerId:
    return WorkerId(process_id())


class WorkerConfig(BaseSettings):
    """Every setting of ``twowire worker``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", description="the bus")
    worker_id: WorkerId = Field(default_factory=_worker_id, min_length=1, description="unique name of this process")
    engine: str = Field(default="receptionist", description="which engine decides; `twowire engines` lists them")
    zone: str = Field(default="", description="where this worker runs; gateways of the same zone come to it first")
    slots: int | None = Field(default=None, ge=1, description="calls at once; default: what the engine can carry")
    max_batch: int | None = Field(default=None, ge=1, description="calls in one step of the engine; default: all slots")
    agents_dir: Path | None = Field(
        default=None, description="directory of agent files; default: those that come along"
    )
    script: Path | None = Field(default=None, description="script of the scripted engine; default: the load test's")
    model: Path | None = Field(default=None, description="folder of the model, as `twowire model convert` writes it")
    accept_model_licence: str = Field(
        default="", description="name of the model's licence, where it wants to be acknowledged: qwen-research"
    )
    device: str = Field(default="auto", description="device of the model: auto, cpu, cuda or cuda:N")
    model_dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="numbers of the model; auto: bfloat16 on a GPU, float32 on a CPU"
    )
    context_tokens: int = Field(
        default=2_048,
        ge=512,
        le=32_768,
        description="what the model remembers of a call, 32.5 a second; its published code goes to 2048",
    )
    speak_from: float = Field(default=0.5, gt=0, lt=1, description="p(speak) of the model from which it speaks")
    speak_bias: float = Field(default=0.0, ge=-50, le=50, description="added to the logit of speaking before")
    model_judges: bool = Field(
        default=False, description="p(speak) of what the caller says over the voice decides who has the floor"
    )
    server_url: str = Field(default="", description="server of an engine that is a server's, with scheme and path")
    server_flavour: str = Field(default="", description="which protocol it speaks, where the engine knows several")
    server_model: str = Field(default="", description="name of the model there; empty: the server's choice")
    server_second_model: str = Field(
        default="",
        description="a model beside it, for what the first does not do (docs/ENGINES.md); empty: the usual one",
    )
    server_key_file: Path | None = Field(default=None, description="file that holds the key for it, one line")
    server_audio: Literal["pcm", "g711"] = Field(
        default="pcm", description="g711: telephone octets cross as they are, where the server takes them"
    )
    server_voice_file: Path | None = Field(
        default=None, description="WAV of a voice to speak with, where the model copies one: 16 kHz, 16 bit, mono"
    )
    answers_url: str = Field(
        default="", description="OpenAI-compatible server that finds the words, with version: http://127.0.0.1:8000/v1"
    )
    answers_model: str = Field(default="", description="name of the chat model there")
    answers_key_file: Path | None = Field(default=None, description="file that holds the key for it, one line")
    answers_max_tokens: int = Field(default=200, ge=1, description="longest answer; 200 are a minute of speech")
    recognizer_url: str = Field(default="", description="server that writes down what callers say, for the cascade")
    recognizer_flavour: str = Field(default="", description="which protocol it speaks: vllm, funasr or openai")
    recognizer_model: str = Field(default="", description="name of the model there")
    recognizer_key_file: Path | None = Field(default=None, description="file that holds the key for it, one line")
    voice_url: str = Field(default="", description="server that speaks, for the cascade; default: espeak-ng, here")
    voice_flavour: str = Field(default="", description="which protocol it speaks: speech or wyoming")
    voice_model: str = Field(default="", description="name of the model there")
    voice_name: str = Field(default="", description="its voice, for lines that name none")
    voice_key_file: Path | None = Field(default=None, description="file that holds the key for it, one line")
    metrics_host: str = Field(default="127.0.0.1", description="address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(default=9464, ge=0, le=65_535, description="their port; 0 takes a free one")
    drain_limit_s: float = Field(default=3_600.0, ge=0, description="how long live calls may go on after SIGTERM")
    stall_limit_s: float = Field(default=5.0, gt=0, description="engine without progress for this long: not ready")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = Field(default="console", description="console or json")


def load_worker_config(**overrides: object) -> WorkerConfig:
    """Read the environment; ``overrides`` are options of the command line, None where not given. Raises ConfigError."""
    return load_settings(WorkerConfig, overrides)
