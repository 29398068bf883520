"""From settings to an engine that runs: the model on its device, as many calls as its memory holds, its voices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import RATE_HZ, AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_folder import LoadedModel, load
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import Emotion
from model_worker.duplex.audio_interaction.words import Words
from model_worker.nets.slot_cache import CacheShape
from model_worker.seams import Tts
from model_worker.tts.paced_voice import Rendered
from model_worker.tts.rendering import render

LICENCE = "qwen-research"
DRAFT_TOKENS = 16  # a dozen words; as many as are written between two chunks, so that none is waited for
CPU_SESSIONS = 4  # a full-size model on a CPU is slower than the caller; a tiny one is for trials
# Of the memory that is free once the weights are there: what a forward needs besides comes out of the rest.
CACHE_SHARE = 0.8
MOST_SESSIONS = 256  # beyond it a step of 36 layers takes longer than a chunk on any GPU we know of

# Words a minute and pitch (0 to 99) of a voice without feelings of its own, by the emotion of the reply.
STYLES: dict[Emotion, tuple[int, int]] = {
    Emotion.HAPPY: (175, 60),
    Emotion.SAD: (140, 40),
    Emotion.ANGRY: (170, 42),
    Emotion.SURPRISE: (175, 65),
    Emotion.NORMAL: (165, 50),
    Emotion.URGENT: (195, 55),
}


class Voices:
    """A voice for every emotion, started when it is first needed."""

    def __init__(self, voice: Callable[[str, int, int], Tts]) -> None:
        self._voice = voice
        self._started: dict[Emotion, Tts] = {}

    def render(self, text: str, emotion: Emotion) -> Rendered:
        """Raises TtsError."""
        if emotion not in self._started:
            self._started[emotion] = self._voice("en-us", *STYLES[emotion])
        return render(self._started[emotion], text, RATE_HZ)

    def close(self) -> None:
        for voice in self._started.values():
            voice.close()


def build(
    folder: Path,
    *,
    licence: str,
    device: str,
    dtype: str,
    sessions: int | None,
    capacity: int,
    speak_from: float,
    speak_bias: float,
    judges: bool,
    voice: Callable[[str, int, int], Tts],
    words: Words | None = None,
) -> tuple[AudioInteractionEngine, Callable[[], None]]:
    """The engine, and how to let go of it. Raises CheckpointError, LicenceError and TtsError."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = torch.float32 if dtype == "float32" or (dtype == "auto" and device == "cpu") else torch.bfloat16
    model = load(folder, device=device, dtype=numbers, licence_accepted=licence == LICENCE)
    policy = Policy(
        sessions=sessions or sessions_that_fit(model, capacity),
        capacity=capacity,
        speak_from=speak_from,
        speak_bias=speak_bias,
        judges=judges,
        draft_tokens=0 if words is None else DRAFT_TOKENS,
    )
    voices = Voices(voice)
    voices.render("Ready.", Emotion.NORMAL)  # the first caller does not wait for the voice to start

    def shutdown() -> None:
        voices.close()
        if words is not None:
            words.close()

    return AudioInteractionEngine(Device(model, policy), model.tokenizer, policy, voices.render, words), shutdown


def sessions_that_fit(model: LoadedModel, capacity: int) -> int:
    """Calls whose keys the free memory of the device holds."""
    weight = model.decoder.lm_head.weight
    if weight.device.type != "cuda":
        return CPU_SESSIONS
    config: Any = model.decoder.config
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_call = CacheShape(layers, 1, heads, capacity, head_dim).bytes_per_slot(weight.dtype)
    free, _ = torch.cuda.mem_get_info(weight.device)
    return max(1, min(MOST_SESSIONS, int(free * CACHE_SHARE) // per_call))
