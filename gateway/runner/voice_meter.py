"""Where in his audio somebody speaks, by loudness: good for seconds in a report, not for decisions.

A frame of 20 ms counts as speech when it is 9 dB above the noise of the line and above -50 dBFS. The noise is the
quietest frame of each chunk, taken at once when it falls and by an eighth when it rises, so that a fan that goes on
is learned within two seconds; a chunk of pure speech has a quiet frame as well, between two words or sounds.
"""

import numpy as np
import numpy.typing as npt

from wire.audio.codecs import Codec
from wire.audio.g711 import decode

FRAME_S = 0.02
_ABOVE_NOISE = 10**0.9  # 9 dB, in power
_LEAST = (32_768 * 10 ** (-50 / 20)) ** 2
_LEARN = 0.125

Voiced = npt.NDArray[np.bool_]


class VoiceMeter:
    """One voice, chunk after chunk."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._frame_samples = round(codec.sample_rate_hz * FRAME_S)
        self._noise = 0.0

    def voiced(self, payload: bytes) -> Voiced:
        """One truth per whole frame of ``payload``; a rest shorter than a frame is left out."""
        frames = len(payload) // self._codec.bytes_per_sample // self._frame_samples
        if not frames:
            return np.zeros(0, np.bool_)
        whole = payload[: frames * self._frame_samples * self._codec.bytes_per_sample]
        pcm = decode(self._codec, whole).astype(np.float32).reshape(frames, -1)
        power = np.einsum("ij,ij->i", pcm, pcm) / self._frame_samples
        quietest = float(power.min())
        self._noise += (quietest - self._noise) * (_LEARN if quietest > self._noise else 1.0)
        voiced: Voiced = power > max(_LEAST, self._noise * _ABOVE_NOISE)
        return voiced
