"""All RTP legs of one gateway: opened, ticked, watched, closed."""

from collections.abc import Callable
from time import monotonic

from gateway.rtp.dtls import DtlsHandshake
from gateway.rtp.stream import MediaStream
from gateway.runner.ticker import Ticker
from gateway.transports.rtp_leg import EndLeg, RtpLeg
from gateway.transports.rtp_ports import PortPair

_WATCH_EVERY_TICKS = 25  # half a second


class MediaPlane:
    """One tick for the media of all calls."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._legs: dict[RtpLeg, Callable[[], None]] = {}
        self._timeout_s: dict[RtpLeg, float] = {}
        self._ticks = 0

    def open(
        self,
        pair: PortPair,
        stream: MediaStream,
        timeout_s: float,
        on_end: EndLeg,
        on_dead: Callable[[], None],
        handshake: DtlsHandshake | None = None,
    ) -> RtpLeg:
        """Send and receive from now on.

        ``on_dead`` is called when nothing came for ``timeout_s``, or the handshake brought no keys.
        """
        leg = RtpLeg(pair, stream, on_end, handshake)
        self._legs[leg] = on_dead
        self._timeout_s[leg] = timeout_s
        self._ticker.add(self._on_tick)
        return leg

    def close(self, leg: RtpLeg) -> None:
        """Stop a leg and count what it went through; harmless twice."""
        if self._legs.pop(leg, None) is None:
            return
        del self._timeout_s[leg]
        leg.close()
        if not self._legs:
            self._ticker.remove(self._on_tick)

    def _on_tick(self, _late_s: float) -> None:
        now = monotonic()
        for leg in tuple(self._legs):
            leg.tick(now)
        self._ticks += 1
        if self._ticks % _WATCH_EVERY_TICKS == 0:
            for leg, on_dead in tuple(self._legs.items()):
                silent_s = leg.stream.silent_s(now)
                if leg.insecure or (silent_s is not None and silent_s > self._timeout_s[leg]):
                    on_dead()
