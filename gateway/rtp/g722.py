"""G.722 at 64 kbit/s, one stream at a time: 16-bit samples at 16 kHz to octets and back.

An octet holds two samples: the high sub-band in its top two bits, the low one in the other six (ITU-T G.722,
table 1). 20 ms are 320 samples, 640 bytes of ``Codec.L16_16K``, and 160 octets; RTP counts them on a clock of
8,000 Hz (RFC 3551 §4.5.2). Both directions are adaptive: one object for one stream, fed in order.
"""

import sys
from array import array

from G722 import G722

SAMPLE_RATE_HZ = 16_000
RTP_CLOCK_HZ = 8_000
BIT_RATE = 64_000
DELAY_SAMPLES = 22  # both filter banks together: a sample comes out of the decoder 1.4 ms later

_BYTES_PER_OCTET = 4
_SWAP = sys.byteorder == "big"  # the bus has little-endian samples, the codec takes the machine's


class G722Encoder:
    """The sending side of one stream."""

    def __init__(self) -> None:
        self._codec = G722(SAMPLE_RATE_HZ, BIT_RATE)

    def encode(self, pcm: bytes) -> bytes:
        """Little-endian samples to octets, one for four bytes. Raises ValueError for half an octet's worth."""
        if len(pcm) % _BYTES_PER_OCTET:
            raise ValueError(f"expected pairs of 16-bit samples, got {len(pcm)} bytes")
        samples = array("h", pcm)
        if _SWAP:
            samples.byteswap()
        octets: bytes = self._codec.encode(samples)
        return octets


class G722Decoder:
    """The receiving side of one stream. Any octets are valid."""

    def __init__(self) -> None:
        self._codec = G722(SAMPLE_RATE_HZ, BIT_RATE, use_numpy=False)

    def decode(self, octets: bytes) -> bytes:
        """Octets to little-endian samples, four bytes for one."""
        samples: array[int] = self._codec.decode(octets)
        if _SWAP:
            samples.byteswap()
        return samples.tobytes()
