"""The engines, a card each: what an operator chooses by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from model_worker.config import WorkerConfig
from model_worker.engines.built import BuiltEngine
from model_worker.engines.cascade import build_cascade
from model_worker.engines.local import (
    build_audio_interaction,
    build_audio_interaction_vllm,
    build_receptionist,
    build_scripted,
)
from model_worker.engines.servers import build_server
from wire.settings import ConfigError

Kind = Literal["duplex model", "duplex server", "turn-based server", "cascade", "script"]


@dataclass(frozen=True, slots=True)
class EngineCard:
    """One engine. ``needs``: what must be there besides the base installation."""

    name: str
    what: str
    kind: Kind
    needs: str
    chunk_ms: int
    interrupted_by: str
    """Who makes it stop when the caller talks over it."""
    languages: str
    licence: str
    build: Callable[[WorkerConfig], BuiltEngine]


CARDS = (
    EngineCard(
        "receptionist",
        "menu-style agent on a CPU: listed phrases, a dialog table, espeak-ng",
        "cascade",
        "pip install 'twowire[receptionist]'",
        400,
        "itself, by words",
        "en",
        "espeak-ng is GPL-3 and runs in a process of its own",
        build_receptionist,
    ),
    EngineCard(
        "audio-interaction",
        "Audio Interaction 3B (arXiv 2606.05121) in this process, all calls in one forward; text to espeak-ng",
        "duplex model",
        "pip install 'twowire[gpu,receptionist]', a GPU, TWOWIRE_MODEL",
        400,
        "the gateway's overlap rules",
        "en",
        "weights: Qwen Research License, not for commercial use",
        build_audio_interaction,
    ),
    EngineCard(
        "audio-interaction-vllm",
        "the same with its decoder on vLLM, in processes of this worker",
        "duplex model",
        "pip install 'twowire[vllm,receptionist]', a GPU, TWOWIRE_MODEL",
        400,
        "the gateway's overlap rules",
        "en",
        "weights: Qwen Research License, not for commercial use",
        build_audio_interaction_vllm,
    ),
    EngineCard(
        "cascade",
        "a recognizer, a chat model and a voice, each on a server; dialog, transcription, translation",
        "cascade",
        "pip install 'twowire[receptionist]', TWOWIRE_RECOGNIZER_URL, TWOWIRE_ANSWERS_URL",
        400,
        "itself, by words",
        "the servers'",
        "the servers' models have their own; espeak-ng is GPL-3 and runs in a process of its own",
        build_cascade,
    ),
    EngineCard(
        "minicpm-o",
        "MiniCPM-o 4.5 (arXiv 2604.27393) on vLLM-Omni, its own realtime server, or llama.cpp-omni",
        "duplex server",
        "such a server, TWOWIRE_SERVER_URL; for vLLM-Omni a voice, TWOWIRE_SERVER_VOICE_FILE",
        1000,
        "the gateway's overlap rules, by force_listen",
        "en, zh",
        "weights and code: Apache-2.0",
        build_server,
    ),
    EngineCard(
        "moshi",
        "Moshi or PersonaPlex on its own server",
        "duplex server",
        "such a server, TWOWIRE_SERVER_URL, libopus (pip install 'twowire[webrtc]')",
        80,
        "itself: it listens while it speaks",
        "en",
        "Moshi weights: CC-BY-4.0; PersonaPlex: NVIDIA Open Model License",
        build_server,
    ),
    EngineCard(
        "realtime",
        "OpenAI Realtime or Live, and servers of the same wire: vLLM, Qwen-Omni",
        "turn-based server",
        "such a server, TWOWIRE_SERVER_URL, most often TWOWIRE_SERVER_KEY_FILE",
        100,
        "the gateway's overlap rules",
        "the server's",
        "the server's terms",
        build_server,
    ),
    EngineCard(
        "gemini-live",
        "Gemini Live",
        "turn-based server",
        "such a server, TWOWIRE_SERVER_URL, TWOWIRE_SERVER_MODEL and TWOWIRE_SERVER_KEY_FILE",
        100,
        "the gateway's overlap rules",
        "the server's",
        "the server's terms",
        build_server,
    ),
    EngineCard(
        "scripted",
        "decisions from a table and tones, for tests and load",
        "script",
        "nothing",
        400,
        "the gateway's overlap rules",
        "any",
        "",
        build_scripted,
    ),
)

ENGINES = {card.name: card for card in CARDS}


def build_engine(config: WorkerConfig) -> BuiltEngine:
    """Make the engine that the configuration names; may take seconds. Raises ConfigError."""
    card = ENGINES.get(config.engine)
    if card is None:
        raise ConfigError(f"TWOWIRE_ENGINE: no engine {config.engine!r}; choose one of {', '.join(sorted(ENGINES))}")
    return card.build(config)
