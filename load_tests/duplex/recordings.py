"""Real speech for scenes, and where in it people begin, pause and end.

``tests/data/README.md`` says whose it is. The labels are in seconds of the recordings; an end is where a phrase ends
and a pause follows, so that what is cut out is a turn, or might be one: nobody but the speaker knew.
"""

from enum import Enum
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wire.audio.g711 import decode_ulaw

RATE_HZ = 8_000
_DATA = Path(__file__).parents[2] / "tests" / "data"


class Recording(Enum):
    """A file of ``tests/data``, 8 kHz µ-law."""

    JFK = "jfk_8k_ulaw.wav"
    CONVERSATION = "conversation_8k_ulaw.wav"


_J, _C = Recording.JFK, Recording.CONVERSATION
ONSETS: tuple[tuple[Recording, float], ...] = (
    (_C, 20.36),
    (_J, 5.4),
    (_C, 9.34),
    (_C, 28.7),
    (_C, 51.1),
    (_J, 8.18),
    (_C, 54.6),
    (_C, 2.7),
    (_C, 26.42),
    (_C, 32.72),
    (_C, 5.0),
    (_C, 0.02),
)
"""Where somebody begins after a pause, and goes on for 1.7 s or more."""
TURNS: tuple[tuple[Recording, float, float], ...] = (
    (_C, 0.02, 6.74),
    (_J, 0.32, 4.32),
    (_C, 9.34, 14.92),
    (_C, 2.7, 6.74),
    (_C, 15.34, 19.52),
    (_J, 5.4, 11.0),
    (_C, 16.32, 26.16),
    (_C, 20.36, 28.4),
    (_C, 28.7, 35.3),
    (_C, 32.72, 38.86),
    (_J, 3.28, 7.68),
    (_C, 35.8, 43.18),
    (_C, 39.88, 46.46),
    (_C, 48.86, 54.06),
    (_C, 51.1, 59.34),
    (_J, 0.32, 11.0),
)
"""Phrases in one piece, with the pauses that their speakers made."""


@cache
def samples(recording: Recording) -> npt.NDArray[np.float64]:
    """All of it, shape ``(samples,)``."""
    data = (_DATA / recording.value).read_bytes()
    return decode_ulaw(data[data.index(b"data") + 8 :]).astype(np.float64)


def cut(recording: Recording, begin_s: float, end_s: float) -> npt.NDArray[np.float64]:
    """A piece of it."""
    return samples(recording)[round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)]
