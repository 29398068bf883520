"""G.711 by table: µ-law and A-law bytes to 16-bit samples and back.

Both directions are those of the ITU-T reference code (G.191, ``ulaw_compress``,
``alaw_compress`` and their inverses): the standard's 14- and 13-bit values stand at the top of
16 bits, and a negative sample is measured by its one's complement, so that -1 and 0 fall into
the smallest interval on their side. One table look-up per sample, for any array shape.
"""

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec

Pcm = npt.NDArray[np.int16]
Codes = bytes | bytearray | memoryview | npt.NDArray[np.uint8]
"""G.711 octets; an array may have any shape, which the samples then have too."""

_ULAW_BIAS = 33  # G.711 table 2a: with it, every segment starts at a power of two


def _ulaw_decode_table() -> Pcm:
    codes = ~np.arange(256, dtype=np.uint8)  # the line carries all bits inverted
    segment = (codes >> 4 & 7).astype(np.int32)
    step = (codes & 15).astype(np.int32)
    magnitude = ((2 * step + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return (np.where(codes & 0x80, -magnitude, magnitude) * 4).astype(np.int16)


def _alaw_decode_table() -> Pcm:
    codes = np.arange(256, dtype=np.uint8) ^ 0x55  # the line carries every other bit inverted
    segment = (codes >> 4 & 7).astype(np.int32)
    step = (codes & 15).astype(np.int32)
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return (np.where(codes & 0x80, magnitude, -magnitude) * 8).astype(np.int16)


def _encode_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The code of every sample, indexed by the sample's bits read as unsigned: (µ-law, A-law)."""
    pcm = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    negative = pcm < 0
    magnitude = np.where(negative, ~pcm, pcm)

    biased = np.minimum((magnitude >> 2) + _ULAW_BIAS, 0x1FFF)
    segment = np.floor(np.log2(biased)).astype(np.int32) - 5
    ulaw = ~(np.where(negative, 0x80, 0) | segment << 4 | (biased >> (segment + 1) & 15))

    twelve_bits = magnitude >> 4
    segment = np.maximum(np.floor(np.log2(np.maximum(twelve_bits, 1))).astype(np.int32) - 3, 0)
    step = twelve_bits >> np.maximum(segment - 1, 0) & 15
    alaw = (np.where(negative, 0, 0x80) | segment << 4 | step) ^ 0x55
    return (ulaw & 0xFF).astype(np.uint8), alaw.astype(np.uint8)


_ULAW_TO_PCM = _ulaw_decode_table()
_ALAW_TO_PCM = _alaw_decode_table()
_PCM_TO_ULAW, _PCM_TO_ALAW = _encode_tables()


def decode_ulaw(codes: Codes) -> Pcm:
    """µ-law octets to int16 samples, of the same shape."""
    return _ULAW_TO_PCM[_as_array(codes)]


def decode_alaw(codes: Codes) -> Pcm:
    """A-law octets to int16 samples, of the same shape."""
    return _ALAW_TO_PCM[_as_array(codes)]


def encode_ulaw(pcm: Pcm) -> bytes:
    """Int16 samples to µ-law octets; a batch comes out row after row."""
    return _PCM_TO_ULAW[pcm.view(np.uint16)].tobytes()


def encode_alaw(pcm: Pcm) -> bytes:
    """Int16 samples to A-law octets; a batch comes out row after row."""
    return _PCM_TO_ALAW[pcm.view(np.uint16)].tobytes()


def decode(codec: Codec, payload: Codes) -> Pcm:
    """Audio as it crosses the bus to int16 samples at ``codec.sample_rate_hz``.

    ``payload`` may be a 2-D array of octets, one row per call. Raises ValueError when it ends
    within a sample.
    """
    if codec is Codec.PCMU:
        return decode_ulaw(payload)
    if codec is Codec.PCMA:
        return decode_alaw(payload)
    octets = _as_array(payload)
    if octets.shape[-1] % codec.bytes_per_sample:
        raise ValueError(f"{octets.shape[-1]} bytes of {codec.value}, expected whole samples of 2 bytes")
    return octets.view("<i2").astype(np.int16, copy=False)


def encode(codec: Codec, pcm: Pcm) -> bytes:
    """Int16 samples at ``codec.sample_rate_hz`` to audio as it crosses the bus."""
    if codec is Codec.PCMU:
        return encode_ulaw(pcm)
    if codec is Codec.PCMA:
        return encode_alaw(pcm)
    return pcm.astype("<i2", copy=False).tobytes()


def _as_array(codes: Codes) -> npt.NDArray[np.uint8]:
    return codes if isinstance(codes, np.ndarray) else np.frombuffer(codes, np.uint8)


def quiet_codes(codec: Codec, below: int = 256) -> bytes:
    """The octets of a G.711 codec whose samples are closer to zero than ``below`` of 32,768; none of linear codecs.

    256 is -42 dBFS. With ``bytes.translate`` they tell how much of some audio is loud, without decoding it.
    """
    if codec.bytes_per_sample != 1:
        return b""
    octets = np.arange(256, dtype=np.uint8)
    levels = np.abs(decode(codec, octets.tobytes()).astype(np.int32))
    return octets[levels < below].tobytes()
