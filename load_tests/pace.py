"""How evenly one RTP stream arrives: each packet against the grid of its own timestamps. Pure.

The error of a packet is its transit (arrival less media time) above the least transit of its call.
A packet that should have come and did not is infinitely late: leaving it out would make a sender
better by failing.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np

RATE_HZ = 8_000
PACKET_SAMPLES = 160
PACKET_S = PACKET_SAMPLES / RATE_HZ
LATE_S = 0.02  # a packet later than this comes after the one behind it was due
_MAX_STEP = 1_000  # of sequence numbers, 20 s: a larger one is a restart
_EDGE_S = 0.1  # up to here, silence at an edge of the window may be the next packet's


class Pace:
    """One stream at its receiver. Only what arrives between ``begin`` and ``end`` counts."""

    __slots__ = (
        "_first_at",
        "_holes",
        "_last_at",
        "_packet_samples",
        "_position",
        "_rate_hz",
        "_sequence",
        "_ssrc",
        "_timestamp",
        "begin",
        "duplicated",
        "end",
        "lost",
        "reordered",
        "restarts",
        "skipped",
        "transits_s",
    )

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        self._rate_hz = rate_hz
        self._packet_samples = round(rate_hz * PACKET_S)
        self.begin = inf
        self.end = inf
        self.transits_s = array("d")
        self.lost = 0
        """Sequence numbers that never came."""
        self.skipped = 0
        """Packet times that the sender left out: timestamps that jump further than sequence numbers."""
        self.reordered = 0
        self.duplicated = 0
        self.restarts = 0
        """Changes of the SSRC, and jumps that no loss explains; the stream is taken to go on in time."""
        self._ssrc = -1
        self._sequence = 0
        self._timestamp = 0
        self._position = 0  # media time in samples since the first packet; never wraps
        self._holes: set[int] = set()  # sequence numbers that are counted as lost
        self._first_at = inf
        self._last_at = inf

    def note(self, ssrc: int, sequence: int, timestamp: int, at: float) -> None:
        """A packet that arrived at ``at`` (seconds of a clock that never jumps)."""
        if not self.begin <= at < self.end:
            return
        if self._ssrc < 0:
            self._first_at = at
        else:
            step = (sequence - self._sequence + 0x8000 & 0xFFFF) - 0x8000
            moved = (timestamp - self._timestamp + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
            left_out = moved // self._packet_samples - step
            if ssrc != self._ssrc or not -_MAX_STEP < step < _MAX_STEP or (step > 0 > left_out):
                self.restarts += 1
                self._position += round((at - self._last_at) * self._rate_hz)  # as if it had been on time
            elif step > 0:
                if step > 1:
                    self.lost += step - 1
                    self._holes.update(self._sequence + n & 0xFFFF for n in range(1, step))
                self.skipped += left_out
                self._position += moved
            else:
                self._note_old(sequence, moved, at)
                return
        self._ssrc, self._sequence, self._timestamp = ssrc, sequence, timestamp
        self._last_at = at
        self.transits_s.append(at - self._position / self._rate_hz)

    def _note_old(self, sequence: int, moved: int, at: float) -> None:
        """A packet at or behind the newest: one that was overtaken, or one that came before."""
        if sequence in self._holes:
            self._holes.remove(sequence)
            self.lost -= 1
            self.reordered += 1
            self.transits_s.append(at - (self._position + moved) / self._rate_hz)
        else:
            self.duplicated += 1

    @property
    def missing(self) -> int:
        """Packets that should have come in the window: lost, left out, and not sent at its edges."""
        if self._ssrc < 0:
            return max(0, int((self.end - self.begin) / PACKET_S)) if self.begin < inf else 0
        edges_s = (self._first_at - self.begin, self.end - self._last_at)
        return self.lost + self.skipped + sum(int(edge_s / PACKET_S) for edge_s in edges_s if edge_s > _EDGE_S)

    def errors_s(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Of the packets that came: how much later than the earliest of this call."""
        transits = np.array(self.transits_s)
        return transits - transits.min() if len(transits) else transits


@dataclass(frozen=True, slots=True)
class PaceFigures:
    """Of all streams together; times in seconds."""

    packets: int
    missing: int
    lost: int
    skipped: int
    reordered: int
    duplicated: int
    restarts: int
    late: int
    """Packets later than ``LATE_S``; those that are missing are not counted again."""
    p50_s: float
    p99_s: float
    """A missing packet counts as infinitely late."""
    max_s: float
    """Of the packets that came."""

    @classmethod
    def of(cls, paces: Iterable[Pace]) -> "PaceFigures":
        """Call it when the windows of all are closed."""
        paces = list(paces)
        errors = np.sort(np.concatenate([pace.errors_s() for pace in paces] or [np.empty(0)]))
        missing = sum(pace.missing for pace in paces)

        def share(wanted: float) -> float:
            rank = ceil(wanted * (len(errors) + missing))
            return nan if rank == 0 else float(errors[rank - 1]) if rank <= len(errors) else inf

        return cls(
            packets=len(errors),
            missing=missing,
            lost=sum(pace.lost for pace in paces),
            skipped=sum(pace.skipped for pace in paces),
            reordered=sum(pace.reordered for pace in paces),
            duplicated=sum(pace.duplicated for pace in paces),
            restarts=sum(pace.restarts for pace in paces),
            late=int((errors > LATE_S).sum()),
            p50_s=share(0.5),
            p99_s=share(0.99),
            max_s=float(errors[-1]) if len(errors) else nan,
        )
