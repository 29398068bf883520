"""The engine over loopback against servers of ours: what only a whole call shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from model_worker.dialog.brief import Brief, Tools
from model_worker.duplex.realtime.dialect import dialect
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Action, StepInput
from tests.engines.conformance.line import Caller, Host
from tests.engines.realtime.subject import G711, LIVE, REALTIME
from tests.engines.subject import Reply, Script
from tests.peers.live import LivePeer
from tests.peers.realtime import Call, RealtimePeer
from wire.audio.g711 import encode_ulaw
from wire.ids import TurnId
from wire.messages import Voice

BRIEF = Brief(
    name="desk",
    engine="realtime",
    instructions="You work at the desk.",
    tools=Tools(hangup=True, transfer={"bar": "+4930123456"}),
)


class Telephone(Caller):
    """A caller who notes what is heard of him."""

    def __init__(self, *arguments: Any) -> None:
        self.inputs: list[StepInput] = []
        super().__init__(*arguments)

    def next_input(self) -> StepInput:
        self.inputs.append(super().next_input())
        return self.inputs[-1]


@contextmanager
def line(peer: Any, subject: Any = REALTIME, brief: Brief = BRIEF) -> Iterator[tuple[Host, Telephone]]:
    with peer:
        engine, shutdown = subject.build(peer.url, {brief.name: brief})
        try:
            host = Host(subject, engine)
            caller = Telephone("call-1", host, brief.name)
            host.callers[caller.call] = caller
            yield host, caller
        finally:
            shutdown()
        assert peer.faults == []


def test_the_greeting_is_spoken_first_and_once():
    peer = RealtimePeer(Script(replies=()))
    with line(peer, brief=BRIEF.model_copy(update={"greeting": "hotel sacher good morning"})) as (host, caller):
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        host.chunks(10)
        assert [said.text for said in caller.said] == ["hotel sacher good morning"]
        assert len(peer.sessions[0].seen.creates) == 1


def test_what_is_cut_at_the_server_is_what_was_not_heard():
    peer = RealtimePeer(Script(replies=(Reply(1.0, 4.0, "a b c d e f g h"),)))
    with line(peer) as (host, caller):
        assert host.until(lambda: caller.playing[1] >= 1.0)
        caller.stop()
        host.chunk()
        assert peer.wait_for(lambda: bool(peer.sessions[0].seen.truncations))
        ((item, heard_ms),) = peer.sessions[0].seen.truncations
        assert item == "item_said_0"
        assert heard_ms == pytest.approx(caller.playing[1] * 1_000, abs=101)


@pytest.mark.parametrize(
    ("peer_type", "subject"), [(RealtimePeer, REALTIME), (LivePeer, LIVE)], ids=["realtime", "live"]
)
def test_a_transfer_is_done_with_the_words_that_announce_it(peer_type: Any, subject: Any):
    call = Call("transfer", '{"to":"bar"}', "I put you through")
    with line(peer_type(Script(replies=(Reply(1.0, 1.0, "one moment"),)), (call,)), subject) as (host, caller):
        assert host.until(lambda: bool(caller.actions))
        ((_, action),) = caller.actions
        assert action == Action("transfer", {"to": "+4930123456"})


@pytest.mark.parametrize(
    ("peer_type", "subject"), [(RealtimePeer, REALTIME), (LivePeer, LIVE)], ids=["realtime", "live"]
)
def test_what_the_caller_said_is_written_down(peer_type: Any, subject: Any):
    with line(peer_type(Script(replies=(Reply(1.0, 1.0, "yes"),)), hears="a room please"), subject) as (host, caller):
        assert host.until(lambda: any(said.voice is Voice.CALLER for said in caller.said))
        assert [said.text for said in caller.said if said.voice is Voice.CALLER] == ["a room please"]


def test_g711_octets_arrive_at_the_server_as_they_left_the_telephone():
    peer = RealtimePeer(Script(replies=()))
    with line(peer, G711) as (host, caller):
        host.chunks(10)
        assert peer.wait_for(lambda: bool(peer.sessions) and len(peer.sessions[0].seen.audio) == 10)
        spoken = [encode_ulaw(given.pcm) for given in caller.inputs]
        assert peer.sessions[0].seen.audio == spoken


def test_an_unknown_flavour_is_refused():
    with pytest.raises(ValueError, match="flavour 'dead', expected one of realtime, live"):
        dialect(ServerSettings(url="ws://localhost", flavour="dead"))


def test_the_model_stands_in_the_address_of_realtime_and_nowhere_else():
    opening: Any = None
    settings = ServerSettings(url="wss://api.openai.com/v1/realtime", model="gpt-realtime-2.1")
    assert dialect(settings).request(opening).url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    live = ServerSettings(url="wss://api.openai.com/v1/live/sessions", model="gpt-live-1", flavour="live")
    assert dialect(live).request(opening).url == "wss://api.openai.com/v1/live/sessions"
