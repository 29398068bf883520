"""The caller's voice: a text spoken by the installed voice, or a wav file, as µ-law at 8 kHz."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model_worker.seams import Tts
from twowire.caller.messages import SAMPLE_RATE_HZ
from wire.audio.g711 import decode_alaw, encode_ulaw
from wire.audio.resample import RATES_HZ, Pcm, Resampler

MAX_WAV_BYTES = 64 * 1024 * 1024
_PCM, _ALAW, _ULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE  # format tags, RFC 2361
_REMEDY = "convert it, for instance: ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav"


class SpeechError(Exception):
    """There is no such speech; the text names the file and the remedy."""


def to_ulaw(pcm: Pcm, rate_hz: int) -> bytes:
    """Int16 mono to µ-law at 8 kHz. Raises ValueError for a rate that is not one of ``RATES_HZ``."""
    resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)
    return encode_ulaw(np.concatenate((resampler.push(pcm), resampler.flush())))


def speak(text: str, tts: Tts) -> bytes:
    """A text as one utterance. Raises TtsError."""
    utterance = tts.synthesize(text)
    return to_ulaw(utterance.pcm, utterance.sample_rate_hz)


def read_wav(path: Path) -> bytes:
    """A mono wav file: µ-law or A-law at 8 kHz, or 16-bit PCM at one of ``RATES_HZ``. Raises SpeechError."""
    try:
        if path.stat().st_size > MAX_WAV_BYTES:
            raise SpeechError(f"{path} is larger than {MAX_WAV_BYTES >> 20} MiB; {_REMEDY}")
        data = path.read_bytes()
    except OSError as error:
        raise SpeechError(f"cannot read {path}: {error.strerror}") from None
    try:
        return parse_wav(data)
    except ValueError as error:
        raise SpeechError(f"{path}: {error}; {_REMEDY}") from None


def parse_wav(data: bytes) -> bytes:
    """The audio of a wav file's bytes as µ-law at 8 kHz. The standard library reads no G.711.

    A data chunk whose length runs past the end (streamed files) is taken to the end. Raises ValueError.
    """
    layout: tuple[int, int, int, int] | None = None
    for kind, body in _chunks(data):
        if kind == b"fmt " and len(body) >= 16:
            tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if tag == _EXTENSIBLE and len(body) >= 26:
                (tag,) = struct.unpack_from("<H", body, 24)
            layout = tag, channels, rate_hz, bits
        elif kind == b"data":
            if layout is None:
                break
            return _decode(body, *layout)
    raise ValueError("not a wav file with a format and data")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF WAVE file, (name, body)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2  # chunks begin at even offsets


def _decode(body: bytes, tag: int, channels: int, rate_hz: int, bits: int) -> bytes:
    if channels != 1:
        raise ValueError(f"{channels} channels, expected 1")
    if (tag, bits) in ((_ULAW, 8), (_ALAW, 8)):
        if rate_hz != SAMPLE_RATE_HZ:
            raise ValueError(f"G.711 at {rate_hz} Hz, expected {SAMPLE_RATE_HZ}")
        return body if tag == _ULAW else encode_ulaw(decode_alaw(body))
    if (tag, bits) != (_PCM, 16):
        raise ValueError(f"format {tag} with {bits} bits, expected G.711 (6, 7) or 16-bit PCM (1)")
    if rate_hz not in RATES_HZ:
        raise ValueError(f"{rate_hz} Hz, expected one of {', '.join(map(str, RATES_HZ))}")
    return to_ulaw(np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.int16), rate_hz)
