"""Engines of this process: what one needs is imported when it is asked for. All raise ConfigError."""

import time
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from model_worker.config import WorkerConfig
from model_worker.dialog.agent import VoiceStyle
from model_worker.dialog.load import SHIPPED_AGENTS, AgentFileError, load_agents
from model_worker.duplex.receptionist.engine import Fault, ReceptionistEngine
from model_worker.engines.built import BuiltEngine
from model_worker.engines.chat import chat_settings
from model_worker.engines.files import load_lines
from model_worker.seams import TtsError
from wire.settings import ConfigError

if TYPE_CHECKING:
    from model_worker.duplex.audio_interaction.words import Words

log = structlog.get_logger()


def build_scripted(config: WorkerConfig) -> BuiltEngine:
    from model_worker.duplex.script import LOAD_TEST, ScriptError, load_script
    from model_worker.duplex.scripted import ScriptedEngine

    try:
        script = LOAD_TEST if config.script is None else load_script(config.script)
    except ScriptError as error:
        raise ConfigError(f"TWOWIRE_SCRIPT: {error}") from None
    agents = () if script.default is not None else tuple(sorted(script.agents))
    return BuiltEngine(ScriptedEngine(script, time.sleep), agents)


def _log_fault(fault: Fault) -> None:
    log.error("engine.fault", call=fault.call, stage=fault.stage, exc_info=fault.error)


def _log_lost_recognizer(code: int) -> None:
    log.error("asr.child_lost", exit_code=code)


def build_receptionist(config: WorkerConfig) -> BuiltEngine:
    try:
        from model_worker.asr.grammar import UnknownWordError, check_phrases
        from model_worker.asr.sphinx import SphinxAsr
        from model_worker.tts.espeak import EspeakTts
        from model_worker.vad.silero import SileroVad
    except ImportError as error:
        raise ConfigError(
            f"TWOWIRE_ENGINE: the receptionist is not installed ({error}); pip install 'twowire[receptionist]'"
        ) from None
    try:
        agents = load_agents(config.agents_dir or SHIPPED_AGENTS)
        for agent in agents.values():
            for phrases in (*agent.phrases().values(), agent.overlap.phrases):
                check_phrases(phrases)
    except (AgentFileError, UnknownWordError) as error:
        raise ConfigError(f"TWOWIRE_AGENTS_DIR: {error}") from None

    def voice(style: VoiceStyle) -> EspeakTts:
        return EspeakTts(style.name, style.rate_wpm, style.pitch)

    asr = SphinxAsr(on_child_lost=_log_lost_recognizer)
    try:
        engine = ReceptionistEngine(agents, vad=SileroVad, asr=asr, tts=voice, on_fault=_log_fault)
        engine.warm_up()
    except TtsError as error:
        asr.close()  # the voices that did start end with this process
        raise ConfigError(f"TWOWIRE_ENGINE: {error}") from None
    return BuiltEngine(engine, tuple(sorted(agents)), engine.shutdown)


def _chat_words(config: WorkerConfig) -> "Words | None":
    """Who finds the words of the replies; None where the model does. Raises ConfigError."""
    from model_worker.answers.openai_chat import OpenAiChat
    from model_worker.duplex.audio_interaction.words import Words, cannot

    settings = chat_settings(config)
    if settings is None:
        return None
    briefs = load_lines(config, "audio-interaction")  # on vLLM or not
    for name, brief in briefs.items():
        if problem := cannot(brief):
            raise ConfigError(f"TWOWIRE_AGENTS_DIR: agent {name!r}: {problem}")
    return Words(OpenAiChat(settings), briefs)


def build_audio_interaction(config: WorkerConfig) -> BuiltEngine:
    return _build_audio_interaction(config, "audio_interaction", "gpu")


def build_audio_interaction_vllm(config: WorkerConfig) -> BuiltEngine:
    return _build_audio_interaction(config, "audio_interaction_vllm", "vllm")


def _build_audio_interaction(config: WorkerConfig, package: str, extra: str) -> BuiltEngine:
    if config.model is None:
        raise ConfigError("TWOWIRE_MODEL: name the folder of the model; `twowire model convert` makes one")
    try:
        from model_worker.duplex.audio_interaction.model_folder import CheckpointError, LicenceError
        from model_worker.tts.espeak import EspeakTts

        build = import_module(f"model_worker.duplex.{package}.build").build
    except ImportError as error:
        raise ConfigError(
            f"TWOWIRE_ENGINE: what models need is not installed ({error}); pip install 'twowire[{extra},receptionist]'"
        ) from None
    words = _chat_words(config)
    try:
        engine, shutdown = build(
            config.model,
            licence=config.accept_model_licence,
            device=config.device,
            dtype=config.model_dtype,
            sessions=config.slots,
            capacity=config.context_tokens,
            speak_from=config.speak_from,
            speak_bias=config.speak_bias,
            judges=config.model_judges,
            voice=EspeakTts,
            words=words,
        )
    except (CheckpointError, LicenceError, TtsError) as error:
        raise ConfigError(f"TWOWIRE_MODEL: {error}") from None
    log.info("engine.licence", note=engine.capabilities.licence_note)
    return BuiltEngine(engine, () if words is None else words.agents, shutdown)
