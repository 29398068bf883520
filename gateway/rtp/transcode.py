"""From a leg's codec to the one on the wire and back, one stream and one direction at a time.

A call keeps its codec from its first packet to its last; a re-INVITE may change what is on the wire.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.rtp.g722 import G722Decoder, G722Encoder
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import quiet_frames
from wire.audio.g711 import decode, encode
from wire.audio.opus import BITRATE_BPS, DTX_BYTES, REPEATING_BPS, OpusDecoder, OpusEncoder, packet_ms, ticks_of
from wire.audio.opus import CLOCK_HZ as OPUS_CLOCK_HZ
from wire.audio.resample import Resampler

Transcode = Callable[[bytes], bytes]


class WireCodec(StrEnum):
    """What RTP carries, by its encoding name in SDP (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"

    @property
    def clock_hz(self) -> int:
        return OPUS_CLOCK_HZ if self is WireCodec.OPUS else 8_000  # G.722 too: RFC 3551 §4.5.2 keeps an old mistake

    def packet_ms(self, asked_ms: int) -> int:
        """The longest packets that are no longer than asked for: those of Opus do not come in all lengths."""
        return packet_ms(asked_ms) if self is WireCodec.OPUS else asked_ms

    @property
    def leg(self) -> Codec:
        """The codec of a leg that needs no or the least work."""
        return Codec.L16_16K if self in (WireCodec.G722, WireCodec.OPUS) else Codec(self.value)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How payloads become a leg's audio; see ``reception.ReceiverConfig``."""

    decode: Transcode | None
    ticks_of: Callable[[bytes], int] = len
    recover: Transcode | None = None
    pause_bytes: int = 0


def decoding(wire: WireCodec, leg: Codec) -> Decoding:
    """What turns payloads into ``leg``; nothing when they are already. May have a state: for one stream, in order."""
    if wire is WireCodec.OPUS:
        opus = OpusDecoder()
        if leg is wire.leg:
            return Decoding(opus.decode, ticks_of, opus.recover, DTX_BYTES)
        convert = _Converting(wire.leg, leg)
        return Decoding(_joined(opus.decode, convert), ticks_of, _joined(opus.recover, convert), DTX_BYTES)
    expand = G722Decoder().decode if wire is WireCodec.G722 else None
    return Decoding(_joined(expand, conversion(wire.leg, leg)))


def encoder(wire: WireCodec, leg: Codec, *, bitrate_bps: int = REPEATING_BPS, fec: bool = True) -> Transcode | None:
    """The way back, for whole packets, of a length that ``packet_ms`` gives.

    Of Opus, ``bitrate_bps`` is the most that the peer takes; ``fec`` says that it can make use of repeats.
    """
    compress: Transcode | None = None
    if wire is WireCodec.G722:
        compress = G722Encoder().encode
    elif wire is WireCodec.OPUS:
        compress = _QuietOpus(bitrate_bps, fec)
    return _joined(conversion(leg, wire.leg), compress)


def _joined(first: Transcode | None, then: Transcode | None) -> Transcode | None:
    if first is None or then is None:
        return first or then
    return lambda payload: then(first(payload))


def conversion(source: Codec, target: Codec) -> Transcode | None:
    """What turns audio of one leg's codec into another's; None between equals. May have a state."""
    if source is target:
        return None
    if source.bytes_per_sample + target.bytes_per_sample == 2:  # G.711 of one law to the other, octet by octet
        table = encode(target, decode(source, bytes(range(256))))
        return lambda payload: payload.translate(table)
    return _Converting(source, target)


class _Converting:
    """By way of samples, at another rate."""

    def __init__(self, source: Codec, target: Codec) -> None:
        self._source = source
        self._target = target
        self._resampler = Resampler(source.sample_rate_hz, target.sample_rate_hz)

    def __call__(self, payload: bytes) -> bytes:
        return encode(self._target, self._resampler.push(decode(self._source, payload)))


class _QuietOpus:
    """Encodes what is to be heard. The noise of pauses, most of a call, is encoded once the decoder has settled, and
    repeated from then on.

    It is sent all the time, as in all other codecs. To leave most packets out, as DTX does, would save 6 µs each, and
    the steady stream by which a peer, a NAT, or who looks for the fault of a call sees that we are there.
    """

    _SETTLED_PACKETS = 10

    def __init__(self, bitrate_bps: int, fec: bool) -> None:
        repeats = fec and bitrate_bps >= REPEATING_BPS
        self._encode = OpusEncoder(
            REPEATING_BPS if repeats else min(bitrate_bps, BITRATE_BPS), loss_percent=10 if repeats else 0
        ).encode
        self._quiet_packets = 0
        self._frame_bytes = 0
        self._quiet: dict[bytes, bytes | None] = {}
        """How the frames of noise that the sender sends in a pause are encoded, as far as they were."""

    def __call__(self, pcm: bytes) -> bytes:
        if len(pcm) != self._frame_bytes:  # the first packet, or they are of another length from here on
            self._frame_bytes = len(pcm)
            self._quiet = dict.fromkeys(quiet_frames(Codec.L16_16K, len(pcm) // 2))
            self._quiet_packets = 0
        if pcm not in self._quiet:
            self._quiet_packets = 0
            return self._encode(pcm)
        self._quiet_packets += 1
        known = self._quiet[pcm]
        if known is not None and self._quiet_packets > self._SETTLED_PACKETS:
            return known
        encoded = self._encode(pcm)
        if self._quiet_packets > self._SETTLED_PACKETS:
            self._quiet[pcm] = encoded
        return encoded
