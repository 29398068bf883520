"""What the echo guard asks of an echo canceller."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]

FRAME_MS = 10


class Canceller(Protocol):
    """Takes one voice out of another, 10 ms at a time. One per call."""

    def process(self, near: Pcm, far: Pcm) -> Pcm:
        """``near`` without what is in it of ``far``, which was played at the same time or a little before."""
