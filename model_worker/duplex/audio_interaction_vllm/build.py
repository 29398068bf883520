"""From settings to the engine: vLLM's processes with the decoder, the tower and the voices here."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from model_worker.duplex.audio_interaction.build import DRAFT_TOKENS, LICENCE, Voices
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_folder import load_ear
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import Emotion
from model_worker.duplex.audio_interaction.words import Words
from model_worker.duplex.audio_interaction_vllm.hosting import HostedDecoder
from model_worker.seams import Tts

NAME = "audio-interaction-vllm"


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
    """The engine, and how to let go of it. ``sessions``: None are as many as vLLM's memory holds.

    ``device`` is the tower's; vLLM takes the one that it was built for. Raises CheckpointError, LicenceError, TtsError.
    """
    policy = Policy(
        capacity=capacity,
        speak_from=speak_from,
        speak_bias=speak_bias,
        judges=judges,
        draft_tokens=0 if words is None else DRAFT_TOKENS,
    )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = torch.float32 if dtype == "float32" or (dtype == "auto" and device == "cpu") else torch.bfloat16
    ear = load_ear(folder, device=device, dtype=numbers, licence_accepted=licence == LICENCE)
    with ExitStack() as held:
        voices = Voices(voice)
        held.callback(voices.close)
        if words is not None:
            held.callback(words.close)
        voices.render("Ready.", Emotion.NORMAL)  # the first caller does not wait for the voice to start
        hosted = HostedDecoder(folder, ear, numbers, policy, sessions)
        held.callback(hosted.close)
        nets = hosted.nets_for(hosted.policy)
        engine = AudioInteractionEngine(nets, ear.tokenizer, hosted.policy, voices.render, words, NAME)
        return engine, held.pop_all().close
