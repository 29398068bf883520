"""All RTP legs of one gateway: opened, read, ticked, watched, closed.

Sockets are read every 5 ms, all that have something in one go: a wake-up of the loop for each packet would
cost more than the packet (docs/PERFORMANCE.md).
"""

import asyncio
import selectors
from collections.abc import Callable
from time import monotonic

from gateway.rtp.dtls import DtlsHandshake
from gateway.rtp.stream import MediaStream
from gateway.runner.ticker import Ticker
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.rtp_ports import PortPair
from gateway.transports.stream_leg import EndLeg

READ_EVERY_S = 0.005
_MAX_ROUNDS = 64  # datagrams of one socket at once: 12,800 a second, so that a flood delays nobody's packets
_WATCH_EVERY_TICKS = 25  # half a second


class MediaPlane:
    """One tick for the media of all calls."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._legs: dict[RtpLeg, Callable[[], None]] = {}
        self._timeout_s: dict[RtpLeg, float] = {}
        self._ticks = 0
        self._loop = asyncio.get_running_loop()
        self._selector = selectors.DefaultSelector()
        self._reading: asyncio.TimerHandle | None = None

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
        for sock, read in leg.readers():
            self._selector.register(sock, selectors.EVENT_READ, read)
        # Before the calls are woken: packets leave on the dot, whatever the calls have to do.
        self._ticker.add(self._on_tick, first=True)
        if self._reading is None:
            self._reading = self._loop.call_later(READ_EVERY_S, self._read)
        return leg

    def close(self, leg: RtpLeg) -> None:
        """Stop a leg and count what it went through; harmless twice."""
        if self._legs.pop(leg, None) is None:
            return
        del self._timeout_s[leg]
        for sock, _ in leg.readers():
            self._selector.unregister(sock)
        leg.close()
        if not self._legs:
            self._ticker.remove(self._on_tick)

    def _read(self) -> None:
        if not self._legs:
            self._reading = None
            return
        self._reading = self._loop.call_later(READ_EVERY_S, self._read)
        for _ in range(_MAX_ROUNDS):
            ready = self._selector.select(0)
            if not ready:
                break
            for key, _ in ready:
                key.data()

    def _on_tick(self, _late_s: float) -> None:
        now = monotonic()
        legs = tuple(self._legs)
        for leg in legs:
            leg.send_due(now)
        for leg in legs:
            leg.tick(now)
        self._ticks += 1
        if self._ticks % _WATCH_EVERY_TICKS == 0:
            for leg, on_dead in tuple(self._legs.items()):
                silent_s = leg.stream.silent_s(now)
                if leg.insecure or (silent_s is not None and silent_s > self._timeout_s[leg]):
                    on_dead()
