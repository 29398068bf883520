"""From a leg's codec to the one on the wire and back, one stream and one direction at a time.

A call keeps its codec from its first packet to its last; a re-INVITE may change what is on the wire.
"""

from collections.abc import Callable
from enum import StrEnum

from gateway.rtp.g722 import G722Decoder, G722Encoder
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode
from wire.audio.resample import Resampler

Transcode = Callable[[bytes], bytes]


class WireCodec(StrEnum):
    """What RTP carries, by its encoding name in SDP (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"

    @property
    def clock_hz(self) -> int:
        return 8_000  # G.722 too: RFC 3551 §4.5.2 keeps an old mistake

    @property
    def leg(self) -> Codec:
        """The codec of a leg that needs no or the least work."""
        return Codec.L16_16K if self is WireCodec.G722 else Codec(self.value)


def decoder(wire: WireCodec, leg: Codec) -> Transcode | None:
    """What turns payloads into ``leg``; None when they are already. May have a state: for one stream, in order."""
    if wire.leg is not leg:
        return _translator(wire.leg, leg) or _Decoding(wire, leg)
    return G722Decoder().decode if wire is WireCodec.G722 else None


def encoder(wire: WireCodec, leg: Codec) -> Transcode | None:
    """The way back, for whole packets of 10 ms or more."""
    if wire.leg is not leg:
        return _translator(leg, wire.leg) or _Encoding(wire, leg)
    return G722Encoder().encode if wire is WireCodec.G722 else None


def _translator(source: Codec, target: Codec) -> Transcode | None:
    """G.711 of one law to the other, octet by octet."""
    if source.bytes_per_sample + target.bytes_per_sample != 2:
        return None
    table = encode(target, decode(source, bytes(range(256))))
    return lambda payload: payload.translate(table)


class _Decoding:
    def __init__(self, wire: WireCodec, leg: Codec) -> None:
        self._expand = G722Decoder().decode if wire is WireCodec.G722 else None
        self._source = wire.leg
        self._leg = leg
        self._resampler = Resampler(wire.leg.sample_rate_hz, leg.sample_rate_hz)

    def __call__(self, payload: bytes) -> bytes:
        expanded = payload if self._expand is None else self._expand(payload)
        return encode(self._leg, self._resampler.push(decode(self._source, expanded)))


class _Encoding:
    def __init__(self, wire: WireCodec, leg: Codec) -> None:
        self._compress = G722Encoder().encode if wire is WireCodec.G722 else None
        self._leg = leg
        self._target = wire.leg
        self._resampler = Resampler(leg.sample_rate_hz, wire.leg.sample_rate_hz)

    def __call__(self, payload: bytes) -> bytes:
        samples = encode(self._target, self._resampler.push(decode(self._leg, payload)))
        return samples if self._compress is None else self._compress(samples)
