"""The media of one browser call, over whichever path leads to the browser now."""

from collections.abc import Callable
from time import monotonic

from gateway.events import KeyPressed
from gateway.rtp.stream import MediaStream, SendRtcp
from gateway.transports.stream_leg import EndLeg, StreamLeg
from gateway.webrtc.offer import ICE_SOURCE


class WebRtcLeg(StreamLeg):
    """Sends through ``send``, which the call sets when it has a path; without one media time runs on."""

    def __init__(self, stream: MediaStream, on_end: EndLeg) -> None:
        super().__init__(stream, on_end)
        self.send: Callable[[bytes], None] = _nowhere

    def receive(self, datagram: bytes, now: float) -> None:
        """A datagram from an address whose connectivity check succeeded."""
        audio = self.stream.receive(datagram, ICE_SOURCE, now)
        if audio:
            self._give(audio)

    def lose_path(self) -> None:
        """What is sent from now on is lost."""
        self.send = _nowhere

    def send_due(self, now: float) -> None:
        """Every 20 ms: send the packet of this tick."""
        stream = self.stream
        datagram = stream.tick(now)
        while datagram is not None:
            self.send(bytes(datagram))
            datagram = stream.next_datagram() if stream.pending else None

    def tick(self, now: float) -> None:
        """Every 20 ms: take what the receiver fills in by itself, keys and reports."""
        stream = self.stream
        if now < stream.next_deadline():
            return
        audio = stream.handle_deadline(now)
        if audio:
            self._give(audio)
        while (effect := stream.poll()) is not None:
            self._perform(effect)

    def say_goodbye(self) -> None:
        """In RTCP; the path can be closed after it."""
        self.stream.end(monotonic())
        while (effect := self.stream.poll()) is not None:
            self._perform(effect)

    def _perform(self, effect: KeyPressed | SendRtcp) -> None:
        if isinstance(effect, SendRtcp):
            self.send(effect.datagram)
        else:
            self._post(effect)


def _nowhere(_datagram: bytes) -> None:
    """No path: the datagram is lost, as on any network."""
