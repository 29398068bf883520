"""One RTP stream to the caller: what is queued, else quiet noise, one packet each time the ticker asks."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.rtp.dtmf_sender import DtmfSender, EventPacket
from gateway.rtp.fade import FADE_MS, fade_out
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import quiet_frames

HEADER_BYTES = 12
MIN_PTIME_MS = 10
MAX_PTIME_MS = 60
MAX_QUEUED_S = 150.0  # above what ``turn.playout`` ever hands out: whatever comes beyond is a defect of ours

_HEADER = struct.Struct("!HHII")  # V P X CC M PT · sequence number · timestamp · SSRC (RFC 3550 §5.1)
_VERSION = 0x8000
_MARKER = 0x0080


class NoTelephoneEventsError(Exception):
    """Digits were to be sent on a stream for which no telephone-event payload type was agreed."""


@dataclass(frozen=True, slots=True)
class SenderConfig:
    """How a stream is sent.

    ``codec`` is what is queued, ``clock_hz`` and ``payload_type`` are what goes out (G.722 has a clock of 8,000 Hz
    for samples of 16,000 Hz: RFC 3551 §4.5.2). ``encode`` makes a payload of one packet's samples and is called for
    every packet that is sent, silence too, so that it may have a state; None sends the codec as it is.
    ``first_seq`` belongs below 2**15 when the stream is encrypted (RFC 3711 §3.3.1: an early wrap, with the first
    packets lost, loses the roll-over counter).
    ``quiet`` leaves silence out, as after an agreement on comfort noise; otherwise it is sent, and NATs and carriers
    see a steady stream.
    """

    codec: Codec
    clock_hz: int
    payload_type: int
    ptime_ms: int
    ssrc: int
    first_seq: int
    first_timestamp: int
    dtmf_type: int | None = None
    encode: Callable[[bytes], bytes] | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if not MIN_PTIME_MS <= self.ptime_ms <= MAX_PTIME_MS:
            raise ValueError(f"expected a ptime of {MIN_PTIME_MS} to {MAX_PTIME_MS} ms, got {self.ptime_ms}")
        for rate_hz in (self.clock_hz, self.codec.sample_rate_hz):
            if rate_hz * self.ptime_ms % 1_000:
                raise ValueError(f"expected whole samples per packet, got {self.ptime_ms} ms at {rate_hz} Hz")
        for name, payload_type in (("payload_type", self.payload_type), ("dtmf_type", self.dtmf_type or 0)):
            if not 0 <= payload_type <= 127:
                raise ValueError(f"expected a {name} of 0 to 127, got {payload_type}")


class RtpSender:
    """Builds the datagrams of one stream; ``next_packet`` is called once per packet time, on the dot.

    The timestamp follows the calls, whether they gave a packet or not: it is media time. Sequence numbers count
    packets. The marker bit is set where packets do not follow one another without a gap in time: on the first one,
    and after hold, missed ticks or silence that was left out (RFC 3551 §4.1 forbids it elsewhere).
    """

    __slots__ = (
        "_buffer",
        "_config",
        "_dtmf",
        "_encode",
        "_event_buffer",
        "_fade_bytes",
        "_first_word",
        "_frame_bytes",
        "_max_queued_bytes",
        "_odd",
        "_queue",
        "_quiet",
        "_quiet_at",
        "_sequence",
        "_silence",
        "_ssrc",
        "_step",
        "_timestamp",
        "held",
        "octets_sent",
        "overflow_samples",
        "packets_sent",
    )

    def __init__(self, config: SenderConfig) -> None:
        self._ssrc = config.ssrc & 0xFFFF_FFFF
        self._sequence = config.first_seq & 0xFFFF
        self._timestamp = config.first_timestamp & 0xFFFF_FFFF
        self._queue = bytearray()
        self._event_buffer = bytearray(HEADER_BYTES + 4)
        self.held = False
        self.packets_sent = 0
        self.octets_sent = 0
        self.overflow_samples = 0
        self._use(config)
        self._dtmf = DtmfSender(config.clock_hz, self._step)

    def _use(self, config: SenderConfig) -> None:
        codec = config.codec
        self._config = config
        self._encode = config.encode
        self._step = config.clock_hz * config.ptime_ms // 1_000
        self._frame_bytes = codec.sample_rate_hz * config.ptime_ms // 1_000 * codec.bytes_per_sample
        self._fade_bytes = codec.sample_rate_hz * FADE_MS // 1_000 * codec.bytes_per_sample
        self._max_queued_bytes = round(MAX_QUEUED_S * codec.sample_rate_hz) * codec.bytes_per_sample
        self._silence = codec.silence * (self._frame_bytes // codec.bytes_per_sample)
        self._first_word = _VERSION | _MARKER | config.payload_type
        self._buffer = bytearray(HEADER_BYTES) + self._silence
        self._quiet = quiet_frames(codec, self._frame_bytes // codec.bytes_per_sample)
        self._quiet_at = 0
        # One flag leads a packet off the straight way: a marker bit, hold, digits, or silence that is left out.
        self._odd = True

    def reconfigure(self, config: SenderConfig) -> None:
        """Go on with another payload type, ptime or codec (re-INVITE); SSRC and both counters go on as they were.

        Digits on their way are given up when there is no payload type for them any more, and audio that is queued
        when it is of another codec.
        """
        if config.codec is not self._config.codec:
            self._queue.clear()
        if config.dtmf_type is None or config.clock_hz != self._config.clock_hz:
            self._dtmf.abort()
        marked = self._first_word & _MARKER
        self._use(config)
        self._first_word &= marked | ~_MARKER
        self._dtmf.restep(config.clock_hz, self._step)

    @property
    def queued_samples(self) -> int:
        """Samples of the leg's codec that were not sent yet."""
        return len(self._queue) // self._config.codec.bytes_per_sample

    @property
    def sending_dtmf(self) -> bool:
        return self._dtmf.busy

    @property
    def can_send_dtmf(self) -> bool:
        return self._config.dtmf_type is not None

    @property
    def timestamp(self) -> int:
        """RTP timestamp of the next packet."""
        return self._timestamp

    @property
    def ssrc(self) -> int:
        return self._ssrc

    def queue(self, payload: bytes) -> None:
        """Play this after what is queued. Raises ValueError when it ends within a sample.

        What would make the queue longer than ``MAX_QUEUED_S`` is left out and counted in ``overflow_samples``.
        """
        bytes_per_sample = self._config.codec.bytes_per_sample
        if len(payload) % bytes_per_sample:
            raise ValueError(f"expected whole samples of {bytes_per_sample} bytes, got {len(payload)} bytes")
        excess = len(self._queue) + len(payload) - self._max_queued_bytes
        if excess > 0:
            self.overflow_samples += min(excess, len(payload)) // bytes_per_sample
            payload = payload[: max(0, len(payload) - excess)]
        self._queue += payload

    def clear(self) -> int:
        """Drop what is queued and return how many samples will not be sent; the very next packet is silent.

        Speech that was under way ends in a ramp of 5 ms of its own: those samples go out, and do not count.
        """
        queue = self._queue
        queued_samples = self.queued_samples
        ramp = fade_out(self._config.codec, queue[: self._fade_bytes]) if queue else b""
        queue[:] = ramp
        return queued_samples - self.queued_samples

    def hold(self) -> None:
        """Send nothing from now on. Audio that is queued plays to nobody, as time goes by."""
        self.held = True
        self._odd = True

    def resume(self) -> None:
        """Send again. Does nothing to a stream that is not on hold."""
        self.held = False

    def send_dtmf(self, digits: str, duration_ms: int = 100, gap_ms: int = 100) -> None:
        """Send digits as RFC 4733 events after those under way; audio waits in the queue meanwhile.

        Raises NoTelephoneEventsError when the peer takes none, and ValueError (see ``DtmfSender.send``).
        """
        if self._config.dtmf_type is None:
            raise NoTelephoneEventsError("expected an agreed telephone-event payload type, got none")
        self._dtmf.send(digits, duration_ms, gap_ms)
        self._odd = True

    def renumber(self, first_seq: int) -> None:
        """Go on with other sequence numbers: the peer is a new one, which has seen none of them. Media time runs on."""
        self._sequence = first_seq & 0xFFFF
        self._odd = True
        self._first_word |= _MARKER

    def skip(self, packets: int) -> None:
        """Let media time pass for packets that were not asked for in time, so that later ones are not late."""
        if packets > 0:
            self._timestamp = self._timestamp + packets * self._step & 0xFFFF_FFFF
            self._odd = True
            self._first_word |= _MARKER

    def next_packet(self) -> bytearray | None:
        """The RTP datagram of this packet time, or None when nothing is to be sent.

        The buffer is the sender's own: it holds until the next call, and must be neither changed nor kept.
        """
        timestamp = self._timestamp
        self._timestamp = timestamp + self._step & 0xFFFF_FFFF
        return self._next_odd_packet(timestamp) if self._odd else self._build(timestamp, self._queue)

    def _next_odd_packet(self, timestamp: int) -> bytearray | None:
        if self.held:
            del self._queue[: self._frame_bytes]
            self._first_word |= _MARKER
            return None
        if self._dtmf.busy:
            event = self._dtmf.next_packet(timestamp)
            return self._build(timestamp, bytearray()) if event is None else self._build_event(event)
        if self._config.quiet:
            if not self._queue:
                self._first_word |= _MARKER
                return None
        else:
            self._odd = False
        packet = self._build(timestamp, self._queue)
        self._first_word &= ~_MARKER
        return packet

    def _build(self, timestamp: int, queue: bytearray) -> bytearray:
        buffer = self._buffer
        if queue:
            frame_bytes = self._frame_bytes
            payload = queue[:frame_bytes]
            del queue[:frame_bytes]
            if len(payload) < frame_bytes:
                payload += self._silence[len(payload) :]
            buffer[HEADER_BYTES:] = payload if self._encode is None else self._encode(bytes(payload))
        else:
            at = self._quiet_at
            self._quiet_at = at - 1 if at else len(self._quiet) - 1
            frame = self._quiet[at]
            buffer[HEADER_BYTES:] = frame if self._encode is None else self._encode(frame)
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        self.packets_sent += 1
        self.octets_sent += len(buffer) - HEADER_BYTES
        _HEADER.pack_into(buffer, 0, self._first_word, sequence, timestamp, self._ssrc)
        return buffer

    def _build_event(self, event: EventPacket) -> bytearray:
        buffer = self._event_buffer
        assert self._config.dtmf_type is not None, "digits were accepted without a payload type for them"
        first_word = _VERSION | self._config.dtmf_type | (_MARKER if event.marker else 0)
        _HEADER.pack_into(buffer, 0, first_word, self._sequence, event.timestamp, self._ssrc)
        buffer[HEADER_BYTES:] = event.payload
        self._sequence = self._sequence + 1 & 0xFFFF
        self._first_word &= ~_MARKER
        self.packets_sent += 1
        self.octets_sent += len(event.payload)
        return buffer

    def stats(self) -> dict[str, float]:
        """Totals since the start; octets are those of payloads (RFC 3550 §6.4.1)."""
        return {
            "packets_sent": self.packets_sent,
            "octets_sent": self.octets_sent,
            "overflow_samples": self.overflow_samples,
            "digits_sent": self._dtmf.digits_sent,
        }
