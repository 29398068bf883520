"""What a scripted engine does: rules per agent, read from YAML or JSON.

    default:
      rules:
        - {when: chunk, index: 0, say: {ms: 800, text: "good morning"}}
        - {when: digit, digit: "0", say: {ms: 200}, hang_up: true}
        - {when: marker, say: {ms: 400}}

A rule is asked only while the agent is silent; the first that fits speaks.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_worker.dialog.plain_yaml import PlainLoader, PlainYamlError
from wire.messages import Floor


class ScriptError(Exception):
    """The script cannot be used; the text names the place in it and what is wrong there."""


class Delivery(StrEnum):
    """How a turn leaves the engine."""

    AT_ONCE = "at_once"
    """All of it in the step that opens it, with ``turn_done``."""
    PACED = "paced"
    """One chunk's worth per step, as a speaking duplex model does."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Say(_Strict):
    """A tone that stands for a turn of speech; ``text`` is spread evenly over it."""

    ms: int = Field(default=400, gt=0, le=600_000, multiple_of=10)
    tone_hz: float = Field(default=440.0, gt=0, lt=4_000)
    level: int = Field(default=16_000, ge=0, le=32_767)
    text: str = Field(default="", max_length=10_000)
    delivery: Delivery = Delivery.AT_ONCE
    watermark: bool = False
    """Each word has a pitch of its own instead (``watermark_hz``), so that an ear can tell where in the turn it is."""


class _Rule(_Strict):
    say: Say = Say()
    hang_up: bool = False


class OnChunk(_Rule):
    """After one chunk."""

    when: Literal["chunk"]
    index: int = Field(ge=0)


class Periodic(_Rule):
    """After every ``every`` chunks, the first time after chunk ``first``."""

    when: Literal["periodic"]
    every: int = Field(gt=0)
    first: int = Field(default=0, ge=0)


class Marker(_Rule):
    """After a chunk whose last 20 ms are loud: the load test's question."""

    when: Literal["marker"]
    above: int = Field(default=8_000, gt=0, description="mean of |sample|")


class Echo(_Rule):
    """When the caller, who spoke, falls silent for a whole chunk."""

    when: Literal["echo"]
    above: int = Field(default=500, gt=0, description="mean of |sample| that counts as speaking")


class Talk(_Rule):
    """Whenever the agent has been silent for ``rest`` chunks: for barge-in tests."""

    when: Literal["talk"]
    rest: int = Field(default=0, ge=0)


class OnDigit(_Rule):
    """When a key is pressed."""

    when: Literal["digit"]
    digit: str = Field(pattern=r"^[0-9*#A-D]$")


Rule = Annotated[OnChunk | Periodic | Marker | Echo | Talk | OnDigit, Field(discriminator="when")]


class Behaviour(_Strict):
    """One agent: its rules, in order. No rules: it only listens."""

    rules: tuple[Rule, ...] = ()
    judge: dict[str, Floor] = {}
    """What it makes of callers who sound over it, by the number they call from; of others it has no opinion."""


class Slow(_Strict):
    """Some steps that take longer: ``steps`` of them after the first ``after_steps``."""

    after_steps: int = Field(ge=0)
    steps: int = Field(gt=0)
    step_time_s: float = Field(gt=0, le=60)


class Script(_Strict):
    """All agents of a scripted engine. Without a ``default``, other names are unknown agents."""

    chunk_ms: int = Field(default=400, gt=0, le=10_000, multiple_of=10)
    first_chunk_ms: int | None = Field(default=None, gt=0, le=10_000, multiple_of=5)
    sessions: int = Field(default=1_000, gt=0)
    step_time_s: float = Field(default=0.0, ge=0, le=60, description="how long a step takes, whatever its batch")
    step_time_per_call_s: float = Field(default=0.0, ge=0, le=60, description="what each call of the batch adds to it")
    slow: Slow | None = None
    default: Behaviour | None = None
    agents: dict[str, Behaviour] = {}

    @model_validator(mode="after")
    def _someone_to_play(self) -> Self:
        if self.default is None and not self.agents:
            raise ValueError("expected a default or at least one agent")
        return self


LOAD_TEST = Script(default=Behaviour(rules=(Marker(when="marker"),)))
"""Answers a marked chunk at once with 400 ms of tone; the script when none is named."""


def load_script(path: Path) -> Script:
    """Read a script from YAML (JSON is YAML). Raises ScriptError."""
    try:
        return Script.model_validate(PlainLoader(path.read_text(encoding="utf-8")).get_single_data())
    except OSError as error:
        raise ScriptError(f"cannot read script {path}: {error.strerror}") from None
    except PlainYamlError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ScriptError(f"script {path}:{line}: {error.problem}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScriptError(f"script {path} is not YAML: {error}") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'script'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ScriptError(f"script {path}: {faults}") from None
    except RecursionError:
        raise ScriptError(f"script {path} is nested too deeply") from None
