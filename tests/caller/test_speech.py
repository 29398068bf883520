import contextlib
import io
import struct
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.speech import jfk_ulaw
from twowire.caller.speech import SpeechError, parse_wav, read_wav
from wire.audio.g711 import decode_ulaw, encode_alaw, encode_ulaw

JFK = Path(__file__).parent.parent / "data" / "jfk_8k_ulaw.wav"


def wav(tag: int, rate_hz: int, bits: int, body: bytes, channels: int = 1, size: int | None = None) -> bytes:
    layout = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * bits // 8, bits // 8, bits)
    size = len(body) if size is None else size
    chunks = b"fmt " + struct.pack("<I", 16) + layout + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    return b"RIFF" + struct.pack("<I", 0) + b"WAVE" + chunks + b"data" + struct.pack("<I", size) + body


def sine(rate_hz: int) -> npt.NDArray[np.int16]:
    tone: npt.NDArray[np.float64] = np.rint(8_000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz))
    return tone.astype(np.int16)


def test_mu_law_is_sent_as_it_is():
    assert read_wav(JFK) == jfk_ulaw()


def test_a_law_becomes_mu_law():
    near = decode_ulaw(parse_wav(wav(6, 8_000, 8, encode_alaw(sine(8_000))))).astype(int)
    assert np.abs(near - sine(8_000)).max() < 600


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_pcm_of_every_rate_becomes_a_second_of_mu_law(rate_hz: int):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(sine(rate_hz).tobytes())
    ulaw = parse_wav(buffer.getvalue())
    assert 8_000 <= len(ulaw) <= 8_040
    level = np.sqrt(np.mean(decode_ulaw(ulaw)[1_000:7_000].astype(float) ** 2))
    assert 0.95 < level / (8_000 / np.sqrt(2)) < 1.05


def test_a_length_that_runs_past_the_end_is_the_end():
    assert parse_wav(wav(7, 8_000, 8, b"\x11" * 100, size=0xFFFFFFFF)) == b"\x11" * 100


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a wav file"),
        (b"RIFF....AVI ", "not a wav file"),
        (wav(7, 16_000, 8, b""), "G.711 at 16000 Hz, expected 8000"),
        (wav(1, 44_100, 16, b""), "44100 Hz, expected one of 8000"),
        (wav(1, 8_000, 16, b"", channels=2), "2 channels, expected 1"),
        (wav(3, 8_000, 32, b""), "format 3 with 32 bits"),
    ],
)
def test_what_cannot_be_played_says_why(data: bytes, why: str):
    with pytest.raises(ValueError, match=why):
        parse_wav(data)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SpeechError, match=r"cannot read .*gone\.wav: No such file"):
        read_wav(tmp_path / "gone.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(SpeechError, match=r"text.wav: not a wav file .*; convert it, for instance: ffmpeg"):
        read_wav(tmp_path / "text.wav")


@given(st.binary(max_size=200))
def test_damaged_files_raise_value_error_only(noise: bytes):
    good = wav(1, 8_000, 16, encode_ulaw(sine(8_000))[:64])
    for data in (noise, good[: len(noise)], b"RIFF\0\0\0\0WAVE" + noise):
        with contextlib.suppress(ValueError):
            parse_wav(data)
