"""The media of one call: datagrams of the peer's in, the leg's audio out, and the way back.

The shell owns the sockets and the tick. Every 20 ms it calls ``tick`` for the datagram to send and
``handle_deadline`` for audio that stands in for what did not come; both are cheap when there is nothing to do.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.events import KeyPressed
from gateway.rtp.latch import Latch
from gateway.rtp.media_plan import Address, AgreedMedia, Keys, StreamIdentity
from gateway.rtp.packet import HEADER_BYTES
from gateway.rtp.quality import estimate_mos
from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from gateway.rtp.rtcp import is_rtcp
from gateway.rtp.rtcp_session import RtcpSession
from gateway.rtp.sender import RtpSender, SenderConfig
from gateway.rtp.srtp import SrtpSession
from gateway.rtp.tones import RATE_HZ as TONES_RATE_HZ
from gateway.rtp.transcode import Decoding, Transcode, WireCodec, decoding, encoder
from wire.audio.codecs import Codec

TICK_MS = 20
TICK_S = TICK_MS / 1_000

_EMPTY = b""
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class SendRtcp:
    """Send this to ``MediaStream.remote_rtcp``, from the port of RTP where RTCP is multiplexed with it."""

    datagram: bytes


class MediaStream:
    """One call's media, from the answer to the end.

    ``leg`` is the codec of the call, which no re-INVITE changes. ``chance`` gives numbers from 0 to 1.
    With keys in the plan (SDES) the stream is encrypted from the start; with a handshake in it (DTLS) nothing passes,
    either way, until ``use_keys``. ``find_tones`` looks for keys in the audio when the peer sends no events.
    Whatever a datagram holds is counted and never raises.
    """

    __slots__ = (
        "_awaits_keys",
        "_credit_ms",
        "_decoding",
        "_due",
        "_effects",
        "_encode",
        "_expected_since",
        "_find_tones",
        "_heard",
        "_heard_at",
        "_identity",
        "_latch",
        "_leg",
        "_on_hold",
        "_plan",
        "_ptime_ms",
        "_receiver",
        "_rtcp",
        "_rtcp_source",
        "_sender",
        "_session",
        "_srtp",
        "_tick_due",
        "_wire",
        "bad",
        "pending",
    )

    def __init__(
        self,
        plan: AgreedMedia,
        leg: Codec,
        identity: StreamIdentity,
        now: float,
        wall_s: float,
        chance: Callable[[], float],
        *,
        find_tones: bool = False,
    ) -> None:
        self._plan = plan
        self._leg = leg
        self._identity = identity
        self._find_tones = find_tones
        self._on_hold = False
        self._wire = WireCodec(plan.codec)
        self._decoding: Decoding = decoding(self._wire, leg)
        self._encode: Transcode | None = encoder(self._wire, leg, bitrate_bps=plan.bitrate_bps, fec=plan.fec)
        self._session: SrtpSession | None = None  # kept for good: a key that comes back must not begin anew
        self._srtp: SrtpSession | None = None  # what media goes through now
        self._sender = RtpSender(self._sender_config())
        self._receiver = RtpReceiver(self._receiver_config(), now)
        self._latch = Latch(plan.remote)
        self._rtcp = RtcpSession(identity.ssrc, identity.cname, now, wall_s, chance)
        self._rtcp_source: Address | None = None
        self._effects: deque[SendRtcp] = deque()
        self._ptime_ms = self._wire.packet_ms(plan.ptime_ms)
        self._credit_ms = max(0, self._ptime_ms - TICK_MS)  # the first tick sends
        self._tick_due = _NEVER
        self._due = now
        self._heard = _EMPTY  # the last packet of the peer's
        self._heard_at: float | None = None
        self._expected_since = now
        self.pending = 0
        """How many more datagrams this tick has, see ``next_datagram``."""
        self.bad: Counter[str] = Counter()
        """Datagrams refused here, by reason; ``stats`` has those of the parts too."""
        self._take_keys(plan)

    def _sender_config(self) -> SenderConfig:
        plan, identity = self._plan, self._identity
        return SenderConfig(
            codec=self._leg,
            clock_hz=self._wire.clock_hz,
            payload_type=plan.payload_type_out,
            ptime_ms=self._wire.packet_ms(plan.ptime_ms),
            ssrc=identity.ssrc,
            first_seq=identity.first_seq,
            first_timestamp=identity.first_timestamp,
            dtmf_type=plan.dtmf_out,
            encode=self._encode,
        )

    def _receiver_config(self) -> ReceiverConfig:
        plan = self._plan
        return ReceiverConfig(
            codec=self._leg,
            payload_type=plan.payload_type_in,
            clock_hz=self._wire.clock_hz,
            dtmf_type=plan.dtmf_in,
            cn_type=plan.cn_in,
            decode=self._decoding.decode,
            ticks_of=self._decoding.ticks_of,
            recover=self._decoding.recover,
            pause_bytes=self._decoding.pause_bytes,
            find_tones=self._find_tones and plan.dtmf_in is None and self._leg.sample_rate_hz == TONES_RATE_HZ,
        )

    def update(self, plan: AgreedMedia, now: float) -> None:
        """Go on under another agreement (re-INVITE): SSRC, sequence numbers and media time of both ways run on.

        SRTP begins anew only in a direction with a new key. Keys given to ``use_keys`` stay while the terms of their
        handshake do; others close the stream until there are new ones.
        """
        before, self._plan = self._plan, plan
        wire = WireCodec(plan.codec)
        if wire is not self._wire:
            self._decoding = decoding(wire, self._leg)
        if (wire, plan.bitrate_bps, plan.fec) != (self._wire, before.bitrate_bps, before.fec):
            self._encode = encoder(wire, self._leg, bitrate_bps=plan.bitrate_bps, fec=plan.fec)
        self._wire = wire
        if plan.security != before.security:
            self._take_keys(plan)
        self._sender.reconfigure(self._sender_config())
        self._receiver.reconfigure(self._receiver_config())
        self._latch.expect(plan.remote)
        if plan.remote_rtcp != before.remote_rtcp:
            self._rtcp_source = None
        ptime_ms = self._wire.packet_ms(plan.ptime_ms)
        if ptime_ms != self._ptime_ms:
            self._ptime_ms = ptime_ms
            self._credit_ms = max(0, ptime_ms - TICK_MS)
        self._expected_since = now
        self._due = now
        self._let_flow()

    def renumber(self, first_seq: int) -> None:
        """The peer begins anew, and counts our wraps from 0: number packets from below 2**15 (RFC 3711 §3.3.1)."""
        self._sender.renumber(first_seq)

    def use_keys(self, suite: str, local_key: bytes, remote_key: bytes) -> None:
        """Encrypt with the keys of a DTLS handshake (``srtp.split_exported``). Raises ValueError for bad ones."""
        if self._session is None:
            self._session = SrtpSession(suite, local_key, remote_key)
        else:
            self._session.rekey(suite, local_key, remote_key)
        self._srtp = self._session
        self._awaits_keys = False
        self._let_flow()

    def _take_keys(self, plan: AgreedMedia) -> None:
        keys = plan.security
        if isinstance(keys, Keys):
            self.use_keys(keys.suite, keys.local_key, keys.remote_key)
        else:
            self._srtp = None
            self._awaits_keys = keys is not None
            self._let_flow()

    def hold(self) -> None:
        """Send nothing from now on, and expect nothing. RTCP goes on."""
        self._on_hold = True
        self._let_flow()

    def resume(self, now: float) -> None:
        """End the hold, as far as the plan's direction lets us send."""
        self._on_hold = False
        self._expected_since = now
        self._let_flow()

    def _let_flow(self) -> None:
        if self._on_hold or self._awaits_keys or not self._plan.may_send:
            self._sender.hold()
        else:
            self._sender.resume()

    @property
    def remote(self) -> Address | None:
        """Where to send RTP: where the peer's comes from, else its SDP's address where one may send to that."""
        source = self._latch.source
        if source is not None:
            return source
        return self._plan.remote if self._plan.may_send else None

    @property
    def rtcp_mux(self) -> bool:
        """RTCP goes from and to the port of RTP (RFC 5761)."""
        return self._plan.rtcp_mux

    @property
    def remote_rtcp(self) -> Address | None:
        """Where to send RTCP."""
        if self._plan.rtcp_mux:
            return self.remote
        if self._rtcp_source is not None:
            return self._rtcp_source
        return self._plan.remote_rtcp if self._plan.remote_rtcp[1] else None

    def receive(self, datagram: bytes, source: Address, now: float) -> bytes:
        """Take a datagram that came to the RTP port; the leg's audio that became ready, often none."""
        if len(datagram) < HEADER_BYTES or 192 <= datagram[1] <= 223:
            return self._receive_other(datagram, source, now)
        if self._srtp is not None:
            plain = self._srtp.unprotect(datagram)
            if plain is None:
                return _EMPTY
            datagram = plain
        elif self._awaits_keys:
            self.bad["before_keys"] += 1
            return _EMPTY
        if not self._latch.admits(source, datagram, now):
            return _EMPTY
        self._heard = datagram
        self._heard_at = now
        audio = self._receiver.receive(datagram, now)
        if not audio:
            self._due = now  # a gap, a key or a pause: the receiver may now want to be asked earlier
        return audio

    def _receive_other(self, datagram: bytes, source: Address, now: float) -> bytes:
        if not is_rtcp(datagram):
            self.bad["not_rtp"] += 1
        elif not self._plan.rtcp_mux:
            self.bad["rtcp_on_rtp"] += 1
        else:
            self.receive_rtcp(datagram, source, now)
        return _EMPTY

    def receive_rtcp(self, datagram: bytes, source: Address, now: float) -> None:
        """Take a datagram that came to the RTCP port, or RTCP that came to the shared one."""
        if self._srtp is not None:
            plain = self._srtp.unprotect_rtcp(datagram)
            if plain is None:
                return
            datagram = plain
        elif self._awaits_keys:
            self.bad["before_keys"] += 1
            return
        elif not self._knows_host(source):  # nothing else tells a stranger's report from the peer's
            self.bad["rtcp_stranger"] += 1
            return
        received = self._rtcp.received
        self._rtcp.receive(datagram, now)
        if self._rtcp.received > received and not self._plan.rtcp_mux:
            self._rtcp_source = source

    def _knows_host(self, source: Address) -> bool:
        learnt = self._latch.source
        if learnt is not None and source[0] == learnt[0]:
            return True
        return source[0] in (self._plan.remote[0], self._plan.remote_rtcp[0])

    def tick(self, now: float) -> bytes | bytearray | None:
        """The datagram to send to ``remote`` now; to be called every 20 ms.

        It may be the sender's own buffer: send or copy it before the next call. While ``pending`` is above 0, as it
        is with packets of 10 ms, ``next_datagram`` has more. A tick that was missed leaves a gap in media time.
        """
        if 0.0 <= (now - self._tick_due) + TICK_S < 2 * TICK_S:
            self._tick_due += TICK_S
        else:
            self._set_tick(now)
        if self._ptime_ms != TICK_MS:
            self._credit_ms += TICK_MS
            packets, self._credit_ms = divmod(self._credit_ms, self._ptime_ms)
            if not packets:
                return None
            self.pending = packets
            return self.next_datagram()
        packet = self._sender.next_packet()
        return packet if self._srtp is None or packet is None else self._srtp.protect(packet)

    def next_datagram(self) -> bytes | bytearray | None:
        """The next datagram of this tick; None when there is none left to send."""
        while self.pending:
            self.pending -= 1
            packet = self._sender.next_packet()
            if packet is not None:
                return packet if self._srtp is None else self._srtp.protect(packet)
        return None

    def _set_tick(self, now: float) -> None:
        """The first tick, one that is a whole tick late, or one far too early: count what was missed."""
        late_s = 0.0 if self._tick_due == _NEVER else now - self._tick_due
        missed = max(0, int(late_s / TICK_S))
        packets, self._credit_ms = divmod(self._credit_ms + missed * TICK_MS, self._ptime_ms)
        self._sender.skip(packets)
        self._tick_due = (self._tick_due + (missed + 1) * TICK_S) if missed else now + TICK_S

    def handle_deadline(self, now: float) -> bytes:
        """The leg's audio for what did not come in time, mostly none; reports that are due go to ``poll``."""
        if now < self._due:
            return _EMPTY
        audio = self._receiver.handle_deadline(now)
        if now >= self._rtcp.next_deadline():
            self._report(now)
        self._due = min(self._receiver.next_deadline(), self._rtcp.next_deadline())
        return audio

    def next_deadline(self) -> float:
        """When ``handle_deadline`` may have something to do; to be asked again after each ``receive``."""
        return self._due

    def _report(self, now: float) -> None:
        sender = self._sender
        datagram = self._rtcp.handle_deadline(
            now, sender.packets_sent, sender.octets_sent, self._media_time(now), self._receiver.report
        )
        if datagram is not None:
            self._queue_rtcp(datagram)

    def _media_time(self, now: float) -> int:
        """The RTP timestamp of this moment: the next packet's, less the time until it is due."""
        ahead_s = min(max(0.0, self._tick_due - now), TICK_S)
        ahead_s += max(0, self._ptime_ms - TICK_MS - self._credit_ms) / 1_000
        return self._sender.timestamp - round(ahead_s * self._wire.clock_hz)

    def _queue_rtcp(self, datagram: bytes) -> None:
        if self._awaits_keys:
            return
        protected = datagram if self._srtp is None else self._srtp.protect_rtcp(datagram)
        if protected is not None:
            self._effects.append(SendRtcp(protected))

    def poll(self) -> KeyPressed | SendRtcp | None:
        """The next key that the caller pressed, or RTCP to send."""
        return self._effects.popleft() if self._effects else self._receiver.poll()

    def end(self, now: float, reason: str = "") -> None:
        """The call ends: the last report with a goodbye goes to ``poll``."""
        sender = self._sender
        datagram = self._rtcp.end(
            now, sender.packets_sent, sender.octets_sent, self._media_time(now), self._receiver.report(), reason
        )
        if datagram is not None:
            self._queue_rtcp(datagram)

    def queue_audio(self, payload: bytes) -> None:
        """Play bytes of the leg's codec after what is queued (see ``RtpSender.queue``)."""
        self._sender.queue(payload)

    def clear(self) -> int:
        """Drop what is queued; how many samples of the leg's codec were never sent."""
        return self._sender.clear()

    @property
    def queued_samples(self) -> int:
        """What is queued and not sent, in samples of the leg's codec."""
        return self._sender.queued_samples

    @property
    def can_send_dtmf(self) -> bool:
        return self._sender.can_send_dtmf

    def send_dtmf(self, digits: str, duration_ms: int = 100, gap_ms: int = 100) -> None:
        """Send digits as events; raises as ``RtpSender.send_dtmf`` does."""
        self._sender.send_dtmf(digits, duration_ms, gap_ms)

    def silent_s(self, now: float) -> float | None:
        """How long the peer has given no sign of life, neither RTP nor RTCP; None while none is expected of it.

        That is on hold, ours or the peer's (who holds may be silent, RFC 3264 §8.4), and while it pauses after
        comfort noise (RFC 3389) and has never sent RTCP, by which alone one could tell.
        """
        direction = self._plan.direction
        if self._on_hold or self._awaits_keys or not (direction.receives and direction.sends):
            return None
        reported_at = self._rtcp.heard_at
        if reported_at is None and self._heard and self._heard[1] & 0x7F == self._plan.cn_in:
            return None
        return now - max(self._expected_since, self._heard_at or _NEVER, reported_at or _NEVER)

    @property
    def heard(self) -> bool:
        """Whether any of the peer's media got through."""
        return self._heard_at is not None

    def stats(self) -> dict[str, float]:
        """Totals of the parts under ``sent_``, ``heard_``, ``rtcp_``, ``srtp_``, and estimates of quality (MOS).

        ``mos`` is of what we hear, ``remote_mos`` of what the peer last said it hears of us.
        """
        heard = self._receiver.stats()
        figures = {f"sent_{name}": value for name, value in self._sender.stats().items()}
        figures |= {f"heard_{name}": value for name, value in heard.items()}
        figures |= {f"rtcp_{name}": value for name, value in self._rtcp.stats().items()}
        figures |= {f"srtp_{name}": value for name, value in (self._session.errors if self._session else {}).items()}
        figures |= {f"bad_{name}": value for name, value in self.bad.items()}
        figures["latch_refused"] = self._latch.refused
        figures["latch_rebound"] = self._latch.rebound
        packet_s = self._ptime_ms / 1_000
        missing = max(0.0, heard["lost"] + heard["late"] - heard["recovered"])
        if heard["received"]:
            loss = missing / (heard["received"] + heard["lost"])
            figures["mos"] = estimate_mos(self._rtcp.round_trip_s, packet_s + heard["jitter_s"], loss)
        if self._rtcp.remote is not None:
            jitter_s = self._rtcp.remote.jitter / self._wire.clock_hz
            loss = self._rtcp.remote.fraction_lost / 256
            figures["remote_mos"] = estimate_mos(self._rtcp.round_trip_s, packet_s + jitter_s, loss)
        return figures
