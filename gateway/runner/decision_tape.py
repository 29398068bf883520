"""The decisions of one call, packed: an hour of them takes a third of a megabyte and no work of the collector."""

import math
import struct
from collections.abc import Iterator
from typing import Any

from gateway.effects import NoteDecision
from wire.messages import DecisionKind

MAX_DECISIONS = 9_000  # one hour of 0.4 s chunks; the oldest go first
_RECORD = struct.Struct("<IBIIfffffd")
_KINDS = tuple(DecisionKind)
_FIELDS = ("index", "kind", "turn", "epoch", "p_speak", "age_s", "worker_age_s", "queue_s", "step_s", "at_s")


class DecisionTape:
    """Appends, and reads back with durations to about seven digits."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def __len__(self) -> int:
        return len(self._packed) // _RECORD.size

    def append(self, note: NoteDecision) -> None:
        self._packed += _pack(note)
        if len(self._packed) > MAX_DECISIONS * _RECORD.size:
            del self._packed[: _RECORD.size]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """As the API shows them, oldest first: those that there are now, however long the reader takes."""
        return map(_show, _RECORD.iter_unpack(bytes(self._packed)))


def decision_json(note: NoteDecision) -> dict[str, Any]:
    """One record of the decision log."""
    return {"call": note.decision.call} | _show(_RECORD.unpack(_pack(note)))


def _pack(note: NoteDecision) -> bytes:
    decision = note.decision
    return _RECORD.pack(
        decision.index,
        _KINDS.index(decision.kind),
        decision.turn,
        decision.epoch,
        math.nan if decision.p_speak is None else decision.p_speak,
        note.latency_s,
        decision.chunk_age_s,
        decision.queue_s,
        decision.step_s,
        note.at_s,
    )


def _show(record: tuple[Any, ...]) -> dict[str, Any]:
    shown = dict(zip(_FIELDS, record, strict=True))
    shown["kind"] = _KINDS[shown["kind"]].value
    for name in _FIELDS[4:]:
        shown[name] = None if math.isnan(shown[name]) else round(shown[name], 6)
    return shown
