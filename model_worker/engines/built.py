"""What making an engine gives."""

from collections.abc import Callable
from dataclasses import dataclass

from model_worker.seams import Engine


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """An engine, the agents it plays (none: any), and how to let go of it."""

    engine: Engine
    agents: tuple[str, ...] = ()
    shutdown: Callable[[], None] = lambda: None
