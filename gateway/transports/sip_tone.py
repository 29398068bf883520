"""A tone that lasts until it is stopped: ringing at the other end, or a line on hold."""

import asyncio

from gateway.transports.rtp_leg import RtpLeg
from wire.audio.codecs import Codec


class Tone:
    """Plays one period of a tone into a leg again and again, as long as the leg is open."""

    def __init__(self, leg: RtpLeg, codec: Codec, period: bytes) -> None:
        self._leg = leg
        self._period = period
        self._period_s = len(period) / (codec.sample_rate_hz * codec.bytes_per_sample)
        self._next: asyncio.TimerHandle | None = None
        self._play()

    def stop(self) -> None:
        """Silence, at once; harmless twice."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
            self._leg.clear()

    def _play(self) -> None:
        if self._leg.closed:
            self._next = None
            return
        self._leg.send_audio(self._period)
        self._next = asyncio.get_running_loop().call_later(self._period_s, self._play)
