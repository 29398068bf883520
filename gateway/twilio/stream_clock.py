"""Keep a stream's audio on its own clock: what Twilio discarded becomes silence, never a hole.

Under congestion Twilio throws caller audio away (warning 31930) and goes on with a later
``timestamp``. Chunk *n* must still cover its own span of media time.
"""

from wire.audio.codecs import Codec

TOLERANCE_MS = 60  # three packets: timestamps are rounded, and the first may start anywhere
MAX_CONCEALED_MS = 10_000  # a longer jump is a restart of the sender's clock, not a loss


class StreamClock:
    """Tells how much silence stands in for what is missing before a payload."""

    def __init__(self, codec: Codec) -> None:
        self._samples_per_ms = codec.sample_rate_hz // 1_000
        self._bytes_per_sample = codec.bytes_per_sample
        self._silence = codec.silence
        self._next_ms: float | None = None
        self.concealed_samples = 0

    def conceal(self, timestamp: str, payload_bytes: int) -> bytes:
        """Silence to be put before the payload that starts at ``timestamp`` (ms); usually empty."""
        duration_ms = payload_bytes / self._bytes_per_sample / self._samples_per_ms
        start_ms = int(timestamp) if timestamp.isdecimal() and len(timestamp) < 16 else self._next_ms
        if start_ms is None:
            return b""
        missing_ms = 0.0 if self._next_ms is None else start_ms - self._next_ms
        if missing_ms < TOLERANCE_MS or missing_ms > MAX_CONCEALED_MS:
            # On time, or a clock that jumped: follow a jump, but let small differences add up so that drift shows.
            follow = self._next_ms is None or abs(missing_ms) > MAX_CONCEALED_MS
            base_ms = start_ms if follow or self._next_ms is None else self._next_ms
            self._next_ms = base_ms + duration_ms
            return b""
        samples = round(missing_ms * self._samples_per_ms)
        self.concealed_samples += samples
        self._next_ms = start_ms + duration_ms
        return self._silence * samples
