"""Keep a stream's audio on its own clock: what Twilio discarded becomes quiet noise, never a hole.

Under congestion Twilio throws caller audio away (warning 31930) and goes on with a later
``timestamp``. Chunk *n* must still cover its own span of media time.
"""

from wire.audio.codecs import Codec
from wire.audio.comfort_noise import comfort_noise

TOLERANCE_MS = 60  # three packets: timestamps are rounded, and the first may start anywhere
MAX_CONCEALED_MS = 10_000  # a longer jump, either way, is a restart of the sender's clock and not a loss


class StreamClock:
    """Tells how much quiet noise stands in for what is missing before a payload."""

    def __init__(self, codec: Codec) -> None:
        self._bytes_per_ms = codec.sample_rate_hz * codec.bytes_per_sample // 1_000
        self._codec = codec
        self._expected_ms: float | None = None
        self.concealed_samples = 0

    def conceal(self, timestamp: str, payload_bytes: int) -> bytes:
        """Quiet noise to be put before the payload that starts at ``timestamp`` (ms); usually empty.

        A timestamp that is not a number is taken to be on time.
        """
        noise = b""
        if timestamp.isdecimal() and len(timestamp) < 16:
            start_ms = int(timestamp)
            missing_ms = start_ms - (start_ms if self._expected_ms is None else self._expected_ms)
            if self._expected_ms is None or abs(missing_ms) > MAX_CONCEALED_MS:
                self._expected_ms = start_ms
            elif missing_ms >= TOLERANCE_MS:
                samples = round(missing_ms * self._bytes_per_ms) // self._codec.bytes_per_sample
                noise = comfort_noise(self._codec, samples, samples)
                self.concealed_samples += samples
                self._expected_ms = start_ms
        if self._expected_ms is not None:
            self._expected_ms += payload_bytes / self._bytes_per_ms
        return noise
