"""Recorded prompts: WAV files as utterances.

Mono at 8, 16, 22.05 or 24 kHz, either 16-bit PCM or µ-law (format tag 7, as telephone systems
keep their prompts). The file is a stranger's: every size in it is checked against what is there.
"""

import os
import struct
from pathlib import Path

import numpy as np

from model_worker.seams import Utterance
from model_worker.tts.words import place_words
from wire.audio.g711 import decode_ulaw

MAX_CLIP_S = 120
RATES_HZ = (8_000, 16_000, 22_050, 24_000)
MAX_FILE_BYTES = MAX_CLIP_S * 24_000 * 2 + 65_536  # the longest clip, and what else its file may carry

_TAG_PCM = 1
_TAG_ULAW = 7
_BITS = {_TAG_PCM: 16, _TAG_ULAW: 8}


class ClipError(Exception):
    """The recording cannot be used; the text names the file, what is wrong, and what was expected."""


def read_clip(path: Path, text: str = "") -> Utterance:
    """Read a recording. ``text`` is what it says: its words are placed by their length. Raises ClipError."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ClipError(f"cannot read clip {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ClipError(f"clip {path}: expected at most {MAX_FILE_BYTES} bytes, got {size}")
    try:
        return parse_clip(data, text)
    except ClipError as error:
        raise ClipError(f"clip {path}: {error}") from None


def parse_clip(data: bytes, text: str = "") -> Utterance:
    """The recording in the bytes of a WAV file. Raises ClipError."""
    chunks = _chunks(data)
    if "fmt " not in chunks or "data" not in chunks:
        raise ClipError("expected a format and a data chunk, found " + (", ".join(map(repr, chunks)) or "no chunk"))
    tag, rate_hz = _format(chunks["fmt "])
    sound = chunks["data"]
    sample_bytes = _BITS[tag] // 8
    if len(sound) % sample_bytes:
        raise ClipError(f"expected whole samples of {sample_bytes} bytes, got {len(sound)} bytes of sound")
    samples = len(sound) // sample_bytes
    if not 0 < samples <= MAX_CLIP_S * rate_hz:
        raise ClipError(f"expected more than 0 and at most {MAX_CLIP_S} s of sound, got {samples / rate_hz:.1f} s")
    pcm = decode_ulaw(sound) if tag == _TAG_ULAW else np.frombuffer(sound, "<i2").astype(np.int16)
    return Utterance(pcm, rate_hz, place_words(text, (), samples))


def _chunks(data: bytes) -> dict[str, memoryview]:
    """The chunks of a RIFF/WAVE file by name; of several with one name, the first."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ClipError("expected a WAV file (RIFF/WAVE)")
    (claimed,) = struct.unpack_from("<I", data, 4)
    if claimed + 8 > len(data) + 1:  # some writers count the last chunk's pad byte and leave it out
        raise ClipError(f"expected {claimed + 8} bytes as its header says, got {len(data)}; it is cut off or damaged")
    chunks: dict[str, memoryview] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if size > len(data) - at:
            raise ClipError(f"chunk {name!r} claims {size} bytes, {len(data) - at} are left")
        chunks.setdefault(name.decode("latin-1"), memoryview(data)[at : at + size])
        at += size + size % 2
    return chunks


def _format(chunk: memoryview) -> tuple[int, int]:
    """(format tag, sample rate) of a format chunk that this reader takes."""
    if len(chunk) < 16:
        raise ClipError(f"expected a format chunk of 16 bytes or more, got {len(chunk)}")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag not in _BITS:
        raise ClipError(f"expected PCM (1) or µ-law (7), got format {tag}")
    if channels != 1:
        raise ClipError(f"expected one channel, got {channels}")
    if rate_hz not in RATES_HZ:
        raise ClipError(f"expected one of {', '.join(map(str, RATES_HZ))} Hz, got {rate_hz}")
    if bits != _BITS[tag]:
        raise ClipError(f"expected {_BITS[tag]} bits per sample, got {bits}")
    return tag, rate_hz
