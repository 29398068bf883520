"""What a call wants of the device next, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wire.ids import CallId


@dataclass(frozen=True, slots=True)
class Listen:
    """Feed ``tokens``, in which ``vectors`` of the audio tower stand at some places, and decide after ``read``."""

    call: CallId
    slot: int
    start: int
    tokens: Sequence[int]
    vectors: Sequence[tuple[int, Any]]
    """(index of the first of its tokens, tensor (10, hidden)) of each chunk."""
    read: Sequence[int]


@dataclass(frozen=True, slots=True)
class Write:
    """Feed ``tokens`` and choose the next one. ``chance`` is from [0, 1), drawn for this place of this reply."""

    call: CallId
    slot: int
    start: int
    tokens: Sequence[int]
    chance: float


Work = Listen | Write


@dataclass(frozen=True, slots=True)
class Decided:
    """Logits of (KEEP_SILENCE, TEXT_BEGIN) after each place that was read."""

    logits: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Written:
    """The token chosen."""

    token: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The device could not do it; of this work only."""

    error: Exception


Outcome = Decided | Written | Failed


class NonFiniteLogitsError(ArithmeticError):
    """The model gave NaN or infinity for a call; its keys are of no use any more."""


class DeviceMemoryError(MemoryError):
    """The device had no memory left for the work of a single call."""
