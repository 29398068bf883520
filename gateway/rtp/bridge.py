"""Two calls as one: what is heard of either goes to the other, in its own codec."""

from typing import Protocol

import numpy as np

from gateway.rtp.transcode import conversion
from wire.audio.codecs import Codec
from wire.audio.g711 import decode

CUSHION_MS = 40  # what the far side's packets may be late by before the near side hears a gap
TOLERATED_MS = 100  # above this, silence is left out until the queue is short again
QUIET = 256  # of 32,768: -42 dBFS, below any speech
MAX_QUEUED_MS = 240  # above this, speech too: a clock that runs 100 ppm fast would add 0.36 s in an hour


class Sink(Protocol):
    """Where a relay puts its audio: the shape of ``stream.MediaStream``."""

    @property
    def queued_samples(self) -> int:
        """What is queued and not sent."""

    def queue_audio(self, payload: bytes) -> None:
        """Play bytes of the sink's codec after what is queued."""


class Relay:
    """One direction. Packets come when the network brings them, and leave by the tick of the other call.

    A queue that has run dry begins anew with a cushion of silence, so that packets a little late do not stutter;
    one that has grown, because the far clock is faster or a burst came, is shortened where nobody speaks.
    """

    __slots__ = ("_cushion", "_sink", "_target", "_transcode", "dropped_samples")

    def __init__(self, source: Codec, target: Codec, sink: Sink) -> None:
        self._transcode = conversion(source, target)
        self._sink = sink
        self._target = target
        self._cushion = target.silence * (target.sample_rate_hz * CUSHION_MS // 1_000)
        self.dropped_samples = 0
        """Samples of the target's codec that were left out to keep the delay short."""

    def push(self, audio: bytes) -> None:
        """Take whole samples of the source's codec."""
        if self._transcode is not None:
            audio = self._transcode(audio)
        if not audio:
            return
        queued_ms = self._sink.queued_samples * 1_000 // self._target.sample_rate_hz
        if queued_ms > MAX_QUEUED_MS or (queued_ms > TOLERATED_MS and self._is_quiet(audio)):
            self.dropped_samples += len(audio) // self._target.bytes_per_sample
            return
        self._sink.queue_audio(self._cushion + audio if not queued_ms else audio)

    def _is_quiet(self, audio: bytes) -> bool:
        """Whether ``audio`` has nothing louder than the noise of a line."""
        return int(np.abs(decode(self._target, audio).astype(np.int32)).max()) < QUIET
