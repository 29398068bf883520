"""The voice that the model copies: some seconds of it, as each server wants them.

Sound in and out of here is int16, little-endian, mono, 16 kHz. The schema of version 2 asks for a WAV file; the server
that it describes reads float32, as the backends' protocol says.
"""

import io
import wave
from base64 import b64encode

import numpy as np

from model_worker.duplex.minicpm_o.units import IN_HZ, floats


def data_url(pcm: bytes) -> str:
    """A WAV file in a URL (RFC 2397)."""
    octets = io.BytesIO()
    with wave.open(octets, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(IN_HZ)
        clip.writeframes(pcm)
    return f"data:audio/wav;base64,{b64encode(octets.getvalue()).decode()}"


def bare(pcm: bytes) -> bytes:
    """Float32, full scale 1."""
    return floats(np.frombuffer(pcm, "<i2"))
