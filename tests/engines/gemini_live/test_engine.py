"""Gemini Live behind the engine seam, against a server of ours over a real WebSocket; the suite for all has more."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from model_worker.dialog.brief import Brief, Tools
from model_worker.duplex.gemini_live.dialect import dialect
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Pcm
from tests.engines.conformance.line import Host
from tests.engines.gemini_live.subject import BRIEF, SUBJECTS
from tests.engines.subject import Reply, Script, Subject, line_noise
from tests.peers.gemini_live import Call, GeminiPeer
from tests.peers.sound import tone
from wire.ids import TurnId
from wire.messages import Voice
from wire.settings import ConfigError

SUBJECT = SUBJECTS[0]


@contextmanager
def hosted(peer: GeminiPeer, subject: Subject = SUBJECT, brief: Brief = BRIEF) -> Iterator[Host]:
    with peer:
        engine, shutdown = subject.build(peer.url, {brief.name: brief})
        try:
            yield Host(subject, engine)
        finally:
            shutdown()
        assert peer.faults == []


def talks_between(begin: int, end: int) -> Subject:
    def caller(index: int, samples: int) -> Pcm:
        return tone(12, samples, 16_000, index * samples) if begin <= index < end else line_noise(index, samples)

    return replace(SUBJECT, caller=caller)


def test_a_caller_who_is_not_given_the_floor_leaves_the_server_speaking():
    peer = GeminiPeer(Script(replies=(Reply(1.0, 5.0, "one two three four five"),)))
    with hosted(peer, talks_between(25, 35)) as host:
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        assert caller.turns[TurnId(1)].samples == 5 * 24_000
        assert peer.sessions[0].interruptions == 0


def test_a_caller_who_gets_the_floor_interrupts_the_server_with_what_he_said():
    peer = GeminiPeer(Script(replies=(Reply(1.0, 8.0, "one two three four five"), Reply(9.0, 1.0, "yes please"))))
    with hosted(peer, talks_between(25, 45)) as host:
        caller = host.call()
        assert host.until(lambda: caller.index >= 32)
        assert peer.sessions[0].interruptions == 0
        caller.stop()
        assert host.until(lambda: 2 in caller.turns and caller.turns[TurnId(2)].done == 1)
        assert peer.sessions[0].interruptions == 1
        assert caller.turns[TurnId(2)].text == "yes please"
        assert caller.stale == 0


def test_a_server_that_goes_is_left_before_and_goes_on_from_its_handle():
    script = Script(replies=(Reply(1.0, 1.0, "hello"), Reply(16.0, 1.0, "still here")))
    peer = GeminiPeer(script, leaves_at_s=6.0)
    with hosted(peer) as host:
        caller = host.call()
        assert host.until(lambda: len(peer.sessions) == 2 and peer.sessions[1].heard_s > 4.0)
        assert caller.fault is None
        assert peer.sessions[0].over
        assert peer.sessions[0].heard_s < 10.0, "before it was cut off"
        handle = peer.sessions[1].config["sessionResumption"]["handle"]
        assert handle in peer.handles


def test_a_server_that_forgot_is_told_what_was_said():
    peer = GeminiPeer(Script(replies=(Reply(1.0, 1.0, "hello there"),), cuts_at_s=4.0), forgets=True)
    with hosted(peer) as host:
        caller = host.call()
        assert host.until(lambda: len(peer.sessions) == 3 and peer.sessions[2].heard_s > 1.0)
        assert caller.fault is None
        assert "You: hello there" in peer.sessions[2].instructions


def test_a_function_is_called_and_done_with_the_words_that_go_with_it():
    brief = BRIEF.model_copy(update={"tools": Tools(transfer={"bar": "+4930123456"})})
    peer = GeminiPeer(
        Script(), calls=(Call("transfer", {"to": "bar"}, then="I will put you through"),), hears="the bar"
    )
    with hosted(peer, brief=brief) as host:
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        assert [(said.voice, said.text) for said in caller.said] == [
            (Voice.CALLER, "the bar"),
            (Voice.AGENT, "I will put you through"),
        ]
        assert [response["name"] for response in peer.sessions[0].responses] == ["transfer"]


def test_the_key_is_in_a_header_of_its_own():
    can = dialect(ServerSettings.model_validate({"url": "wss://x.example/live", "model": "m", "key": "secret-1"}))
    request = can.request(None)  # type: ignore[arg-type]
    assert request.url == "wss://x.example/live"
    assert request.headers == (("x-goog-api-key", "secret-1"),)
    assert "secret" not in repr(request)


def test_a_server_without_a_model_is_a_setting_to_be_made():
    with pytest.raises(ConfigError, match="TWOWIRE_SERVER_MODEL"):
        dialect(ServerSettings(url="wss://x.example/live"))
