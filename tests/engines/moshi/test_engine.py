"""Moshi behind the engine seam, against a server of ours over a real WebSocket; the suite for all engines has more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from model_worker.dialog.brief import Brief
from model_worker.duplex.moshi.dialect import dialect
from model_worker.duplex.moshi.voice import RATE_HZ
from model_worker.duplex.remote.call import ROLL_AHEAD_S
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.seam import READY_WITHIN_S
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Engine, Pcm
from tests.engines.conformance.line import Host
from tests.engines.moshi.subject import BRIEF, SUBJECTS, build
from tests.engines.subject import Reply, Script, Subject, line_noise
from tests.peers.moshi import MoshiPeer
from tests.peers.sound import tone
from wire.ids import TurnId
from wire.messages import DecisionKind


@contextmanager
def hosted(peer: MoshiPeer, subject: Subject = SUBJECTS[0], brief: Brief = BRIEF) -> Iterator[Host]:
    with peer:
        engine, shutdown = subject.build(peer.url, {brief.name: brief})
        try:
            yield Host(subject, engine)
        finally:
            shutdown()
        assert peer.faults == []


def test_it_yields_by_itself_to_a_caller_who_talks_over_it():
    def barges_in(index: int, samples: int) -> Pcm:
        return tone(12, samples, RATE_HZ, index * samples) if 30 <= index < 60 else line_noise(index, samples)

    peer = MoshiPeer(Script(replies=(Reply(1.0, 20.0, "on and on and on and on"),)))
    with hosted(peer, replace(SUBJECTS[0], caller=barges_in)) as host:
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        assert caller.turns[TurnId(1)].samples / RATE_HZ < 3.0
        assert peer.sessions[0].yielded == 1
        assert host.until(lambda: caller.decisions[caller.index] is DecisionKind.LISTEN)


def test_a_server_of_one_session_goes_on_with_a_call_that_is_longer_than_its_context():
    def short_of_memory(url: str, briefs: dict[str, Brief]) -> tuple[Engine, Callable[[], None]]:
        links = WebSocketLinks()
        can = replace(dialect(ServerSettings(url=url)), session_limit_s=ROLL_AHEAD_S + 10.0)
        return RemoteEngine(briefs, can, links), links.shutdown

    peer = MoshiPeer(Script(replies=(Reply(2.0, 1.0, "hello again"),)), one_session=True, rust=True)
    with hosted(peer, replace(SUBJECTS[0], build=short_of_memory)) as host:
        caller = host.call()
        assert host.until(lambda: 2 in caller.turns and caller.turns[TurnId(2)].done == 1)
        assert caller.fault is None
        assert len(caller.decisions) == caller.index + 1
        assert len(peer.sessions) == 2
        assert peer.sessions[0].over
        assert 9.0 < peer.sessions[0].heard_s < 11.0


def test_personaplex_is_greeted_with_voice_and_text():
    peer = MoshiPeer(Script(replies=(Reply(0.4, 1.0, "desk and bar"),)), persona=True)
    with hosted(peer, replace(SUBJECTS[0], build=build("personaplex"))) as host:
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        assert peer.sessions[0].query["text_prompt"] == BRIEF.instructions


def test_personaplex_may_take_longer_to_begin_than_others():
    peer = MoshiPeer(Script(opens_slowly=True), persona=True)
    with hosted(peer, replace(SUBJECTS[0], build=build("personaplex"))) as host:
        caller = host.call()
        host.chunks(round((READY_WITHIN_S + 2.0) / caller.chunk_s))
        assert caller.fault is None
        peer.release()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)


def test_words_come_within_their_sound():
    peer = MoshiPeer(Script(replies=(Reply(0.4, 2.0, "one two three four five six"),)))
    with hosted(peer) as host:
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        assert caller.turns[TurnId(1)].text == "one two three four five six"
        assert np.abs(caller.turns[TurnId(1)].sound).max() > 4_000
