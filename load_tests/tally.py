"""What callers of every door have in common: what they say, how they tell an answer, what they count."""

import random
from array import array

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

FRAME_BYTES = 160
SAMPLE_RATE_HZ = 8_000
LOUD_ABOVE = 2_000  # |sample|: an answer is above it, line noise is at 30
LOUD = (b"\x80" * 4 + b"\x00" * 4) * 20  # a full-scale square wave of 1 kHz: mean |sample| 32 124


def line_noise(seed: int = 1) -> bytes:
    """20 ms of the noise of a quiet line. Digital silence would spare a voice detector its work."""
    chance = random.Random(seed)
    return bytes(chance.randrange(0x78, 0x80) | chance.choice((0x00, 0x80)) for _ in range(FRAME_BYTES))


def is_loud(ulaw: bytes) -> bool:
    """Whether the mean |sample| is that of an answer."""
    return float(np.abs(decode(Codec.PCMU, ulaw).astype(np.int32)).mean()) > LOUD_ABOVE


class Tally:
    """What all callers of a run saw together."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        """Of every question: due time of its last frame to the arrival of the answer; MISSING without one."""
        self.lateness_s = array("d")
        """Of every frame sent: behind its due time."""
        self.gaps = 0
        """Interruptions of an answer at the caller's ear."""
        self.wrong_answers = 0
        """Answers whose audio was not as long as it should be, and loud audio nobody asked for."""
        self.clears = 0
