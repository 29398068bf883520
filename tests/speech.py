"""Real speech for the tests, as a phone line carries it."""

from functools import cache
from pathlib import Path

_JFK = Path(__file__).parent / "data" / "jfk_8k_ulaw.wav"


@cache
def jfk_ulaw() -> bytes:
    """11 s of one speaker: 8 kHz µ-law, 88,000 bytes. Speech begins about 0.3 s in."""
    data = _JFK.read_bytes()
    at = data.index(b"data") + 8
    return data[at:]
