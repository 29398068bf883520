"""The engine from settings: which recognizer, which chat model, which voice."""

from collections.abc import Callable, Mapping

from model_worker.answers.seam import Answers
from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.cascade.asr_funasr import FunAsr
from model_worker.duplex.cascade.asr_http import HttpAsr
from model_worker.duplex.cascade.asr_link import AsrProtocol, LinkedAsr
from model_worker.duplex.cascade.asr_vllm import VllmTranscription
from model_worker.duplex.cascade.engine import CascadeEngine
from model_worker.duplex.cascade.local_voice import LocalVoice
from model_worker.duplex.cascade.seam import StreamingAsr, StreamingTts
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.cascade.tts_requests import RequestedTts
from model_worker.duplex.cascade.tts_speech import SpeechServer
from model_worker.duplex.cascade.tts_wyoming import WyomingServer
from model_worker.duplex.remote.seam import Links
from model_worker.seams import Tts, Vad

SESSIONS = 32
"""Calls of one worker, unless set: the servers behind it are what runs out."""


def cannot(brief: Brief) -> str:
    """What of an agent file this engine does not do; empty where it does all of it."""
    if brief.mode is Mode.SOUND_EVENTS:
        return "mode sound-events: a recognizer of speech hears no other sounds"
    return "on_sound: a recognizer of speech hears no other sounds" if brief.on_sound else ""


def build(
    briefs: Mapping[str, Brief],
    *,
    recognizer: PartSettings,
    answers: Answers,
    voice: PartSettings | None,
    links: Links,
    vad: Callable[[], Vad],
    local_voice: Callable[[str], Tts],
    sessions: int = SESSIONS,
) -> tuple[CascadeEngine, Callable[[], None]]:
    """The engine, and how to let go of it, which ends ``answers`` and ``links`` too.

    ``voice``: None for that of this machine; ``local_voice`` makes one of those by name. Raises ValueError for
    settings that do not fit together, and for a line that this engine cannot serve.
    """
    for name, brief in briefs.items():
        if problem := cannot(brief):
            raise ValueError(f"agent {name!r}: {problem}")
    spare = LocalVoice(local_voice)
    asr, end_asr = make_asr(recognizer, links)
    tts = LocalVoice(local_voice) if voice is None else make_tts(voice)
    engine = CascadeEngine(briefs, vad=vad, asr=asr, answers=answers, tts=tts, spare=spare, sessions=sessions)

    def shutdown() -> None:
        answers.close()
        end_asr()
        for one in (tts, spare):
            one.close()

    return engine, shutdown


def make_asr(settings: PartSettings, links: Links) -> tuple[StreamingAsr, Callable[[], None]]:
    """A recognizer, and how to let go of it, which ends ``links`` too. Raises ValueError."""
    match settings.flavour or ("openai" if settings.url.startswith("http") else "vllm"):
        case "vllm":
            settings.expect_scheme("ws", "wss")
            if not settings.model:
                raise ValueError("name the model: vLLM wants to be told")

            def protocol(language: str) -> AsrProtocol:
                return VllmTranscription(settings.model)
        case "funasr":
            settings.expect_scheme("ws", "wss")

            def protocol(language: str) -> AsrProtocol:
                return FunAsr()
        case "openai":
            asr = HttpAsr(settings)

            def shutdown() -> None:
                asr.shutdown()
                links.shutdown()

            return asr, shutdown
        case other:
            raise ValueError(f"no recognizer {other!r}; choose vllm, funasr or openai")
    return LinkedAsr(links, settings.request(), protocol), links.shutdown


def make_tts(settings: PartSettings) -> StreamingTts:
    """A voice on a server. Raises ValueError."""
    match settings.flavour or ("wyoming" if settings.url.startswith("tcp:") else "speech"):
        case "speech":
            return RequestedTts(SpeechServer(settings))
        case "wyoming":
            return RequestedTts(WyomingServer(settings))
        case other:
            raise ValueError(f"no voice {other!r}; choose speech or wyoming")
