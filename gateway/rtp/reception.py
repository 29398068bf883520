"""What one incoming stream was agreed to be, and what RTCP reports of it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.rtp.tones import RATE_HZ as TONES_RATE_HZ
from wire.audio.codecs import Codec


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """What the session description agreed on for one direction.

    An octet of payload must be one tick of the RTP clock, as it is in PCMU, PCMA and G.722
    (RFC 3551 §4.5). ``decode`` turns a payload into ``codec``, and is None when it already is.
    ``find_tones`` looks for keys in the audio itself, for peers without ``dtmf_type``.
    """

    codec: Codec
    payload_type: int
    clock_hz: int = 8_000
    dtmf_type: int | None = None
    cn_type: int | None = None
    decode: Callable[[bytes], bytes] | None = None
    find_tones: bool = False

    def __post_init__(self) -> None:
        if self.codec.sample_rate_hz % self.clock_hz:
            raise ValueError(f"{self.codec.value} on an RTP clock of {self.clock_hz} Hz, expected whole samples a tick")
        if self.decode is None and self.samples_per_tick * self.codec.bytes_per_sample != 1:
            raise ValueError(f"{self.codec.value} without a decoder, expected one octet a tick")
        if self.find_tones and self.codec.sample_rate_hz != TONES_RATE_HZ:
            raise ValueError(f"tones at {self.codec.sample_rate_hz} Hz, expected {TONES_RATE_HZ}")

    @property
    def samples_per_tick(self) -> int:
        return self.codec.sample_rate_hz // self.clock_hz


@dataclass(frozen=True, slots=True)
class Reception:
    """One report block of RTCP (RFC 3550 §6.4.1) but for the times of the last sender report."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    """In ticks of the RTP clock."""
