"""Gemini Live for the conformance suite."""

from collections.abc import Callable

from pydantic import SecretStr

from model_worker.dialog.brief import Brief
from model_worker.duplex.gemini_live.dialect import dialect
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine
from tests.engines.subject import Subject
from tests.peers.base import KEY
from tests.peers.gemini_live import GeminiPeer

BRIEF = Brief(name="desk", engine="gemini-live", instructions="You work at the desk of a hotel.")


def build(url: str, briefs: dict[str, Brief]) -> tuple[Engine, Callable[[], None]]:
    links = WebSocketLinks()
    settings = ServerSettings(url=url, model="gemini-x", key=SecretStr(KEY))
    return RemoteEngine(briefs, dialect(settings), links), links.shutdown


SUBJECTS = (Subject("gemini-live", GeminiPeer, build, BRIEF, environment={"TWOWIRE_SERVER_MODEL": "gemini-x"}),)
