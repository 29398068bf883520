"""One incoming RTP stream: datagrams in, audio without holes out, and the keys that were pressed.

The listener is a model that decides on chunks of 0.4 s, so delay costs and a hole breaks the
chunk clock, but unevenness is nothing. Hence no playout clock: a packet in order is handed on at
once. Only behind a gap do packets wait, no longer than this path is known to reorder
(``jitter_buffer``); then exactly the missing RTP time is concealed. When nothing comes at all
(mute, discontinuous transmission, a dead path) the local clock goes on in the sender's place,
late by the spread of the transit and nearly two packets, so that a packet that is merely slow still finds
its place. What is covered by then is late and dropped, unless all of it is late for a while: the
path has become longer, or the sender paused with its timestamps, and the stream is anchored anew.
"""

from collections import Counter, deque

from gateway.events import KeyPressed
from gateway.rtp.dtmf_in import DtmfReceiver
from gateway.rtp.filler import Filler
from gateway.rtp.jitter import WINDOW_PACKETS, Transit
from gateway.rtp.jitter_buffer import MAX_WAIT_S, MIN_WAIT_S, JitterBuffer
from gateway.rtp.lateness import FAR_BEHIND_S, Lateness
from gateway.rtp.packet import HEADER_BYTES, MAX_PACKET_BYTES, RtpParseError, parse_packet, read_fixed
from gateway.rtp.reception import ReceiverConfig, Reception
from gateway.rtp.sequence import Probation, SequenceNumbers, ticks_between
from gateway.rtp.tones import ToneListener

FILL_S = 0.020  # the local clock makes audio in pieces as packets would
MAX_FILL_S = 2.0  # at once, after a halt of the process
MAX_AHEAD_S = 1.0  # a sender's clock that has gained more than this does not run, it jumps
MAX_HELD_S = 0.5
MAX_HELD_PACKETS = 100  # 0.5 s of 5 ms packets; those without audio may have one timestamp
_CLOCK_GAIN = 0.01  # per second: no oscillator is off by this, so a sender that is faster sends too much
_LEAST_PACKET_S = 0.02
_PATIENCE_PACKETS = 1.75  # the next packet after a lost one comes in time, and no hole is longer than two

_AUDIO, _NOISE, _OTHER = range(3)
_EMPTY = b""
_WRAP = 1 << 32


