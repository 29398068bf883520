"""Both voices of a call on one line of time: the caller on the left, the agent on the right.

Time is the caller's media time, so that the left channel holds his samples as they came. What the agent says is laid
where the caller stood when it began to play, and within a turn one sample follows the other. Nothing is written
before it is known to have been heard: the last seconds wait.
"""

from collections import deque
from collections.abc import Iterator
from math import inf

import numpy as np
import numpy.typing as npt

from gateway.runner.media_clock import MediaClock
from wire.audio.codecs import Codec

HOLD_S = 4.0  # speech is with the leg 0.4 s before it is heard, and a carrier's marks tell up to 2 s later
MAX_WAIT_CHUNKS = 64  # without any decision for so long the caller counts as there from the first moment
MAX_SKEW_S = 0.010  # a turn so long that the clocks part by this much, 100 s at 100 ppm, is moved by as much

Frames = npt.NDArray[np.uint8]


class StereoTrack:
    """Whole stereo samples out, in the order of time. Positions are samples since the call began."""

    def __init__(self, codec: Codec) -> None:
        self._rate_hz = codec.sample_rate_hz
        self._sample_bytes = codec.bytes_per_sample
        self._silence = np.frombuffer(codec.silence, np.uint8)
        self._clock = MediaClock(codec.sample_rate_hz)
        self._lead_samples: int | None = None
        self._left = _Channel(codec)
        self._right = _Channel(codec)
        self._early: list[tuple[int, bytes]] = []
        self._playing_until_s = -inf  # when the leg runs out of the turn, by the call's clock
        self.written_samples = 0

    def caller(self, index: int, start_samples: int, payload: bytes) -> None:
        """One chunk of what the caller said."""
        self._clock.chunk_sent(index, start_samples + len(payload) // self._sample_bytes)
        if self._lead_samples is not None:
            self._left.put(self._lead_samples + start_samples, payload)
            return
        self._early.append((start_samples, payload))
        if len(self._early) > MAX_WAIT_CHUNKS:
            self._begin(0.0)

    def chunk_complete(self, index: int, at_s: float) -> None:
        """Chunk ``index`` was complete at ``at_s``."""
        self._clock.chunk_complete(index, at_s)
        if self._lead_samples is None and self._clock.lead_s is not None:
            self._begin(self._clock.lead_s)

    def _begin(self, lead_s: float) -> None:
        self._lead_samples = round(lead_s * self._rate_hz)
        for start_samples, payload in self._early:
            self._left.put(self._lead_samples + start_samples, payload)
        self._early.clear()

    def agent(self, at_s: float, payload: bytes) -> None:
        """Speech of the agent that begins to play for the caller at ``at_s``."""
        samples = len(payload) // self._sample_bytes
        position = max(0, (self._lead_samples or 0) + round(self._clock.media_s(at_s) * self._rate_hz))
        end = self._right.end
        if abs(at_s - self._playing_until_s) * self._rate_hz <= 1:  # the leg plays on without a hole
            if abs(position - end) <= MAX_SKEW_S * self._rate_hz:
                position = end
            else:
                payload = payload[max(0, end - position) * self._sample_bytes :]
        self._right.put(max(position, end), payload)
        self._playing_until_s = at_s + samples / self._rate_hz

    def take_back(self, samples: int) -> None:
        """The leg dropped the last ``samples`` it was given."""
        self._right.cut(samples)
        self._playing_until_s -= samples / self._rate_hz

    def end_turn(self, unheard_samples: int) -> None:
        """The agent's turn is over; the last ``unheard_samples`` the leg dropped."""
        self._right.cut(unheard_samples)
        self._playing_until_s = -inf

    def take(self, *, final: bool = False) -> bytes:
        """Interleaved samples that nothing can change any more; all that there are when ``final``."""
        if final:
            if self._lead_samples is None:
                self._begin(0.0)
            end = max(self._left.end, self._right.end)
        else:
            end = self._left.end - round(HOLD_S * self._rate_hz)
        if end <= self.written_samples:
            return b""
        both = np.empty((end - self.written_samples, 2, self._sample_bytes), np.uint8)
        both[:] = self._silence
        self._left.read(self.written_samples, both[:, 0])
        self._right.read(self.written_samples, both[:, 1])
        self.written_samples = end
        return both.tobytes()


class _Channel:
    """Pieces of sound at ascending positions, and nothing between them."""

    def __init__(self, codec: Codec) -> None:
        self._sample_bytes = codec.bytes_per_sample
        self._pieces: deque[tuple[int, bytes]] = deque()
        self.end = 0

    def put(self, position: int, payload: bytes) -> None:
        if payload:
            self._pieces.append((position, payload))
            self.end = position + len(payload) // self._sample_bytes

    def cut(self, samples: int) -> None:
        """Take the last ``samples`` back, as far as they have not been read."""
        surplus = samples * self._sample_bytes
        while surplus > 0 and self._pieces:
            position, payload = self._pieces.pop()
            kept = payload[: max(0, len(payload) - surplus)]
            surplus -= len(payload) - len(kept)
            self.end = position + len(kept) // self._sample_bytes
            if kept:
                self._pieces.append((position, kept))

    def read(self, start: int, frames: Frames) -> None:
        """Lay what begins at ``start`` into ``frames``, shape ``(samples, bytes per sample)``, and forget it."""
        for position, payload in self._take(start + len(frames)):
            piece = np.frombuffer(payload, np.uint8).reshape(-1, self._sample_bytes)
            piece = piece[max(0, start - position) :]
            at = max(0, position - start)
            frames[at : at + len(piece)] = piece

    def _take(self, end: int) -> Iterator[tuple[int, bytes]]:
        """The pieces up to ``end``; of one that goes on behind it the rest stays."""
        while self._pieces and self._pieces[0][0] < end:
            position, payload = self._pieces.popleft()
            fits = (end - position) * self._sample_bytes
            if len(payload) > fits:
                self._pieces.appendleft((end, payload[fits:]))
                payload = payload[:fits]
            yield position, payload
