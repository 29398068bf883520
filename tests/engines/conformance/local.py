"""The engines that decide in the worker's own process as subjects; the peer is nobody where there is no server."""

import atexit
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from pydantic import SecretStr

from model_worker.answers.openai_chat import ChatSettings, OpenAiChat
from model_worker.config import WorkerConfig
from model_worker.dialog.brief import Brief
from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_folder import LoadedModel
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.duplex.cascade import build as cascade
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.engines.cards import build_engine
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine
from model_worker.tts.espeak import EspeakTts
from model_worker.vad.silero import SileroVad
from tests.engines.subject import Script, Subject, speaker
from tests.model_worker.answers.server import KEY as CHAT_KEY
from tests.model_worker.answers.server import MODEL as CHAT_MODEL
from tests.model_worker.audio_interaction.fakes import render
from tests.peers.base import KEY
from tests.peers.cascade import CascadePeer
from tests.peers.speech import MODEL as VOICE_MODEL
from tests.peers.transcription import MODEL as EAR_MODEL

TALKER = Brief(name="talker", engine="cascade", instructions="Answer in a few words.")
Built = tuple[Engine, Callable[[], None]]
FRONT_DESK = Brief(name="front-desk", engine="audio-interaction", instructions="Unused: these engines have their own.")


class Nobody:
    """Where no server is, nothing goes wrong with it."""

    url = ""
    faults: tuple[str, ...] = ()
    sessions: tuple[object, ...] = ()

    def release(self) -> None:
        pass

    def wait_for(self, condition: Callable[[], bool], limit_s: float = 0.0) -> bool:
        return condition()


@contextmanager
def nobody(script: Script) -> Iterator[Nobody]:
    yield Nobody()


def _from_settings(name: str) -> Callable[[str, Mapping[str, Brief]], Built]:
    def build(url: str, briefs: Mapping[str, Brief]) -> Built:
        built = build_engine(WorkerConfig(engine=name))
        return built.engine, built.shutdown

    return build


@cache
def _receptionist() -> Engine:
    """One for all tests: its recognizer and its voice are processes that take a second to start."""
    built = build_engine(WorkerConfig(engine="receptionist"))
    atexit.register(built.shutdown)
    return built.engine


@cache
def _tiny_model() -> LoadedModel:
    return random_model("tiny", seed=0)


def _audio_interaction(url: str, briefs: Mapping[str, Brief]) -> Built:
    model = _tiny_model()
    policy = Policy(sessions=4, capacity=1_024)
    return AudioInteractionEngine(Device(model, policy), model.tokenizer, policy, render), lambda: None


def build_cascade(url: str, briefs: Mapping[str, Brief], **limits_s: float) -> Built:
    """The cascade on a ``CascadePeer``; espeak-ng where that has no voice. ``limits_s``: of ``ChatSettings``."""
    ear_url, chat_url, *voice_url = url.split()
    settings = {"base_url": chat_url, "model": CHAT_MODEL, "api_key": SecretStr(CHAT_KEY), **limits_s}
    return cascade.build(
        briefs,
        recognizer=PartSettings(url=ear_url, flavour="vllm", model=EAR_MODEL, key=SecretStr(KEY)),
        answers=OpenAiChat(ChatSettings.model_validate(settings)),
        voice=PartSettings(url=voice_url[0], model=VOICE_MODEL, key=SecretStr(KEY)) if voice_url else None,
        links=WebSocketLinks(),
        vad=SileroVad,
        local_voice=EspeakTts,
        sessions=4,
    )


LOCAL = (
    Subject("audio-interaction", nobody, _audio_interaction, FRONT_DESK, speaker),
    Subject("cascade", CascadePeer, build_cascade, TALKER, speaker),
    Subject("receptionist", nobody, lambda url, briefs: (_receptionist(), lambda: None), FRONT_DESK, speaker),
    Subject("scripted", nobody, _from_settings("scripted"), FRONT_DESK, speaker),
)
