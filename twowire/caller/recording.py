"""A call as a stereo file: left what the caller said, right what the caller heard, on one clock.

Sample *n* of both channels is media time *n* / 8000 s: frame for frame what the 20 ms ticks
carried, so a latency can be read off the file to the sample.
"""

import wave
from pathlib import Path
from types import TracebackType

import numpy as np

from twowire.caller.messages import SAMPLE_RATE_HZ
from twowire.caller.stream import Tick
from wire.audio.g711 import decode_ulaw


class CallRecording:
    """Writes as the call goes on; ``close`` sets the lengths in the header. 8 kHz, 16 bit, 1.9 MB a minute.

    Raises OSError when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        self._file = wave.Wave_write(self._raw)
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(SAMPLE_RATE_HZ)

    def write(self, tick: Tick) -> None:
        stereo = np.stack((decode_ulaw(tick.sent), decode_ulaw(tick.heard)), axis=1)
        self._file.writeframesraw(stereo.astype("<i2", copy=False).tobytes())

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def __enter__(self) -> "CallRecording":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
