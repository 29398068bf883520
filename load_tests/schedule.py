"""When each caller sends what: pure, counted in ticks of an absolute grid.

Callers that start together would complete their chunks together, and the measured bursts would be
the generator's own. So every caller has an offset within the chunk, spread evenly whatever
their number, and joins the grid at its next occurrence.
"""

from dataclasses import dataclass

TICK_MS = 2  # the grid; a frame's 20 ms hold ten phases, so that no tick sends for more than a tenth of the callers
FRAME_MS = 20
CHUNK_MS = 400
TICKS_PER_FRAME = FRAME_MS // TICK_MS
TICKS_PER_CHUNK = CHUNK_MS // TICK_MS
FRAMES_PER_CHUNK = CHUNK_MS // FRAME_MS

_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly at any count (Weyl)


def chunk_offset_ticks(caller: int) -> int:
    """Where within the 0.4 s this caller's first frame lies; spreads over 0.4 s and over 20 ms."""
    return int(caller * _GOLDEN % 1.0 * TICKS_PER_CHUNK)


def first_tick(caller: int, earliest_tick: int) -> int:
    """The first tick from ``earliest_tick`` on at which this caller may begin."""
    return earliest_tick + (chunk_offset_ticks(caller) - earliest_tick) % TICKS_PER_CHUNK


@dataclass(frozen=True, slots=True)
class Questions:
    """Which frames are loud: the last of every ``every_chunks``-th chunk, another chunk for each caller."""

    every_chunks: int

    def first_frame(self, caller: int, earliest_frame: int = 0) -> int:
        """The first loud frame of a caller from ``earliest_frame`` on, counted from the caller's first."""
        period = self.every_chunks * FRAMES_PER_CHUNK
        loud = caller % self.every_chunks * FRAMES_PER_CHUNK + FRAMES_PER_CHUNK - 1
        return loud + max(0, -(-(earliest_frame - loud) // period)) * period

    def next_frame(self, frame: int) -> int:
        """The loud frame after the loud ``frame``."""
        return frame + self.every_chunks * FRAMES_PER_CHUNK


def whole_chunks(frames: int) -> int:
    """Chunks that ``frames`` frames complete: each must get a decision."""
    return frames // FRAMES_PER_CHUNK
