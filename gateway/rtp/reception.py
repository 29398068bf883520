"""What one incoming stream was agreed to be, and what RTCP reports of it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.rtp.tones import RATE_HZ as TONES_RATE_HZ
from wire.audio.codecs import Codec


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """What the session description agreed on for one direction.

    ``ticks_of`` tells how long a payload is on the RTP clock: an octet a tick in PCMU, PCMA and G.722 (RFC 3551
    §4.5). ``decode`` turns a payload into ``codec``, as much as it is long, or into nothing when it is broken; it is
    None when a payload is ``codec`` already. ``recover`` makes the audio before a payload of what that repeats of it,
    or nothing. A payload of no more than ``pause_bytes`` says that the sender pauses. ``find_tones`` looks for keys in
    the audio itself, for peers without ``dtmf_type``.
    """

    codec: Codec
    payload_type: int
    clock_hz: int = 8_000
    dtmf_type: int | None = None
    cn_type: int | None = None
    decode: Callable[[bytes], bytes] | None = None
    ticks_of: Callable[[bytes], int] = len
    recover: Callable[[bytes], bytes] | None = None
    pause_bytes: int = 0
    find_tones: bool = False

    def __post_init__(self) -> None:
        rates = sorted((self.codec.sample_rate_hz, self.clock_hz))
        if rates[1] % rates[0]:
            raise ValueError(f"{self.codec.value} on an RTP clock of {self.clock_hz} Hz, expected a multiple of it")
        if self.decode is None and (self.clock_hz, self.codec.bytes_per_sample) != (self.codec.sample_rate_hz, 1):
            raise ValueError(f"{self.codec.value} without a decoder, expected one octet a tick")
        if self.find_tones and self.codec.sample_rate_hz != TONES_RATE_HZ:
            raise ValueError(f"tones at {self.codec.sample_rate_hz} Hz, expected {TONES_RATE_HZ}")

    def samples_at(self, ticks: int) -> int:
        """How many samples the first ``ticks`` of a stream are; those between two moments are their difference."""
        return ticks * self.codec.sample_rate_hz // self.clock_hz


@dataclass(frozen=True, slots=True)
class Reception:
    """One report block of RTCP (RFC 3550 §6.4.1) but for the times of the last sender report."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    """In ticks of the RTP clock."""
