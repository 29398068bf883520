"""The cascade from settings: its recognizer, its chat model, its voice. All raise ConfigError."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from model_worker.answers.nobody import NoAnswers
from model_worker.answers.openai_chat import OpenAiChat
from model_worker.config import WorkerConfig
from model_worker.dialog.brief import Mode
from model_worker.duplex.cascade.build import SESSIONS, build
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.engines.built import BuiltEngine
from model_worker.engines.chat import chat_settings
from model_worker.engines.files import load_lines, read_key
from model_worker.links.web_sockets import WebSocketLinks
from wire.settings import ConfigError


def build_cascade(config: WorkerConfig) -> BuiltEngine:
    """Parts on servers; the detector of speech, and the voice where no server was named, are this machine's."""
    try:
        from model_worker.tts.espeak import EspeakTts
        from model_worker.vad.silero import SileroVad
    except ImportError as error:
        raise ConfigError(
            f"TWOWIRE_ENGINE: what the cascade needs is not installed ({error}); pip install 'twowire[receptionist]'"
        ) from None
    briefs = load_lines(config)
    recognizer = _part(config, "recognizer")
    if recognizer is None:
        raise ConfigError("TWOWIRE_RECOGNIZER_URL: name the server that writes down what callers say")
    voice = _part(config, "voice")
    chat = chat_settings(config)
    if chat is None and any(brief.mode is not Mode.TRANSCRIPTION for brief in briefs.values()):
        raise ConfigError("TWOWIRE_ANSWERS_URL: name the chat model's server; only transcription does without one")
    try:
        engine, shutdown = build(
            briefs,
            recognizer=recognizer,
            answers=NoAnswers() if chat is None else OpenAiChat(chat),
            voice=voice,
            links=WebSocketLinks(),
            vad=SileroVad,
            local_voice=EspeakTts,
            sessions=config.slots or SESSIONS,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return BuiltEngine(engine, tuple(sorted(briefs)), shutdown)


def _part(config: WorkerConfig, part: Literal["recognizer", "voice"]) -> PartSettings | None:
    """One server; None where it was not named."""
    name = f"TWOWIRE_{part.upper()}"
    url: str = getattr(config, f"{part}_url")
    if not url:
        return None
    key_file: Path | None = getattr(config, f"{part}_key_file")
    try:
        return PartSettings(
            url=url,
            flavour=getattr(config, f"{part}_flavour"),
            model=getattr(config, f"{part}_model"),
            voice=config.voice_name if part == "voice" else "",
            key=read_key(key_file, f"{name}_KEY_FILE"),
        )
    except ValidationError as error:
        raise ConfigError(f"{name}_URL: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
