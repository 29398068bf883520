"""Make sound quieter or louder without a click."""

import numpy as np

from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode


def scale(codec: Codec, payload: bytes, from_db: float, to_db: float) -> bytes:
    """``payload`` with a gain that goes evenly from ``from_db`` to ``to_db`` over its length.

    Whole samples only; what would be louder than full scale is clipped.
    """
    if from_db == to_db == 0.0 or not payload:
        return payload
    pcm = decode(codec, payload).astype(np.float32)
    gain = np.linspace(10 ** (from_db / 20), 10 ** (to_db / 20), len(pcm), dtype=np.float32)
    return encode(codec, np.clip(np.rint(pcm * gain), -32_768, 32_767).astype(np.int16))
