"""Moshi for the conformance suite."""

from collections.abc import Callable

from model_worker.dialog.brief import Brief
from model_worker.duplex.moshi.dialect import dialect
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine
from tests.engines.subject import Subject
from tests.peers.moshi import MoshiPeer

BRIEF = Brief(name="desk", engine="moshi", instructions="You work at the desk of a hotel.")


def build(flavour: str) -> Callable[[str, dict[str, Brief]], tuple[Engine, Callable[[], None]]]:
    def engine(url: str, briefs: dict[str, Brief]) -> tuple[Engine, Callable[[], None]]:
        links = WebSocketLinks()
        settings = ServerSettings(url=url, flavour=flavour, sessions=4)
        return RemoteEngine(briefs, dialect(settings), links), links.shutdown

    return engine


SUBJECTS = (Subject("moshi", MoshiPeer, build("moshi"), BRIEF),)
