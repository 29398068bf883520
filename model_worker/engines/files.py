"""Files that settings name: keys, voices and agents. All raise ConfigError."""

import wave
from pathlib import Path

from pydantic import SecretStr

from model_worker.config import WorkerConfig
from model_worker.dialog.brief import Brief
from model_worker.dialog.load import AgentFileError, load_briefs
from wire.settings import ConfigError

MAX_KEY_BYTES = 16 * 1024  # a key is a line; whatever is longer is another file
VOICE_HZ = 16_000
VOICE_S = (1, 30)  # a model needs a few seconds, and pays with its context for more


def read_key(path: Path | None, setting: str) -> SecretStr | None:
    """The key in a file of its own, without the line's end. Raises ConfigError."""
    if path is None:
        return None
    try:
        if path.stat().st_size > MAX_KEY_BYTES:
            raise ConfigError(f"{setting}: {path} is larger than {MAX_KEY_BYTES} bytes; a key is one line")
        key = path.read_text("ascii").strip()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} holds more than ASCII; a key is one line of it") from None
    if not key or not key.isprintable():
        raise ConfigError(f"{setting}: {path} holds no key; a key is one line of printable ASCII")
    return SecretStr(key)


def read_voice(path: Path | None, setting: str) -> bytes:
    """The sound of a WAV file: int16, little-endian, mono, 16 kHz; empty where there is none. Raises ConfigError."""
    if path is None:
        return b""
    try:
        with wave.open(str(path), "rb") as clip:
            if (clip.getframerate(), clip.getsampwidth(), clip.getnchannels()) != (VOICE_HZ, 2, 1):
                raise ConfigError(f"{setting}: {path} is not {VOICE_HZ} Hz, 16 bit and mono")
            seconds = clip.getnframes() / VOICE_HZ
            if not VOICE_S[0] <= seconds <= VOICE_S[1]:
                raise ConfigError(f"{setting}: {path} lasts {seconds:.1f} s, expected {VOICE_S[0]} to {VOICE_S[1]} s")
            return clip.readframes(clip.getnframes())
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except (wave.Error, EOFError):
        raise ConfigError(f"{setting}: {path} is not a WAV file of linear sound") from None


def load_lines(config: WorkerConfig, engine: str = "") -> dict[str, Brief]:
    """The agents of this engine, or of the one whose files it takes. Raises ConfigError."""
    engine = engine or config.engine
    if config.agents_dir is None:
        raise ConfigError(f"TWOWIRE_AGENTS_DIR: name the directory of the agent files with 'engine: {engine}'")
    try:
        return load_briefs(config.agents_dir, engine)
    except AgentFileError as error:
        raise ConfigError(f"TWOWIRE_AGENTS_DIR: {error}") from None
