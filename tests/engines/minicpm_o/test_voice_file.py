"""The file with the voice that a model copies."""

import wave
from pathlib import Path

import pytest

from model_worker.engines.files import read_voice
from wire.settings import ConfigError


def written(folder: Path, seconds: float = 2.0, rate_hz: int = 16_000, channels: int = 1) -> Path:
    path = folder / "voice.wav"
    with wave.open(str(path), "wb") as clip:
        clip.setnchannels(channels)
        clip.setsampwidth(2)
        clip.setframerate(rate_hz)
        clip.writeframes(b"\x01\x02" * channels * round(seconds * rate_hz))
    return path


def test_a_voice_is_the_sound_of_its_file(tmp_path: Path) -> None:
    assert read_voice(written(tmp_path), "VOICE") == b"\x01\x02" * 32_000
    assert read_voice(None, "VOICE") == b""


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "channels", "problem"),
    [
        (2.0, 8_000, 1, "16000 Hz"),
        (2.0, 16_000, 2, "mono"),
        (0.5, 16_000, 1, "lasts 0.5 s"),
        (30.5, 16_000, 1, "lasts 30.5 s"),
    ],
)
def test_a_voice_that_no_model_could_copy_is_refused(
    tmp_path: Path, seconds: float, rate_hz: int, channels: int, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_voice(written(tmp_path, seconds, rate_hz, channels), "VOICE")


def test_a_file_that_is_no_voice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"VOICE: .* cannot be read"):
        read_voice(tmp_path / "none.wav", "VOICE")
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(ConfigError, match="not a WAV file"):
        read_voice(tmp_path / "text.wav", "VOICE")
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a WAV file"):
        read_voice(tmp_path / "empty.wav", "VOICE")
