"""A voice that is polled by a test as the engine would, and what came."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoicePiece, VoiceWish
from model_worker.duplex.cascade.tts_requests import Limits, RequestedTts, VoiceServer
from model_worker.seams import Pcm
from tests.peers.base import WAIT_S
from tests.peers.sound import turn_of
from wire.ids import CallId

CALL, OTHER = CallId("call-1"), CallId("call-2")
WISH = VoiceWish()
NEVER_S = 10 * WAIT_S
PATIENT = Limits(connect_s=NEVER_S, first_sound_s=NEVER_S, between_s=NEVER_S)
HASTY = replace(PATIENT, first_sound_s=0.2, between_s=0.2)
"""For waits that are meant to run out."""


class Ear:
    """Hears parts to their end. What does not come in ``WAIT_S`` fails the test."""

    def __init__(self, tts: RequestedTts) -> None:
        self.tts = tts
        self.pieces: list[VoicePiece] = []
        self._woken = threading.Event()
        tts.on_ready(self._woken.set)

    def poll(self) -> None:
        if not self.tts.ready:
            assert self._woken.wait(WAIT_S), "nothing came"
        self._woken.clear()
        self.pieces += self.tts.poll()

    def part(self, part: int, call: CallId = CALL) -> list[VoicePiece]:
        """All of a part, to its last piece."""
        while True:
            found = [piece for piece in self.pieces if (piece.call, piece.part) == (call, part)]
            if found and found[-1].done:
                return found
            self.poll()

    def says(self, part: int, text: str, wish: VoiceWish = WISH, call: CallId = CALL) -> list[VoicePiece]:
        self.tts.ask(call, part, text, wish)
        return self.part(part, call)


@contextmanager
def speaking(server: VoiceServer, limits: Limits = PATIENT) -> Iterator[Ear]:
    tts = RequestedTts(server, limits)
    try:
        yield Ear(tts)
    finally:
        tts.close()


def sound(pieces: list[VoicePiece]) -> Pcm:
    return np.concatenate([piece.pcm for piece in pieces])


def seconds(pieces: list[VoicePiece]) -> float:
    return len(sound(pieces)) / OUTPUT_RATE_HZ


def whose(pieces: list[VoicePiece]) -> int | None:
    """Which request of the peer's this is the sound of."""
    pcm = sound(pieces)
    return turn_of(pcm[len(pcm) // 4 :][: OUTPUT_RATE_HZ // 5], OUTPUT_RATE_HZ)
