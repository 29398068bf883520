"""Comfort noise (RFC 3389): what the sender says its silence sounds like, and noise that sounds so.

The noise is one second of white noise, the same for every call, shaped by the sender's filter and
repeated: no chance is drawn, and the ear, or a model, cannot tell.
"""

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.comfort_noise import comfort_noise
from wire.audio.g711 import encode

_FULL_SCALE = 32_767.0
_MAX_COEFFICIENTS = 16  # G.711 appendix II needs no more than 10
_RESPONSE_SAMPLES = 256
_SILENT_LEVEL = 90  # -90 dBov is the last bit of 16
_SEED = 3389
_WHITE = np.random.default_rng(_SEED).standard_normal(16_000)


class ComfortNoise:
    """The silence of one leg, in the leg's codec: quiet noise until a payload says otherwise."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._payload = b""
        self._noise = comfort_noise(codec, codec.sample_rate_hz, _SEED)
        self._at = 0

    def receive(self, payload: bytes) -> bool:
        """Take the payload of one comfort noise packet; False when it is empty, and so says nothing."""
        if not payload:
            return False
        payload = payload[: 1 + _MAX_COEFFICIENTS]
        if payload != self._payload:
            self._payload = payload
            self._noise = self._make(payload[0] & 0x7F, payload[1:])
        return True

    def take(self, samples: int) -> bytes:
        """The next ``samples`` of noise."""
        size = self._codec.bytes_per_sample
        start, wanted = self._at * size, samples * size
        self._at = (self._at + samples) % self._codec.sample_rate_hz
        piece = self._noise[start : start + wanted]
        while len(piece) < wanted:
            piece += self._noise[: wanted - len(piece)]
        return piece

    def _make(self, level: int, coefficients: bytes) -> bytes:
        """One second at ``-level`` dBov: 0 dBov is the level of a square wave of full scale (§3.1)."""
        if level >= _SILENT_LEVEL:
            return comfort_noise(self._codec, self._codec.sample_rate_hz, _SEED)  # no room is that quiet
        noise = _WHITE[: self._codec.sample_rate_hz]
        if coefficients:
            spectrum = np.fft.rfft(noise) * np.fft.rfft(_response(coefficients), len(noise))
            noise = np.fft.irfft(spectrum, len(noise))  # circular: the second joins itself
        noise = noise * (_FULL_SCALE * 10 ** (-level / 20) / np.sqrt(np.mean(noise**2)))
        return encode(self._codec, np.clip(np.rint(noise), -32_768, 32_767).astype(np.int16))


def _response(coefficients: bytes) -> npt.NDArray[np.float64]:
    """The impulse response of the all-pole filter of quantized reflection coefficients (§3.2)."""
    predictor = np.array([1.0])
    for octet in coefficients:
        reflection = min(max(258 * (octet - 127) / 32_768, -0.99), 0.99)  # inside the unit circle: stable
        padded = np.append(predictor, 0.0)
        predictor = padded + reflection * padded[::-1]
    response = np.zeros(_RESPONSE_SAMPLES + len(predictor))
    for n in range(_RESPONSE_SAMPLES):
        past = response[n : n + len(predictor) - 1][::-1]
        response[n + len(predictor) - 1] = (1.0 if n == 0 else 0.0) - predictor[1:] @ past
    return response[len(predictor) - 1 :]
