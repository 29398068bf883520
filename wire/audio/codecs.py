"""The codecs in which a caller's audio crosses the bus."""

from enum import StrEnum


class Codec(StrEnum):
    """Name on the wire; ``sample_rate_hz`` and ``bytes_per_sample`` follow from it."""

    PCMU = "PCMU"
    """G.711 µ-law, 8 kHz (RFC 3551, payload type 0)."""
    PCMA = "PCMA"
    """G.711 A-law, 8 kHz (RFC 3551, payload type 8)."""
    L16_16K = "L16/16000"
    """16-bit signed PCM, **little-endian**, 16 kHz (browser legs)."""
    L16_24K = "L16/24000"
    """16-bit signed PCM, **little-endian**, 24 kHz."""

    @property
    def sample_rate_hz(self) -> int:
        return _RATES_HZ[self]

    @property
    def bytes_per_sample(self) -> int:
        return 1 if self in (Codec.PCMU, Codec.PCMA) else 2

    @property
    def silence(self) -> bytes:
        """The bytes of one silent sample."""
        return _SILENCE[self]


_RATES_HZ = {Codec.PCMU: 8_000, Codec.PCMA: 8_000, Codec.L16_16K: 16_000, Codec.L16_24K: 24_000}
_SILENCE = {Codec.PCMU: b"\xff", Codec.PCMA: b"\xd5", Codec.L16_16K: b"\0\0", Codec.L16_24K: b"\0\0"}
