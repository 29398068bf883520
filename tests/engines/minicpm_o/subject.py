"""MiniCPM-o's servers for the conformance suite."""

from collections.abc import Callable
from pathlib import Path

from model_worker.dialog.brief import Brief
from model_worker.duplex.minicpm_o.dialect import dialect
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.engines.files import read_voice
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine
from tests.engines.subject import Subject
from tests.peers.minicpm_o import BackendPeer, GatewayPeer, RealtimeV2Peer, VllmOmniPeer

VOICE = Path(__file__).parents[2] / "data" / "voice_16k.wav"
BRIEF = Brief(name="desk", engine="minicpm-o", instructions="You work at the desk of a hotel.")


def build(flavour: str) -> Callable[[str, dict[str, Brief]], tuple[Engine, Callable[[], None]]]:
    def engine(url: str, briefs: dict[str, Brief]) -> tuple[Engine, Callable[[], None]]:
        links = WebSocketLinks()
        settings = ServerSettings(url=url, flavour=flavour, sessions=4, voice=read_voice(VOICE, "the voice"))
        return RemoteEngine(briefs, dialect(settings), links), links.shutdown

    return engine


def _environment(flavour: str) -> dict[str, str]:
    return {"TWOWIRE_SERVER_FLAVOUR": flavour, "TWOWIRE_SERVER_VOICE_FILE": str(VOICE)}


SUBJECTS = (
    Subject("minicpm-o-vllm-omni", VllmOmniPeer, build("vllm-omni"), BRIEF, environment=_environment("vllm-omni")),
    Subject("minicpm-o-v2", RealtimeV2Peer, build("realtime-v2"), BRIEF, environment=_environment("realtime-v2")),
    Subject("minicpm-o-gateway", GatewayPeer, build("gateway"), BRIEF, environment=_environment("gateway")),
    Subject(
        "minicpm-o-backend", BackendPeer, build("llama-cpp-omni"), BRIEF, environment=_environment("llama-cpp-omni")
    ),
)
