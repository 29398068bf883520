"""Speech for the tests of Opus, a sender that packs it as browsers do, and how alike two recordings are."""

from functools import cache

import numpy as np

from gateway.rtp.reception import ReceiverConfig
from gateway.rtp.transcode import Decoding, WireCodec, decoding
from tests.gateway.rtp.network import packet
from tests.interop.audio import compare
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode_ulaw
from wire.audio.opus import DTX_BYTES, FRAME_SAMPLES, RATE_HZ, OpusEncoder
from wire.audio.resample import Resampler

FRAME_TICKS = 960
TYPE = 111
LOUD_RMS = 1_000.0  # speech; what is quieter is a pause, of which no waveform need be kept


@cache
def _speech() -> np.ndarray:
    return Resampler(8_000, RATE_HZ).push(decode_ulaw(jfk_ulaw()))


def frames(seconds: float = 11.0) -> list[bytes]:
    """Speech in 20 ms pieces of 16 kHz."""
    count = round(seconds * 50)
    looped = np.resize(_speech(), count * FRAME_SAMPLES)
    return [looped[n * FRAME_SAMPLES : (n + 1) * FRAME_SAMPLES].tobytes() for n in range(count)]


def config(leg: Codec = Codec.L16_16K, how: Decoding | None = None) -> ReceiverConfig:
    how = how or decoding(WireCodec.OPUS, leg)
    return ReceiverConfig(
        leg,
        TYPE,
        clock_hz=48_000,
        dtmf_type=101,
        decode=how.decode,
        ticks_of=how.ticks_of,
        recover=how.recover,
        pause_bytes=how.pause_bytes,
    )


class Talker:
    """Numbers Opus packets as a browser does."""

    def __init__(self, encoder: OpusEncoder | None = None) -> None:
        self._encode = (encoder or OpusEncoder()).encode
        self.sequence = 65_500
        self.timestamp = 2**32 - 96_000
        self._pausing = False

    def next(self, pcm: bytes) -> bytes:
        return self.send(self._encode(pcm))

    def next_or_pause(self, pcm: bytes) -> bytes | None:
        """As ``next``, but of what the encoder makes of a pause only the first is sent; the rest has no numbers."""
        payload = self._encode(pcm)
        paused, self._pausing = self._pausing, len(payload) <= DTX_BYTES
        if paused and self._pausing:
            self.pause(1)
            return None
        return self.send(payload)

    def send(self, payload: bytes) -> bytes:
        datagram = packet(self.sequence & 0xFFFF, self.timestamp, payload, payload_type=TYPE)
        self.sequence += 1
        self.pause(1)
        return datagram

    def pause(self, frames: int) -> None:
        self.timestamp = self.timestamp + frames * FRAME_TICKS & 0xFFFF_FFFF


def samples(audio: bytes) -> np.ndarray:
    return np.frombuffer(audio, np.int16)


def correlations(heard: bytes, source: bytes, rate_hz: int = RATE_HZ) -> list[float]:
    """Of each second of ``heard`` in which there is speech, at the place of ``source`` that it fits best."""
    wide = np.concatenate((np.zeros(rate_hz, np.int16), samples(source), np.zeros(rate_hz, np.int16)))
    found = compare(samples(heard), wide, rate_hz)

    def is_loud(at_s: float) -> bool:
        second = samples(heard)[round(at_s * rate_hz) :][:rate_hz].astype(float)
        return bool(second.std() > LOUD_RMS)

    return [second.correlation for second in found if is_loud(second.at_s)]
