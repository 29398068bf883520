"""Read WAV files: prompts of an agent, speech of the test caller. The one parser of both.

Mono, 16-bit PCM, or G.711 as telephone systems keep it (format tags 1, 6 and 7, RFC 2361). The
file is a stranger's: every size in it is checked against what is there.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wire.audio.g711 import Pcm, decode_alaw, decode_ulaw
from wire.audio.resample import RATES_HZ

MAX_S = 120
MAX_FILE_BYTES = MAX_S * 48_000 * 2 + 65_536  # the longest recording, and what else its file may carry
REMEDY = "convert it, for instance: sox IN -c 1 -b 16 -r 16000 OUT.wav"

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_BITS = {_PCM: 16, _ALAW: 8, _ULAW: 8}
_TO_THE_END = 0xFFFFFFFF  # what programs write that stream a file and do not know its length


class WavError(Exception):
    """The recording cannot be used; the text names the file, what is wrong, and the remedy."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono int16, shape ``(samples,)``, at ``sample_rate_hz``."""

    pcm: Pcm
    sample_rate_hz: int


def read_wav(path: Path) -> Recording:
    """Read a file of at most two minutes. Raises WavError."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WavError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise WavError(f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {size}")
    try:
        return parse_wav(data)
    except WavError as error:
        raise WavError(f"{path}: {error}; {REMEDY}") from None


def parse_wav(data: bytes) -> Recording:
    """The recording in the bytes of a file. Raises WavError."""
    chunks = _chunks(data)
    if "fmt " not in chunks or "data" not in chunks:
        raise WavError("expected a format and a data chunk, found " + (", ".join(map(repr, chunks)) or "no chunk"))
    tag, rate_hz = _format(chunks["fmt "])
    sound = chunks["data"]
    sample_bytes = _BITS[tag] // 8
    if len(sound) % sample_bytes:
        raise WavError(f"expected whole samples of {sample_bytes} bytes, got {len(sound)} bytes of sound")
    samples = len(sound) // sample_bytes
    if not 0 < samples <= MAX_S * rate_hz:
        raise WavError(f"expected more than 0 and at most {MAX_S} s of sound, got {samples / rate_hz:.1f} s")
    if tag == _PCM:
        return Recording(np.frombuffer(sound, "<i2").astype(np.int16), rate_hz)
    return Recording((decode_ulaw if tag == _ULAW else decode_alaw)(sound), rate_hz)


def _chunks(data: bytes) -> dict[str, memoryview]:
    """The chunks of a RIFF/WAVE file by name; of several with one name, the first."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("expected a WAV file (RIFF/WAVE)")
    chunks: dict[str, memoryview] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        left = len(data) - at
        if size == _TO_THE_END and name == b"data":
            size = left
        if size > left:
            raise WavError(f"chunk {name!r} claims {size} bytes, {left} are left; it is cut off or damaged")
        chunks.setdefault(name.decode("latin-1"), memoryview(data)[at : at + size])
        at += size + size % 2  # chunks begin at even offsets
    return chunks


def _format(chunk: memoryview) -> tuple[int, int]:
    """(format tag, sample rate) of a format chunk that this reader takes."""
    if len(chunk) < 16:
        raise WavError(f"expected a format chunk of 16 bytes or more, got {len(chunk)}")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if tag not in _BITS:
        raise WavError(f"expected PCM (1) or G.711 (6, 7), got format {tag}")
    if channels != 1:
        raise WavError(f"expected one channel, got {channels}")
    if rate_hz not in RATES_HZ:
        raise WavError(f"expected one of {', '.join(map(str, RATES_HZ))} Hz, got {rate_hz}")
    if bits != _BITS[tag]:
        raise WavError(f"expected {_BITS[tag]} bits per sample, got {bits}")
    return tag, rate_hz
