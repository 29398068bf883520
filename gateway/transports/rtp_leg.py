"""The media of one SIP call: its sockets, its stream, and the call's side of both."""

import socket
from collections.abc import Callable
from time import monotonic

from gateway.events import KeyPressed
from gateway.rtp.dtls import DtlsHandshake, HandshakeFailed, Keys, is_dtls
from gateway.rtp.media_plan import Address
from gateway.rtp.stream import MediaStream, SendRtcp
from gateway.transports.rtp_ports import PortPair
from gateway.transports.stream_leg import EndLeg, StreamLeg

_MAX_DATAGRAM = 2_048
_MAX_BACKLOG = 64  # datagrams taken at once from one socket: more than a second of a call, less than a flood


class RtpLeg(StreamLeg):
    """Sends one packet per tick and hands on what arrives."""

    def __init__(
        self, pair: PortPair, stream: MediaStream, on_end: EndLeg, handshake: DtlsHandshake | None = None
    ) -> None:
        super().__init__(stream, on_end)
        self.insecure = ""
        """Why no keys were agreed on, where DTLS was to bring them: the call cannot go on."""
        self._handshake = handshake
        self._handshake_peer: Address | None = None
        self.port = pair.port
        self.send_errors = 0
        self._pair = pair
        self._rtp = pair.rtp
        self._receive = stream.receive
        self.closed = False

    def readers(self) -> tuple[tuple[socket.socket, Callable[[], object]], ...]:
        """What to call when a socket has something; each takes one datagram."""
        return ((self._pair.rtp, self._read_rtp), (self._pair.rtcp, self._read_rtcp))

    def send_due(self, now: float) -> None:
        """Every 20 ms: send the packet, or the packets, of this tick."""
        stream = self.stream
        datagram = stream.tick(now)
        while datagram is not None:
            remote = stream.remote
            if remote is not None:
                self._send_to(self._rtp, datagram, remote)
            datagram = stream.next_datagram() if stream.pending else None

    def tick(self, now: float) -> None:
        """Every 20 ms: take what the receiver fills in by itself, keys and reports."""
        stream = self.stream
        if self._handshake is not None:
            self._handshake.handle_deadline(now)
            self._shake(self._handshake)
        if now < stream.next_deadline():
            return
        # What lies in the socket was not lost, the loop is late: to conceal it would cost more than to read it.
        for _ in range(_MAX_BACKLOG):
            if not self._read_rtp():
                break
        audio = stream.handle_deadline(now)
        if audio:
            self._give(audio)
        while (effect := stream.poll()) is not None:
            self._perform(effect)

    def close(self) -> None:
        """Say goodbye in RTCP and give the ports back; harmless twice."""
        if self.closed:
            return
        self.stream.end(monotonic())
        while (effect := self.stream.poll()) is not None:
            self._perform(effect)
        self.closed = True
        self._session = None
        self._pair.close()

    def _read_rtp(self) -> bool:
        """Take one datagram; False when there is none."""
        try:
            datagram, source = self._rtp.recvfrom(_MAX_DATAGRAM)
        except OSError:
            return False  # or the peer's port is closed: RTCP and the time-out tell
        if self._handshake is not None and is_dtls(datagram):
            self._handshake_peer = source
            self._handshake.receive(datagram, monotonic())
            self._shake(self._handshake)
            return True
        audio = self._receive(datagram, source, monotonic())
        if audio:
            self._give(audio)
        return True

    def _shake(self, handshake: DtlsHandshake) -> None:
        """Perform what the handshake wants: datagrams out, keys into the stream (RFC 5764 §5.1.2)."""
        while (effect := handshake.poll()) is not None:
            if isinstance(effect, Keys):
                self.stream.use_keys(effect.suite, effect.local_key, effect.remote_key)
            elif isinstance(effect, HandshakeFailed):
                self.insecure = effect.reason
            elif (peer := self._handshake_peer or self.stream.remote) is not None:
                self._send_to(self._rtp, effect, peer)

    def _read_rtcp(self) -> None:
        try:
            datagram, source = self._pair.rtcp.recvfrom(_MAX_DATAGRAM)
        except OSError:
            return
        self.stream.receive_rtcp(datagram, source, monotonic())

    def _perform(self, effect: KeyPressed | SendRtcp) -> None:
        if isinstance(effect, KeyPressed):
            self._post(effect)
            return
        mux = self.stream.rtcp_mux
        remote = self.stream.remote_rtcp
        if remote is not None:
            self._send_to(self._pair.rtp if mux else self._pair.rtcp, effect.datagram, remote)

    def _send_to(self, sock: socket.socket, datagram: bytes | bytearray, remote: Address) -> None:
        try:
            sock.sendto(datagram, remote)
        except OSError:
            self.send_errors += 1  # an unreachable peer: the time-out ends the call, not one lost packet
