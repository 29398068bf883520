"""Where in his audio somebody speaks, by loudness: good for seconds in a report, not for decisions.

A frame of 20 ms counts as speech when it is 9 dB above the noise of the line and above -50 dBFS. The noise is the
quietest frame of each chunk: speech has one, between two words or sounds. It is believed at once when it is lower than
before, and by 6 dB a second when it is higher, so that a fan at -40 dBFS is learned within two seconds.
"""

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

FRAME_S = 0.02
_ABOVE_NOISE = 10**0.9  # 9 dB, in power
_FULL_SCALE = 32_768.0**2
_LEAST = _FULL_SCALE * 10**-5.0
_LEAST_NOISE = _FULL_SCALE * 10**-6.0  # from here on it is the threshold that counts
_LEARN_DB_PER_S = 6.0

Voiced = npt.NDArray[np.bool_]


class VoiceMeter:
    """One voice, chunk after chunk."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._frame_samples = round(codec.sample_rate_hz * FRAME_S)
        self._noise = _LEAST_NOISE

    def voiced(self, payload: bytes) -> Voiced:
        """One truth per whole frame of ``payload``; a rest shorter than a frame is left out."""
        frames = len(payload) // self._codec.bytes_per_sample // self._frame_samples
        if not frames:
            return np.zeros(0, np.bool_)
        whole = payload[: frames * self._frame_samples * self._codec.bytes_per_sample]
        pcm = decode(self._codec, whole).astype(np.float32).reshape(frames, -1)
        power = np.einsum("ij,ij->i", pcm, pcm) / self._frame_samples
        louder = self._noise * 10 ** (_LEARN_DB_PER_S * FRAME_S * frames / 10)
        self._noise = max(_LEAST_NOISE, min(float(power.min()), louder))
        voiced: Voiced = power > max(_LEAST, self._noise * _ABOVE_NOISE)
        return voiced
