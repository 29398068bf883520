import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.audio.g711 import decode_alaw, decode_ulaw
from wire.audio.wav import MAX_S, WavError, parse_wav, read_wav

JFK = Path(__file__).parents[2] / "data" / "jfk_8k_ulaw.wav"


def wav(samples: int = 800, rate_hz: int = 8_000, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(bytes(range(256)) * (samples * channels * width // 256 + 1))
    return out.getvalue()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


ULAW = (b"fmt ", struct.pack("<HHIIHH", 7, 1, 8_000, 8_000, 1, 8))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_sixteen_bit_pcm_is_read_as_it_stands(rate_hz: int):
    clip = parse_wav(wav(rate_hz=rate_hz))
    assert clip.sample_rate_hz == rate_hz
    assert clip.pcm[:2].tolist() == [0x0100, 0x0302]


def test_g711_is_decoded():
    data = b"\xff\x00\x80\x7f"
    ulaw = parse_wav(riff(ULAW, (b"fact", b"\4\0\0\0"), (b"data", data)))
    assert ulaw.pcm.tolist() == decode_ulaw(data).tolist()
    alaw = parse_wav(riff((b"fmt ", struct.pack("<HHIIHH", 6, 1, 8_000, 8_000, 1, 8)), (b"data", data)))
    assert alaw.pcm.tolist() == decode_alaw(data).tolist()


def test_a_streamed_file_of_unknown_length_goes_to_its_end():
    whole = riff(ULAW, (b"data", b"\x11" * 100))
    streamed = whole[:-104] + b"\xff\xff\xff\xff" + b"\x11" * 100
    assert len(parse_wav(streamed).pcm) == 100


def test_a_real_recording_of_a_telephone_is_read():
    assert len(read_wav(JFK).pcm) == 11 * 8_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "RIFF"),
        (b"OggS" + bytes(40), "RIFF"),
        (wav()[:-200], "cut off"),
        (riff(ULAW), "data chunk"),
        (riff((b"data", b"\0\0")), "format"),
        (riff((b"fmt ", b"\1\0"), (b"data", b"\0\0")), "16 bytes"),
        (wav(channels=2), "one channel, got 2"),
        (wav(width=1), "16 bits"),
        (wav(rate_hz=44_100), "44100"),
        (riff((b"fmt ", struct.pack("<HHIIHH", 85, 1, 8_000, 8_000, 1, 8)), (b"data", b"\0")), "format 85"),
        (riff(ULAW, (b"data", b"")), "more than 0"),
        (riff(ULAW, (b"data", bytes(MAX_S * 8_000 + 1))), "at most 120 s"),
        (riff(ULAW, (b"data", b"\0\0\0\0"))[:-8] + b"\xff\xff\xff\x7f" + bytes(4), "claims"),
    ],
)
def test_what_is_no_clip_is_refused_with_the_reason(data: bytes, reason: str):
    with pytest.raises(WavError, match=reason):
        parse_wav(data)


def test_an_error_names_the_file(tmp_path: Path):
    with pytest.raises(WavError, match=r"gone\.wav: No such file"):
        read_wav(tmp_path / "gone.wav")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"not a sound")
    with pytest.raises(WavError, match=r"bad\.wav: expected a WAV"):
        read_wav(bad)


def test_a_file_without_end_is_not_read_to_its_end():
    with pytest.raises(WavError, match="expected at most"):
        read_wav(Path("/dev/zero"))


@given(st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_damage_is_an_error_or_another_recording(at: int, damage: bytes):
    data = bytearray(wav(samples=50))
    data[at : at + len(damage)] = damage
    try:
        clip = parse_wav(bytes(data))
    except WavError:
        return
    assert clip.pcm.dtype == np.int16
