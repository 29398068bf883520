"""The decisions of a call at a glance: one character per chunk, in the order of the chunks."""

from collections.abc import Iterable, Mapping
from typing import Any

CHUNKS_PER_LINE = 50  # 20 s of 0.4 s chunks: fits 80 columns with its label
MAX_CHUNKS = 9_000  # what a gateway keeps of a call; the newest are shown
SIGNS = {"listen": ".", "speak": "#"}
UNKNOWN = "!"
"""A kind of decision this program does not know."""
MISSING = "?"
"""A chunk between two others for which the record has no decision."""


def decision_strip(decisions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of ``index  signs``, the index that of the line's first chunk.

    Takes the ``decisions`` of a gateway's record. Of two for one chunk the later one counts (the
    call moved to another worker); entries without an index have no place and are left out.
    """
    signs: dict[int, str] = {}
    for decision in decisions:
        index = decision.get("index")
        if isinstance(index, int) and index >= 0:
            signs[index] = SIGNS.get(str(decision.get("kind")), UNKNOWN)
    if not signs:
        return []
    end = max(signs) + 1
    begin = max(min(signs), end - MAX_CHUNKS)
    return [
        f"{line:5d}  " + "".join(signs.get(index, MISSING) for index in range(line, min(line + CHUNKS_PER_LINE, end)))
        for line in range(begin, end, CHUNKS_PER_LINE)
    ]
