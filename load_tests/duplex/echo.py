"""A telephone that sends back what it plays: later, quieter, and as its room colours it."""

import numpy as np
import numpy.typing as npt

from load_tests.duplex.recordings import RATE_HZ
from twowire.caller.messages import FRAME_SAMPLES, StreamIds
from twowire.caller.stream import TwilioCaller
from wire.audio.g711 import decode_ulaw, encode_ulaw

_ROOM_S = 0.012  # of reflections; what a handset's case and a quiet room add


class EchoPath:
    """``delay_s`` later and ``loss_db`` below what is heard, through a random short filter of gain one."""

    def __init__(self, loss_db: float, delay_s: float, seed: int) -> None:
        taps = np.random.default_rng(seed).normal(0, 1, round(_ROOM_S * RATE_HZ))
        taps *= np.exp(-np.arange(len(taps)) / (len(taps) / 4))
        self._taps = taps / np.sqrt(np.sum(taps**2)) * 10 ** (-loss_db / 20)
        self._line = np.zeros(round(delay_s * RATE_HZ) + len(taps) - 1)

    def push(self, heard: bytes) -> npt.NDArray[np.float64]:
        """What comes back while ``heard`` (µ-law) is played, of the same length."""
        size = len(heard)
        self._line = np.concatenate((self._line, decode_ulaw(heard)))
        came = np.convolve(self._line[: size + len(self._taps) - 1], self._taps, "valid")
        self._line = self._line[size:]
        return came


class EchoingCaller(TwilioCaller):
    """A caller on such a telephone."""

    def __init__(self, ids: StreamIds, parameters: dict[str, str], now: float, path: EchoPath) -> None:
        super().__init__(ids, parameters, now)
        self._path = path

    def next_sent(self, heard: bytes) -> bytes:
        came = self._path.push(heard)
        said = decode_ulaw(super().next_sent(heard)).astype(np.float64)
        assert len(came) == FRAME_SAMPLES, "a frame for a frame"
        return encode_ulaw(np.clip(np.rint(said + came), -32_000, 32_000).astype(np.int16))
