"""OpenAI's protocols for the conformance suite."""

from collections.abc import Callable

from pydantic import SecretStr

from model_worker.dialog.brief import Brief
from model_worker.duplex.realtime.dialect import dialect
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine
from tests.engines.subject import Subject
from tests.peers.base import KEY
from tests.peers.live import LivePeer
from tests.peers.realtime import RealtimePeer

BRIEF = Brief(name="desk", engine="realtime", instructions="You work at the desk of a hotel.")


def build(flavour: str, audio: str) -> Callable[[str, dict[str, Brief]], tuple[Engine, Callable[[], None]]]:
    def engine(url: str, briefs: dict[str, Brief]) -> tuple[Engine, Callable[[], None]]:
        settings = ServerSettings.model_validate(
            {"url": url, "model": "gpt-x", "key": SecretStr(KEY), "flavour": flavour, "audio": audio}
        )
        links = WebSocketLinks()
        return RemoteEngine(briefs, dialect(settings), links), links.shutdown

    return engine


REALTIME = Subject(
    "realtime", RealtimePeer, build("realtime", "pcm"), BRIEF, environment={"TWOWIRE_SERVER_MODEL": "gpt-x"}
)
LIVE = Subject(
    "realtime-live",
    LivePeer,
    build("live", "pcm"),
    BRIEF,
    environment={"TWOWIRE_SERVER_MODEL": "gpt-x", "TWOWIRE_SERVER_FLAVOUR": "live"},
)
G711 = Subject("realtime-g711", RealtimePeer, build("realtime", "g711"), BRIEF)
"""Differs in how sound is written, nothing else: not worth a run of the whole suite."""

SUBJECTS = (REALTIME, LIVE)
