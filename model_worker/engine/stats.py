"""What an engine loop tells about itself."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from model_worker.session import Tally
from wire.ids import CallId


class Failure(StrEnum):
    """Why a call was refused or given up: the ``reason`` of its ``CallFailed``."""

    UNKNOWN_AGENT = "unknown_agent"
    NO_SLOT = "no_slot"
    ENGINE_FAULT = "engine_fault"
    GAP = "gap"
    """More chunks were lost in a row than silence can stand for."""
    OVERLOAD = "overload"
    """The engine fell too far behind the caller."""
    ABANDONED = "abandoned"
    """Nothing came from its gateway any more."""
    WORKER_STOPPED = "worker_stopped"


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception of the engine that cost one call; for the log."""

    call: CallId
    stage: str
    error: Exception


class EngineStep(NamedTuple):
    """One call of ``Engine.step``. ``chunks`` is 0 where it only went on with what it had."""

    chunks: int
    seconds: float


@dataclass(slots=True)
class LoopStats:
    """Plain counts since start. Written by the engine's thread only, so any thread may read them."""

    open_calls: int = 0
    backlog_chunks: int = 0
    decided_chunks: int = 0
    retried_steps: int = 0
    dropped_speech: int = 0
    """Pieces of speech for a turn that was over."""
    ignored_says: int = 0
    """Words of an operator that the engine has no way to say."""
    tally: Tally = field(default_factory=Tally)
    silent_turns: int = 0
    """Turns that ended with less than a tenth of a second of speech, or were stopped before there was any."""
    context_used: int = 0
    """Positions of the model's context that open calls fill; 0 where the engine keeps none."""
    context_room: int = 0
    """How many there is memory for."""
    taken_over: int = 0
    """Calls that another worker served before."""
    diverged_turns: int = 0
    """Turns that the engine did not say again as it did in the worker before, and that ended there."""
    bad_snapshots: int = 0
    """Snapshots that could not be restored; those calls go on from what was said."""
    failures: dict[Failure, int] = field(default_factory=lambda: dict.fromkeys(Failure, 0))

    @property
    def context_share(self) -> float | None:
        """How full the memory for contexts is, 0 to 1; None where the engine keeps none."""
        return self.context_used / self.context_room if self.context_room else None
