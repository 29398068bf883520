"""The fall-back ladder of a line: one YAML file (``TWOWIRE_FALLBACK_FILE``), docs/FALLBACK.md."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.fallback import Greeting, Ladder, Queue, SmallerEngine, Step, Transfer, Voicemail
from gateway.sip.errors import SipParseError
from gateway.sip.uri import parse_uri
from wire.settings import ConfigError

MAX_FILE_BYTES = 64 * 1_024
_Words = Annotated[str, Field(max_length=500)]
_Url = Annotated[str, Field(max_length=500, pattern=r"^(https?://\S+)?$")]
_Number = Annotated[str, Field(pattern=r"^(\+?[0-9*#]{2,32}|sips?:\S{1,200})$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Engine(_Entry):
    name: str = Field(min_length=1, max_length=64)


class _Greeting(_Entry):
    say: _Words = ""
    play: _Url = ""

    @model_validator(mode="after")
    def _something(self) -> "_Greeting":
        if not self.say and not self.play:
            raise ValueError("expected words to say, or the address of a recording to play")
        return self


class _Queue(_Entry):
    max_wait_s: float = Field(default=120.0, gt=0, le=3_600)
    announce_every_s: float = Field(default=20.0, ge=5, le=120)
    say: _Words = "You are number {place} in the queue."
    sound: _Url = ""


class _Transfer(_Entry):
    to: _Number

    @field_validator("to")
    @classmethod
    def _callable(cls, to: str) -> str:
        if to.startswith(("sip:", "sips:")):
            try:
                parse_uri(to)
            except SipParseError as error:
                raise ValueError(f"expected a sip: or sips: URI, got another: {error.reason}") from None
        return to


class _Voicemail(_Entry):
    say: _Words = "Please leave a message after the tone."
    max_s: int = Field(default=120, ge=5, le=600)


class _Step(_Entry):
    """Exactly one of these."""

    engine: _Engine | None = None
    greeting: _Greeting | None = None
    queue: _Queue | None = None
    transfer: _Transfer | None = None
    voicemail: _Voicemail | None = None

    @model_validator(mode="after")
    def _one(self) -> "_Step":
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"expected one of {', '.join(type(self).model_fields)}, got {', '.join(named) or 'none'}")
        return self

    def value(self) -> Step:
        if self.engine is not None:
            return SmallerEngine(self.engine.name)
        if self.greeting is not None:
            return Greeting(self.greeting.say, self.greeting.play)
        if self.queue is not None:
            return Queue(**self.queue.model_dump())
        if self.transfer is not None:
            return Transfer(self.transfer.to)
        assert self.voicemail is not None, "a step is one of five"
        return Voicemail(self.voicemail.say, self.voicemail.max_s)


class _File(_Entry):
    steps: tuple[_Step, ...] = Field(min_length=1, max_length=10)

    @model_validator(mode="after")
    def _in_order(self) -> "_File":
        if sum(step.queue is not None for step in self.steps) > 1:
            raise ValueError("expected one queue")
        ends = [n for n, step in enumerate(self.steps) if step.voicemail is not None]
        if ends and ends[0] != len(self.steps) - 1:
            raise ValueError("voicemail ends a call: expected it last")
        return self


def load_ladder(path: Path) -> Ladder:
    """Read and check the file. Raises ConfigError with one line per fault."""
    where = f"TWOWIRE_FALLBACK_FILE: {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"TWOWIRE_FALLBACK_FILE: cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{where} is larger than {MAX_FILE_BYTES} bytes")
    try:
        content = yaml.safe_load(data) or {}
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise ConfigError(f"{where} is not YAML: {error}") from None
    try:
        read = _File.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        lines = [f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}" for fault in faults]
        raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from None
    return Ladder(tuple(step.value() for step in read.steps))
