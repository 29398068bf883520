"""Keep the agent's own voice, coming back from the caller's telephone, from counting as the caller.

What was played is known exactly, and when. Most lines send nothing of it back, so that a call pays for a canceller only
once an echo was found: when somebody sounds over the agent, the last 0.4 s are searched for what was played. From then
on the echo is taken out of all that the caller sends while the agent may be heard, before anybody listens to it.
"""

from collections.abc import Callable

from gateway.echo.canceller import FRAME_MS, Canceller
from gateway.echo.media_time import MediaTime
from gateway.echo.played import PlayedAudio
from gateway.echo.search import explained_db, find_echo
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

LONGEST_DELAY_S = 0.7  # Twilio buffers, and satellites; with a room of 12 ms all of it
LIKELY_SHARPNESS = 6.0
SURE_DB = 4.0
"""Of what came back, explained by what was played. 5,000 pairs of voices, tones and noises stayed below 2; an echo has
7 and more, and less than 4 only while the caller talks as well."""

_LOOK_S = 0.4
_LOOK_EVERY_S = 0.1
_LOOKS = 40  # four seconds of talk over the agent without an echo: there is none
_AHEAD_S = 0.02  # the canceller is shown the echo this long after its cause, wherever it really is
_TAIL_S = 1.0  # after the agent has ended: the longest delay, and a room
_WARM_UP_S = 1.0
_GAP_S = 0.5  # the agent was silent, and nobody listened: what came before is no part of it

MakeCanceller = Callable[[int], Canceller]


class EchoGuard:
    """One call's. Times are seconds since the call began; audio is in the leg's codec.

    ``clean`` returns as many bytes as it is given, at most 10 ms later.
    """

    def __init__(self, codec: Codec, make: MakeCanceller) -> None:
        self.return_loss_db: float | None = None
        """How far the echo lies below the agent's voice; None while none was found."""
        self._codec = codec
        self._make = make
        self._rate_hz = codec.sample_rate_hz
        self._played = PlayedAudio(codec)
        self._audible_until_s = 0.0
        self._near = bytearray(codec.silence * round(_WARM_UP_S * self._rate_hz))  # a second or two of the caller
        self._near_bytes = len(self._near)
        self._near_end = 0  # in samples of the call
        self._time = MediaTime(self._rate_hz)
        self._gap_samples = round(_GAP_S * self._rate_hz)
        self._looks = 0
        self._looked_at_s = 0.0
        self._delay = 0
        self._canceller: Canceller | None = None
        self._frame_bytes = self._rate_hz * codec.bytes_per_sample * FRAME_MS // 1_000
        self._waiting = b""  # less than a frame
        self._ready = b""

    def play(self, payload: bytes, at_s: float) -> None:
        """The caller hears ``payload`` from ``at_s`` on."""
        self._played.write(round(at_s * self._rate_hz), payload)
        self._audible_until_s = at_s + self._samples(payload) / self._rate_hz

    def clear(self, at_s: float) -> None:
        """What was given and begins at ``at_s`` or later is not heard after all."""
        self._played.clear(round(at_s * self._rate_hz))
        self._audible_until_s = min(self._audible_until_s, at_s)

    def clean(self, payload: bytes | bytearray, ends_at_s: float) -> bytes | bytearray:
        """The caller's audio that came by ``ends_at_s`` without our echo: the same object while none was found."""
        end = self._time.take(self._samples(payload), round(ends_at_s * self._rate_hz))
        if ends_at_s > self._audible_until_s + _TAIL_S:
            if self._ready or self._waiting:
                waiting, self._waiting = self._waiting + payload, b""
                return self._hand_out(waiting, len(payload))
            return payload
        self._remember(payload, end)
        if self._canceller is None:
            return payload
        return self._hand_out(self._cancel(self._canceller, payload), len(payload))

    def look(self, now_s: float) -> bool:
        """Somebody sounds over the agent: True when this turns out, now, to be the agent."""
        if self._canceller is not None or self._looks >= _LOOKS or now_s < self._looked_at_s + _LOOK_EVERY_S:
            return False
        self._looks += 1
        self._looked_at_s = now_s
        count, longest = round(_LOOK_S * self._rate_hz), round(LONGEST_DELAY_S * self._rate_hz)
        far = decode(self._codec, self._played.read(self._near_end - count - longest, count + longest))
        near = decode(self._codec, self._near[-count * self._codec.bytes_per_sample :])
        peak = find_echo(near, far, self._rate_hz)
        if peak is None or peak.sharpness < LIKELY_SHARPNESS:
            return False
        if explained_db(near, far, peak.delay_samples, self._rate_hz) < SURE_DB:
            return False
        self._delay = max(0, peak.delay_samples - round(_AHEAD_S * self._rate_hz))
        self.return_loss_db = peak.return_loss_db
        self._canceller = canceller = self._make(self._rate_hz)
        self._warm_up(canceller)
        return True

    def _remember(self, payload: bytes | bytearray, end: int) -> None:
        """Keep the last second."""
        if end - self._near_end - self._samples(payload) > self._gap_samples:
            self._near = bytearray(self._codec.silence * self._samples(self._near))
        self._near_end = end
        self._near += payload
        if len(self._near) > 2 * self._near_bytes:
            del self._near[: -self._near_bytes]

    def _warm_up(self, canceller: Canceller) -> None:
        """Let the canceller learn the path from the last second; what comes next follows it without a gap."""
        near = bytes(self._near[-self._near_bytes :])
        start = self._near_end - self._samples(near)
        for at in range(0, len(near), self._frame_bytes):
            self._process(canceller, near[at : at + self._frame_bytes], start + self._samples(near[:at]))

    def _cancel(self, canceller: Canceller, payload: bytes | bytearray) -> bytes:
        audio = self._waiting + payload
        whole = len(audio) // self._frame_bytes * self._frame_bytes
        start = self._near_end - self._samples(audio)
        self._waiting = audio[whole:]
        return b"".join(
            self._process(canceller, audio[at : at + self._frame_bytes], start + at // self._codec.bytes_per_sample)
            for at in range(0, whole, self._frame_bytes)
        )

    def _process(self, canceller: Canceller, frame: bytes, start: int) -> bytes:
        far = self._played.read(start - self._delay, self._samples(frame))
        return encode(self._codec, canceller.process(decode(self._codec, frame), decode(self._codec, far)))

    def _hand_out(self, audio: bytes, wanted_bytes: int) -> bytes:
        """As many bytes as came; the first time that less than whole frames came, a little silence before them."""
        ready = self._ready + audio
        missing = (wanted_bytes - len(ready)) // self._codec.bytes_per_sample
        if missing > 0:
            ready = self._codec.silence * missing + ready
        self._ready = ready[wanted_bytes:]
        return ready[:wanted_bytes]

    def _samples(self, audio: bytes | bytearray) -> int:
        return len(audio) // self._codec.bytes_per_sample
