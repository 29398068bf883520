"""The decision log: one JSON line per chunk of every call, in order."""

from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from gateway.effects import NoteDecision
from gateway.runner.decision_tape import decision_json

log = structlog.get_logger()

FLUSH_EVERY = 256  # lines; a second's worth at a hundred calls


class DecisionLog:
    """Appends to one file. When the disk is full it stops, says so once, and the calls go on."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be opened."""
        self._file: BinaryIO | None = path.open("ab")
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []

    def write(self, note: NoteDecision) -> None:
        if self._file is not None:
            self._lines.append(self._encoder.encode(decision_json(note)) + b"\n")
            if len(self._lines) >= FLUSH_EVERY:
                self._flush()

    def close(self) -> None:
        self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if self._file is None:
            return
        try:
            self._file.write(b"".join(self._lines))
            self._file.flush()
        except OSError as error:
            log.error("decision_log.stopped", error=str(error))
            self._file.close()
            self._file = None
        self._lines.clear()
