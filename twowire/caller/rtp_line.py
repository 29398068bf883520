"""A phone's end of an RTP call, pure: a 20 ms media clock, what is said, what is heard, what went over the wire."""

from collections import deque

from gateway.rtp.dtls import DtlsHandshake, HandshakeFailed, Keys, is_dtls
from gateway.rtp.stream import MediaStream
from twowire.caller.messages import FRAME_MS, FRAME_SAMPLES, SILENCE
from twowire.caller.playout import PlayoutBuffer
from twowire.caller.stream import Tick

Address = tuple[str, int]

_PREBUFFER_FRAMES = 2  # what a phone waits with, so that packets a little late do not stutter
_MAX_BUFFERED_FRAMES = 10  # a phone catches up when it is further behind than this


class RtpLine:
    """One call's audio, µ-law on both sides. ``poll`` gives the datagrams to send to ``stream.remote``."""

    def __init__(self, stream: MediaStream, now: float, handshake: DtlsHandshake | None = None) -> None:
        self.stream = stream
        self.insecure = ""
        """Why DTLS brought no keys."""
        self._handshake = handshake
        self.ended = False
        self.skipped_frames = 0
        self._started_at = now
        self._ticks = 0
        self._speech = bytearray()
        self._playout = PlayoutBuffer()
        self._buffered = 0
        self._playing = False
        self._datagrams: deque[bytes] = deque()

    @property
    def unsent_bytes(self) -> int:
        """Caller's audio that is left to send."""
        return len(self._speech)

    @property
    def agent_buffered(self) -> bool:
        """Always False: an RTP sender paces itself, nothing of a turn waits here."""
        return False

    def media_s(self, now: float) -> float:
        """``now`` on the media clock."""
        return now - self._started_at

    def next_due(self) -> float:
        """When the next tick is due, on the clock of ``now``."""
        return self._started_at + self._ticks * FRAME_MS / 1_000

    def tick(self, now: float) -> Tick:
        """Send a packet, hear a frame."""
        index, late_s = self._ticks, now - self.next_due()
        self._ticks += 1
        sent = bytes(self._speech[:FRAME_SAMPLES]).ljust(FRAME_SAMPLES, SILENCE)
        del self._speech[:FRAME_SAMPLES]
        self.stream.queue_audio(sent)
        if (datagram := self.stream.tick(now)) is not None:
            self._datagrams.append(bytes(datagram))
        if self._handshake is not None:
            self._handshake.handle_deadline(now)
            self._shake(self._handshake)
        if now >= self.stream.next_deadline():
            self._hear(self.stream.handle_deadline(now))
        while self.stream.poll() is not None:
            pass  # a caller has no use for the agent's keys, and its reports end with the call
        return Tick(index, sent, self._next_frame(), late_s)

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """One datagram of the media port."""
        if self._handshake is not None and is_dtls(datagram):
            self._handshake.receive(datagram, now)
            self._shake(self._handshake)
            return
        self._hear(self.stream.receive(datagram, source, now))

    def speak(self, ulaw: bytes) -> None:
        """Say this from the next tick on, after what is being said."""
        self._speech += ulaw

    def press(self, digit: str) -> None:
        self.stream.send_dtmf(digit)

    def hang_up(self) -> None:
        """No tick may follow."""
        self.ended = True

    def poll(self) -> bytes | None:
        """The next datagram to send."""
        return self._datagrams.popleft() if self._datagrams else None

    def _shake(self, handshake: DtlsHandshake) -> None:
        while (effect := handshake.poll()) is not None:
            if isinstance(effect, Keys):
                self.stream.use_keys(effect.suite, effect.local_key, effect.remote_key)
            elif isinstance(effect, HandshakeFailed):
                self.insecure = effect.reason
            else:
                self._datagrams.append(effect)

    def _hear(self, audio: bytes) -> None:
        if audio:
            self._playout.add(audio)
            self._buffered += len(audio)

    def _next_frame(self) -> bytes:
        if not self._playing and self._buffered < _PREBUFFER_FRAMES * FRAME_SAMPLES:
            return SILENCE * FRAME_SAMPLES
        self._playing = self._buffered >= FRAME_SAMPLES
        while self._buffered > _MAX_BUFFERED_FRAMES * FRAME_SAMPLES:
            self._playout.next_frame()
            self._buffered -= FRAME_SAMPLES
            self.skipped_frames += 1
        self._buffered = max(0, self._buffered - FRAME_SAMPLES)
        return self._playout.next_frame()
