"""What the callers of the browser door say, encoded once for all, and how they tell an answer.

Encoding Opus costs more than all else that a caller does, so every caller sends the same packets: a loop of line
noise, and the packets of a question. Received Opus is decoded, for its packets do not show how loud they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from load_tests.schedule import FRAME_MS
from load_tests.sip_caller import sounds
from load_tests.tally import LOUD, LOUD_ABOVE, line_noise
from wire.audio.codecs import Codec
from wire.audio.g711 import decode

OPUS_BITRATE = 32_000  # what Chromium takes for one voice
OPUS_CLOCK_HZ = 48_000
_LOOP_FRAMES = 50
_STEADY_FRAMES = 25  # an encoder begins with packets of its own kind
_LOOKAHEAD_MS = 6.5  # of libopus for speech: a packet begins this much before the frame it is made of
_LOUD_SHARE = 4  # a quarter of a packet, so that one with the end of an answer in it counts

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Voice:
    """One codec, and everything to say in it."""

    name: str
    payload_type: int
    clock_hz: int
    channels: int
    spill_frames: int
    """In how many packets more than it has frames an answer may sound, because the codec looks ahead."""
    noise: tuple[bytes, ...]
    """A loop of 20 ms packets: what a caller sends who listens."""
    question: tuple[bytes, ...]
    """Loud for the first packet; those after it let the codec settle."""

    @property
    def packet_ticks(self) -> int:
        """Of the RTP clock, for one packet."""
        return self.clock_hz * FRAME_MS // 1_000

    @property
    def rtpmap(self) -> str:
        """As ``a=rtpmap`` has it, with the payload type."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_hz}{channels}"

    def ear(self) -> Callable[[bytes], bool]:
        """For one stream: takes each packet in turn and says whether it holds a part of an answer."""
        return OpusEar() if self.name == "opus" else sounds


class OpusEar:
    """Decodes one stream and tells what is loud."""

    def __init__(self) -> None:
        self._decoder = _opus("r")

    def __call__(self, payload: bytes) -> bool:
        """Whether a quarter of the packet or more is as loud as an answer; a packet that is broken is not."""
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except av.FFmpegError:
            return False
        samples = [frame.to_ndarray().ravel() for frame in frames]
        loud = sum(int(np.count_nonzero((part > LOUD_ABOVE) | (part < -LOUD_ABOVE))) for part in samples)
        return loud > 0 and loud * _LOUD_SHARE >= sum(map(len, samples))


@cache
def voice(name: str) -> Voice:
    """``opus`` or ``pcmu``."""
    if name == "pcmu":
        return Voice("PCMU", 0, 8_000, 1, 0, (line_noise(),), (LOUD,))
    before, length = _STEADY_FRAMES, OPUS_CLOCK_HZ * FRAME_MS // 1_000
    count = before + _LOOP_FRAMES + 4  # then one that already hears the question, and the question
    sound = np.concatenate([_at_48k(decode(Codec.PCMU, line_noise(seed))) for seed in range(count)])
    begin = (count - 3) * length - round(_LOOKAHEAD_MS * OPUS_CLOCK_HZ / 1_000)
    sound[begin : begin + length] = _at_48k(decode(Codec.PCMU, LOUD))
    packets = encode_opus(sound.reshape(count, length))
    noise, question = packets[before : count - 4], packets[count - 3 : count - 1]
    return Voice("opus", 111, OPUS_CLOCK_HZ, 2, 1, tuple(noise), tuple(question))


def encode_opus(frames: Sequence[Samples] | npt.NDArray[np.int16]) -> list[bytes]:
    """20 ms frames at 48 kHz, one channel, as packets of an encoder that begins with them."""
    encoder = _opus("w")
    encoder.bit_rate = OPUS_BITRATE
    encoder.time_base = Fraction(1, OPUS_CLOCK_HZ)
    encoder.options = {"application": "voip"}
    packets: list[bytes] = []
    for number, samples in enumerate(frames):
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = OPUS_CLOCK_HZ
        frame.pts = number * len(samples)
        frame.time_base = Fraction(1, OPUS_CLOCK_HZ)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def _at_48k(narrow: Samples) -> Samples:
    """8 kHz, each sample six times: its images are far from speech, which is as good as any sound here."""
    return np.repeat(narrow, OPUS_CLOCK_HZ // 8_000)


def _opus(mode: Literal["r", "w"]) -> av.AudioCodecContext:
    context = av.CodecContext.create("libopus", mode)
    context.format = av.AudioFormat("s16")
    context.layout = av.AudioLayout("mono")
    context.sample_rate = OPUS_CLOCK_HZ
    return context
