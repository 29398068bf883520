"""A call to take away: its test case, a ZIP with all that is known of it."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from gateway.runner.story import Event

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same call gives the same file


def write_test_case(call: dict[str, Any], events: Iterable[Event], recording: Path | None) -> IO[bytes]:
    """Build the ZIP in a file without a name; the caller closes it. Slow: not for the event loop.

    ``call.json`` is summary and detail, ``events.json`` the story, ``decisions.jsonl`` its decisions
    in the order of their chunks, ``audio.wav`` the recording where there is one. Raises OSError.
    """
    events = list(events)
    decisions = (event for event in events if event["event"] == "decision")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller reads and closes it
    try:
        with zipfile.ZipFile(file, "w") as archive:
            _add(archive, "call.json", json.dumps(call, indent=1))
            _add(archive, "events.json", _lines_of_array(events))
            _add(archive, "decisions.jsonl", "".join(json.dumps(decision) + "\n" for decision in decisions))
            if recording is not None:
                entry = zipfile.ZipInfo("audio.wav", _EPOCH)
                with recording.open("rb") as source, archive.open(entry, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(source, copy, 1 << 18)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, text)


def _lines_of_array(events: list[Event]) -> str:
    """A JSON array with an event per line: a person can read it, and two of them can be compared."""
    return "[\n" + ",\n".join(json.dumps(event) for event in events) + "\n]\n"
