"""The call log: one JSON line per call, when it is over. It has people's numbers in it."""

import os
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from gateway.runner.call_detail import CallDetail

log = structlog.get_logger()


class CallLog:
    """Appends to one file, that only we can read when it is new. When the disk is full it stops, and says so once."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be opened."""
        self._file: BinaryIO | None = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", 0)
        self._encoder = msgspec.json.Encoder()

    def write(self, detail: CallDetail) -> None:
        """Waits for the disk, so not to be called on the event loop."""
        if self._file is None:
            return
        line = self._encoder.encode(detail.as_json()) + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk took half a line")
        except OSError as error:
            log.error("call_log.stopped", error=str(error))
            self.close()

    def close(self) -> None:
        """Harmless twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
