"""The seam under the engine: what does the work of calls, in this process or in vLLM's."""

from collections.abc import Sequence
from typing import Any, Protocol

from model_worker.duplex.audio_interaction.work import Outcome, Work
from model_worker.seams import Pcm


class Nets(Protocol):
    """The nets of one engine with the state of its slots, a call each."""

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position."""

    @property
    def slots(self) -> "Slots | None":
        """The contents of the slots, where they can be had."""

    def encode(self, chunks: Sequence[tuple[int, Pcm]]) -> list[Any]:
        """The vectors of some chunks, each of a slot; those of one slot are in order."""

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Do some work, at most one of each slot; what fails costs its own work only."""

    def forget(self, slot: int) -> None:
        """The call of this slot ended: nothing of it counts for the next one."""

    def evict(self, slot: int, pinned: int, dropped: int, length: int) -> None:
        """Take ``dropped`` positions after the ``pinned`` ones out of a slot that holds ``length``."""


class Slots(Protocol):
    """What ``snapshot`` takes a call from and brings it back to: keys, values and log-mel of a slot."""

    def read(self, slot: int, length: int) -> tuple[Any, Any, Any]:
        """Of a slot that holds ``length`` positions."""

    def write(self, slot: int, keys: Any, values: Any, mel: Any) -> None:
        """What ``read`` gave. Raises ValueError when that is of another model."""