class RtpReceiver:
    """Receives one stream. Audio is continuous: what was returned so far is the stream's media time.

    Drain datagrams before asking for deadlines, and call ``handle_deadline`` once
    ``next_deadline()`` has passed; both give audio in ``config.codec``. No datagram ever raises.
    """

    __slots__ = (
        "_buffer",
        "_config",
        "_decode",
        "_digits",
        "_dtmf",
        "_fast_from",
        "_fast_sequence",
        "_filler",
        "_first_bits",
        "_keep",
        "_lateness",
        "_least_bytes",
        "_least_s",
        "_next",
        "_next_timestamp",
        "_numbers",
        "_packet_s",
        "_past_lost",
        "_past_received",
        "_probation",
        "_quiet",
        "_recovered",
        "_restarts",
        "_rotated_at",
        "_samples_zero",
        "_ssrc",
        "_tick_s",
        "_ticks_of",
        "_timestamp_zero",
        "_too_fast",
        "_too_late",
        "_transit",
        "bad",
    )

    def __init__(self, config: ReceiverConfig, now: float) -> None:
        self._tick_s = 1 / config.clock_hz
        self._filler = Filler(config.codec)
        self._keep = self._filler.recent.append
        self._buffer = JitterBuffer()
        self._dtmf = DtmfReceiver(config.clock_hz)
        self._probation = Probation()
        self._transit = Transit(now)
        self._digits: deque[str] = deque()
        self.bad: Counter[str] = Counter()
        self._use(config)

        # The media position is ``_next_timestamp - _timestamp_zero`` ticks; its timestamp is wrapped
        # in ``_disarm``. A tick is due at ``_transit.lowest`` plus its position.
        self._next_timestamp = 0
        self._timestamp_zero = 0
        self._samples_zero = 0  # what had been returned when the RTP clock was changed to another rate
        self._ssrc = -1
        self._numbers: SequenceNumbers | None = None
        self._next = 0  # the extended sequence number that is in order
        # While nothing is out of the ordinary, ``receive`` counts in order by this alone; -1 otherwise.
        self._fast_sequence = self._fast_from = -1

        self._packet_s = _LEAST_PACKET_S
        self._quiet = False  # the sender said that it pauses: comfort noise, or a key
        self._lateness = Lateness()
        self._least_s = now - MAX_AHEAD_S  # the transit that no sender in real time undercuts
        self._rotated_at = now
        self._too_late = 0
        self._too_fast = 0
        self._recovered = 0
        self._restarts = 0
        self._past_received = 0
        self._past_lost = 0

    def _use(self, config: ReceiverConfig) -> None:
        self._config = config
        self._first_bits = 0x8080 | config.payload_type  # version 2, nothing else; the marker does not matter
        self._ticks_of = config.ticks_of
        self._least_bytes = HEADER_BYTES + config.pause_bytes
        self._decode = config.decode
        if config.find_tones:
            self._decode = ToneListener(config.codec, config.decode, self._digits.append)

    def reconfigure(self, config: ReceiverConfig) -> None:
        """Take other payload types, another decoder or RTP clock in mid-stream; raises ValueError for another codec."""
        if config.codec is not self._config.codec:
            raise ValueError(f"{config.codec.value} in a stream of {self._config.codec.value}, expected the same")
        if config.clock_hz != self._config.clock_hz:
            self._change_clock(config.clock_hz)
        self._use(config)

    def _change_clock(self, clock_hz: int) -> None:
        """Whatever comes next is a new stream, at the place that media time has reached."""
        self._disarm()
        self._forget_source()
        self._numbers = None
        self._buffer.clear()
        self._transit.restart(self._transit.lowest + self._position * self._tick_s)
        self._least_s = self._transit.lowest - MAX_AHEAD_S
        self._samples_zero = self.media_samples
        self._next_timestamp = self._timestamp_zero = 0
        self._tick_s = 1 / clock_hz
        self._dtmf = DtmfReceiver(clock_hz)
        self._lateness.end()
        self._quiet = False

    def receive(self, datagram: bytes, now: float) -> bytes:
        """The audio that became ready: mostly the packet's own, untouched; empty when there is none."""
        if self._least_bytes < len(datagram) <= MAX_PACKET_BYTES:
            bits, sequence, timestamp, ssrc = read_fixed(datagram)
            if (
                sequence == self._fast_sequence
                and timestamp == self._next_timestamp
                and bits | 0x80 == self._first_bits
                and ssrc == self._ssrc
            ):
                transit_s = now - (timestamp - self._timestamp_zero) * self._tick_s
                if transit_s >= self._least_s:
                    self._transit.update(transit_s)
                    audio = datagram[HEADER_BYTES:]
                    self._fast_sequence = sequence + 1  # 65,536 is never received: a wrap takes the long way
                    if self._decode is None:
                        self._next_timestamp = timestamp + len(audio)
                    else:
                        ticks = self._ticks_of(audio)
                        audio = self._decode(audio)
                        if not audio:
                            return self._stand_in(ticks)
                        self._next_timestamp = timestamp + ticks
                    self._keep(audio)
                    if not sequence % WINDOW_PACKETS:
                        self._rotate(now)
                    return audio
        self._disarm()
        audio = self._receive_odd(datagram, now)
        self._arm()
        return audio

    def handle_deadline(self, now: float) -> bytes:
        """Audio for what is missing and due: give up the gap that others wait behind, or let the local clock go on."""
        if now < self.next_deadline():
            return _EMPTY
        self._disarm()
        audio = b""
        while self._buffer and now >= self._gap_deadline():
            audio += self._give_up_gap(now)
        if not self._buffer and now >= (due := self._due_at(MIN_WAIT_S)):
            pieces = 1 + int(min(now - due, MAX_FILL_S) / FILL_S)
            audio += self._fill(pieces * round(FILL_S / self._tick_s), self._quiet)
        self._arm()
        return audio

    def next_deadline(self) -> float:
        """When ``handle_deadline`` has something to do, if nothing comes before."""
        return self._gap_deadline() if self._buffer else self._due_at(MIN_WAIT_S)

    def _gap_deadline(self) -> float:
        """When the packets behind the first gap have waited enough, or the local clock would go on in any case."""
        jitter_s = self._transit.jitter_s
        return min(self._buffer.deadline(jitter_s), self._due_at(self._buffer.wait_s(jitter_s)))

    def _due_at(self, least_patience_s: float) -> float:
        """When the next audio is overdue even on this path, ``least_patience_s`` or more after its time."""
        transit = self._transit
        patience_s = min(max(transit.spread_s, least_patience_s), MAX_WAIT_S)
        if not self._quiet:
            patience_s += _PATIENCE_PACKETS * self._packet_s
        return transit.lowest + (self._next_timestamp - self._timestamp_zero) * self._tick_s + patience_s

    def poll(self) -> KeyPressed | None:
        """The next key that was pressed."""
        return KeyPressed(self._digits.popleft()) if self._digits else None

    @property
    def media_samples(self) -> int:
        """How much audio has been returned."""
        return self._samples_zero + self._config.samples_at(self._position)

    def report(self) -> Reception | None:
        """What RTCP says of this stream now; begins a new interval. None before the first packet."""
        self._disarm()
        numbers = self._numbers
        reception = None
        if numbers is not None:
            reception = Reception(
                self._ssrc,
                numbers.take_fraction_lost(),
                min(max(numbers.lost, -0x80_0000), 0x7F_FFFF),
                numbers.highest & 0xFFFF_FFFF,
                min(round(self._transit.jitter_s / self._tick_s), 0xFFFF_FFFF),
            )
        self._arm()
        return reception

    def stats(self) -> dict[str, float]:
        """Totals over all sources of this stream, and the jitter now. Packets refused are in ``bad``, by reason."""
        self._disarm()
        numbers = self._numbers
        figures = {
            "received": self._past_received + (numbers.received if numbers else 0),
            "lost": self._past_lost + (max(0, numbers.lost) if numbers else 0),
            "late": self._buffer.late + self._too_late,
            "duplicate": self._buffer.duplicates,
            "reordered": self._buffer.reordered,
            "too_fast": self._too_fast,
            "restarts": self._restarts,
            "concealed_samples": self._filler.concealed_samples,
            "quiet_samples": self._filler.quiet_samples,
            "recovered": self._recovered,
            "bad": self.bad.total() + self._dtmf.malformed,
            "jitter_s": self._transit.jitter_s,
            "wait_s": self._buffer.wait_s(self._transit.jitter_s),
        }
        self._arm()
        return figures

    def _disarm(self) -> None:
        """Count what came in order since ``_arm``; from here on all is done one by one."""
        if self._fast_sequence >= 0:
            packets = self._fast_sequence - self._fast_from
            self._next += packets
            self._fast_sequence = -1
            if self._numbers is not None:
                self._numbers.advance(packets)
        if self._next_timestamp >= _WRAP:
            self._next_timestamp -= _WRAP
            self._timestamp_zero -= _WRAP

    def _arm(self) -> None:
        """Let ``receive`` take the short way again, when there is nothing to be remembered from packet to packet."""
        ordinary = not (self._buffer or self._filler.active or self._quiet) and not self._lateness
        if ordinary and self._numbers is not None:
            self._fast_sequence = self._fast_from = self._next & 0xFFFF

    def _receive_odd(self, datagram: bytes, now: float) -> bytes:
        try:
            payload_type, sequence, timestamp, ssrc, start, end = parse_packet(datagram)
        except RtpParseError as error:
            self.bad[error.reason] += 1
            return _EMPTY
        payload = datagram[start:end]
        kind = _OTHER
        if payload_type == self._config.payload_type:
            if payload and self._ticks_of(payload):
                kind = _AUDIO
            else:
                self.bad["payload" if payload else "empty"] += 1
        elif payload_type == self._config.dtmf_type:
            digit = self._dtmf.receive(ssrc, timestamp, payload, now)
            if digit is not None:
                self._digits.append(digit)
            self._quiet = True
        elif payload_type == self._config.cn_type:
            kind = _NOISE
        else:
            self.bad["payload_type"] += 1
        extended = self._numbers.extend(sequence) if self._numbers is not None and ssrc == self._ssrc else None
        if extended is not None:
            return self._receive_next((extended, kind, timestamp, payload), now)
        # Events may have a source of their own, and a stray packet of another kind proves none.
        return self._receive_unproven(ssrc, sequence, timestamp, payload, now) if kind == _AUDIO else _EMPTY

    def _receive_unproven(self, ssrc: int, sequence: int, timestamp: int, payload: bytes, now: float) -> bytes:
        """A packet of another source, or far from the expected number: two in sequence are a new start."""
        packet = sequence, timestamp, payload
        first = packet if self._numbers is None else self._probation.receive(ssrc, packet, self._next)
        if first is None:
            self.bad["unproven"] += 1
            return _EMPTY
        audio = b""
        while self._buffer:
            audio += self._give_up_gap(now)
        self._forget_source()
        audio += self._anchor(first[1], now)
        self._ssrc = ssrc
        self._numbers = SequenceNumbers(first[0])
        self._next = first[0]
        audio += self._receive_next((self._next, _AUDIO, first[1], first[2]), now)
        if first is not packet:
            self.bad["unproven"] -= 1
            audio += self._receive_next((self._next, _AUDIO, timestamp, payload), now)
        return audio

    def _forget_source(self) -> None:
        if self._numbers is not None:
            self._past_received += self._numbers.received
            self._past_lost += max(0, self._numbers.lost)
            self._restarts += 1
        self._buffer.forget_given_up()

    def _receive_next(self, packet: tuple[int, int, int, bytes], now: float) -> bytes:
        """A packet of the stream, in order or not."""
        extended, kind, timestamp, payload = packet
        assert self._numbers is not None, "the source was believed before"
        self._numbers.receive(extended)
        if extended < self._next:
            self._buffer.receive_behind(extended, now)
            return _EMPTY
        if kind == _AUDIO:
            self._observe(timestamp, now)
            if not extended % WINDOW_PACKETS:
                self._rotate(now)
        if extended > self._next:
            if kind != _AUDIO or self._ahead(timestamp) > 0 or self._buffer:
                self._buffer.hold(packet, now)
                held_s = self._buffer.span_ticks * self._tick_s + self._packet_s
                full = held_s > MAX_HELD_S or len(self._buffer) > MAX_HELD_PACKETS
                return self._give_up_gap(now) if full else _EMPTY
            # No media time is missing: what was lost carried none.
            self._buffer.give_up(self._next, extended, now)
        elif self._buffer:
            self._buffer.close_gap(now)
        self._next = extended + 1
        audio = self._emit(kind, timestamp, payload, True, now)
        return audio + self._release(now) if self._buffer else audio

    def _give_up_gap(self, now: float) -> bytes:
        """Conceal what the held packets wait for, and let go those that are then in order."""
        self._buffer.give_up(self._next, self._buffer.first, now)
        self._next = self._buffer.first
        return self._release(now, pause=False)

    def _release(self, now: float, pause: bool = True) -> bytes:
        """The audio of the held packets that are in order; ``pause`` as in ``_emit``, for the first of them."""
        audio = b""
        while self._buffer and self._buffer.first == self._next:
            self._next += 1
            _, kind, timestamp, payload = self._buffer.take()
            audio += self._emit(kind, timestamp, payload, pause, now)
            pause = pause or kind == _AUDIO  # before that, nothing has told how much is missing
        return audio

    def _emit(self, kind: int, timestamp: int, payload: bytes, pause: bool, now: float) -> bytes:
        """The audio of a packet whose turn it is, after what fills the time before it.

        ``pause`` tells that no packet is missing before this one, so that the sender made a pause.
        """
        if kind == _OTHER:
            return _EMPTY
        audio = b""
        ahead = self._ahead(timestamp)
        if ahead > 0:
            if now - (self._position + ahead) * self._tick_s < self._least_s:
                self._restarts += 1
                audio = self._anchor(timestamp, now)
            elif kind == _AUDIO and not pause and self._config.recover is not None:
                audio = self._recover(ahead, payload)
            else:
                audio = self._fill(ahead, pause)
        if kind == _NOISE:
            self._filler.noise.receive(payload)
            self._quiet = True
            return audio
        covered = max(0, -ahead)
        ticks = self._ticks_of(payload)
        if covered >= ticks:
            if not self._lateness.is_standing(timestamp, covered * self._tick_s, self._tick_s, now):
                self._too_late += 1
                if self._config.decode is not None:
                    self._config.decode(payload)  # an adaptive decoder must hear all there is
                return audio
            self._restarts += 1
            audio += self._anchor(timestamp, now)
            covered = 0
        self._lateness.end()
        self._quiet = len(payload) <= self._config.pause_bytes
        if now - self._position * self._tick_s < self._least_s:
            self._too_fast += 1
            self._next_timestamp += ticks - covered  # as if it had never been sent
            self._timestamp_zero += ticks - covered
            return audio
        self._packet_s = ticks * self._tick_s
        own = payload if self._decode is None else self._decode(payload)
        if not own:
            self.bad["payload"] += 1
            return audio + self._fill(ticks - covered, quiet=False)
        samples = self._advance(ticks - covered)
        if covered:
            own = self._last(own, samples)
        self._filler.keep(own)
        return audio + own if audio else own

    def _stand_in(self, ticks: int) -> bytes:
        """Audio in the place of a packet that came in order and is broken."""
        self._disarm()
        self.bad["payload"] += 1
        audio = self._fill(ticks, quiet=False)
        self._arm()
        return audio

    def _recover(self, ahead: int, payload: bytes) -> bytes:
        """What is missing before ``payload``: its end from what the payload repeats, the rest concealed."""
        assert self._config.recover is not None, "asked for by who looked"
        found = self._config.recover(payload)
        if not found:
            return self._fill(ahead, quiet=False)
        repeated = min(ahead, self._ticks_of(payload))
        audio = self._fill(ahead - repeated, quiet=False) if ahead > repeated else b""
        found = self._last(found, self._advance(repeated))
        self._filler.keep(found)
        self._recovered += 1
        return audio + found

    def _last(self, audio: bytes, samples: int) -> bytes:
        return audio[len(audio) - samples * self._config.codec.bytes_per_sample :]

    def _anchor(self, timestamp: int, now: float) -> bytes:
        """Let the stream go on with ``timestamp``, after what the local clock has still to make."""
        due = int((now - self._transit.lowest) / self._tick_s) - self._position
        audio = self._fill(min(due, round(MAX_HELD_S / self._tick_s)), self._quiet) if due > 0 else b""
        position = self._position
        self._next_timestamp = timestamp
        self._timestamp_zero = timestamp - position
        self._transit.restart(now - position * self._tick_s)
        return audio

    def _observe(self, timestamp: int, now: float) -> None:
        """Count the transit of an audio packet, unless its timestamp is not of this clock."""
        transit_s = now - (self._position + self._ahead(timestamp)) * self._tick_s
        if 0.0 <= transit_s - self._least_s <= MAX_AHEAD_S + FAR_BEHIND_S:
            self._transit.update(transit_s)

    def _rotate(self, now: float) -> None:
        """A window of packets is over."""
        gained_s = _CLOCK_GAIN * (now - self._rotated_at)
        self._least_s = max(self._transit.lowest - MAX_AHEAD_S, self._least_s - gained_s)
        self._rotated_at = now
        self._transit.rotate()
        self._buffer.forget_slowly()

    def _fill(self, ticks: int, quiet: bool) -> bytes:
        return self._filler.fill(self._advance(ticks), quiet or self._numbers is None)

    def _advance(self, ticks: int) -> int:
        """Let media time pass; how many samples of the leg's codec that is."""
        before = self._config.samples_at(self._position)
        self._next_timestamp += ticks
        return self._config.samples_at(self._position) - before

    @property
    def _position(self) -> int:
        return self._next_timestamp - self._timestamp_zero

    def _ahead(self, timestamp: int) -> int:
        """Ticks from what was returned to ``timestamp``; negative when it is covered."""
        return ticks_between(self._next_timestamp, timestamp)
