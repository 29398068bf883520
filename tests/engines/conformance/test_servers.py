"""What every engine that is a server's does, whatever its protocol: one suite, all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from model_worker.duplex.remote.call import SessionLostError
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import BadSnapshotError, CallSpec, UnknownAgentError
from tests.engines.conformance.line import Caller, Host
from tests.engines.conformance.subjects import SUBJECTS
from tests.engines.subject import Peer, Reply, Script, Subject
from tests.peers.sound import turn_of
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind, Voice

TWO_REPLIES = (Reply(1.2, 4.0, "one two three four five six seven eight"), Reply(8.0, 1.2, "the second answer"))


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@contextmanager
def hosted(subject: Subject, script: Script, *, clean: bool = True) -> Iterator[tuple[Host, Peer]]:
    """An engine and its server. ``clean``: the client has to be without fault against the protocol."""
    with subject.peer(script) as peer:
        engine, shutdown = subject.build(peer.url, {subject.brief.name: subject.brief})
        try:
            yield Host(subject, engine), peer
        finally:
            shutdown()
        if clean:
            assert list(peer.faults) == []


def tones(caller: Caller, turn: int) -> set[int | None]:
    """Which turns of the server the sound of a turn names, a fifth of a second at a time; its edges left out."""
    sound, step = caller.turns[TurnId(turn)].sound, caller.rate_hz // 5
    return {turn_of(sound[at : at + step], caller.rate_hz) for at in range(step, len(sound) - 2 * step, step)}


def test_every_chunk_gets_one_decision_at_once(subject: Subject) -> None:
    with hosted(subject, Script(replies=())) as (host, _):
        caller = host.call()
        host.chunks(12)
        assert caller.fault is None
        assert caller.decisions == dict.fromkeys(range(12), DecisionKind.LISTEN)


def test_a_reply_is_spoken_whole_and_once(subject: Subject) -> None:
    with hosted(subject, Script(replies=(Reply(1.2, 2.0, "how can I help you"),))) as (host, _):
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.turns[TurnId(1)].done == 1)
        turn = caller.turns[TurnId(1)]
        if subject.speech_is_tones:
            assert turn.samples / caller.rate_hz == pytest.approx(2.0, rel=0.12)
            assert tones(caller, 1) == {0}
        assert np.abs(turn.sound.astype(np.int32)).max() > 1_000
        assert [said.text for said in caller.said if said.voice is Voice.AGENT] == ["how can I help you"]
        assert host.until(lambda: caller.decisions.get(caller.index) is DecisionKind.LISTEN)
        assert DecisionKind.SPEAK in caller.decisions.values()
        assert set(caller.decisions) == set(range(caller.index + 1))
        assert set(caller.turns) == {1}


@pytest.mark.parametrize("after_s", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("deaf", [False, True], ids=["obeys", "goes-on"])
def test_an_interrupted_turn_is_never_heard_of_again(subject: Subject, after_s: float, deaf: bool) -> None:
    with hosted(subject, Script(replies=TWO_REPLIES, deaf_to_interrupts=deaf)) as (host, _):
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.playing[1] >= after_s)
        caller.stop()
        assert host.until(lambda: bool(caller.turns[max(caller.turns)].done) and max(caller.turns) > 1)
        assert caller.stale == 0
        second = max(caller.turns)
        if subject.speech_is_tones:
            assert tones(caller, second) == {1}, "not a sample of the first reply is in the second"
        first, *_ = [entry for entry in host.engine.history(caller.call) if entry["voice"] == "agent"]
        assert first["cut"] is True
        assert TWO_REPLIES[0].words.startswith(first["text"])
        assert len(first["text"]) < len(TWO_REPLIES[0].words)


def test_a_server_that_opens_slowly_hears_all_that_was_said_meanwhile(subject: Subject) -> None:
    with hosted(subject, Script(replies=(), opens_slowly=True)) as (host, peer):
        caller = host.call()
        host.chunks(round(2.0 / caller.chunk_s))
        peer.release()
        host.chunks(2)
        fed_s = (caller.index + 1) * caller.chunk_s
        assert peer.wait_for(lambda: bool(peer.sessions) and peer.sessions[0].heard_s >= fed_s - 2 * caller.chunk_s)
        assert caller.fault is None
        assert len(caller.decisions) == caller.index + 1


def test_a_server_that_never_opens_costs_the_call_and_says_so(subject: Subject) -> None:
    with hosted(subject, Script(replies=(), opens_slowly=True), clean=False) as (host, peer):
        caller = host.call()
        assert host.until(lambda: caller.fault is not None)
        assert isinstance(caller.fault, SessionLostError)
        assert caller.fault.fault is SessionFault.TOO_SLOW
        peer.release()


@pytest.mark.parametrize(
    ("script", "fault"),
    [(Script(full=True), SessionFault.FULL), (Script(refuses_key=True), SessionFault.REFUSED)],
    ids=["full", "wrong-key"],
)
def test_a_server_that_refuses_costs_the_call_with_the_reason(
    subject: Subject, script: Script, fault: SessionFault
) -> None:
    with hosted(subject, script) as (host, _):
        caller = host.call()
        assert host.until(lambda: caller.fault is not None)
        assert isinstance(caller.fault, SessionLostError)
        assert caller.fault.fault is fault


@pytest.mark.parametrize(
    "script",
    [
        Script(replies=(Reply(1.2, 4.0, "a b c d e f g h"),), cuts_within_reply=True),
        Script(replies=(Reply(6.0, 1.0, "still here"),), cuts_at_s=3.0),
        Script(replies=(Reply(2.0, 1.0, "still here"),), expires_at_s=7.0),
    ],
    ids=["cut-mid-sentence", "cut-while-it-listens", "expired"],
)
def test_a_session_that_ends_is_followed_by_another_and_the_call_goes_on(subject: Subject, script: Script) -> None:
    with hosted(subject, script) as (host, peer):
        caller = host.call()
        assert host.until(lambda: len(peer.sessions) > 1 and peer.sessions[1].heard_s > 1.0)
        assert caller.fault is None
        assert set(caller.decisions) == set(range(caller.index + 1))
        assert host.until(lambda: bool(caller.turns) and all(turn.done == 1 for turn in caller.turns.values()))
        assert caller.fault is None


def test_garbage_costs_one_call_at_most(subject: Subject) -> None:
    with hosted(subject, Script(replies=(), garbage_at_s=2.0), clean=False) as (host, peer):
        caller = host.call()
        host.until(lambda: caller.fault is not None or len(peer.sessions) > 1)
        other = host.call("call-2")
        host.chunks(2)
        assert len(other.decisions) == 2
        assert caller.fault is None or isinstance(caller.fault, SessionLostError)


def test_calls_do_not_hear_each_other(subject: Subject) -> None:
    with hosted(subject, Script(replies=(Reply(1.2, 1.2, "for you"),))) as (host, peer):
        callers = [host.call(f"call-{n}") for n in range(3)]
        assert host.until(lambda: all(1 in caller.turns and caller.turns[TurnId(1)].done for caller in callers))
        assert len(peer.sessions) == 3
        for caller in callers:
            assert [said.text for said in caller.said if said.voice is Voice.AGENT] == ["for you"]


@pytest.mark.parametrize("when", ["opening", "listening", "speaking", "interrupted"])
def test_a_call_may_end_in_any_state_and_its_session_with_it(subject: Subject, when: str) -> None:
    with hosted(subject, Script(replies=(Reply(1.2, 3.0, "one two three"),))) as (host, peer):
        caller = host.call()
        if when != "opening":
            host.chunks(2)
        if when in ("speaking", "interrupted"):
            assert host.until(lambda: 1 in caller.turns)
        if when == "interrupted":
            caller.stop()
        host.hang_up(caller)
        host.engine.close(caller.call)
        host.settle()
        assert peer.wait_for(lambda: all(session.over for session in peer.sessions))
        again = host.call("call-2")
        assert host.until(lambda: 1 in again.turns)
        assert again.fault is None


def test_a_wrong_chunk_costs_its_call_and_no_other(subject: Subject) -> None:
    with hosted(subject, Script(replies=())) as (host, _):
        one, other = host.call("call-1"), host.call("call-2")
        host.chunks(2)
        given = one.next_input()
        wrong = type(given)(given.call, given.index, given.pcm[:-1])
        host.step([wrong, other.next_input()])
        assert one.fault is not None
        assert (other.fault, len(other.decisions)) == (None, 3)


def test_an_agent_that_nobody_wrote_is_refused(subject: Subject) -> None:
    with hosted(subject, Script(replies=())) as (host, _), pytest.raises(UnknownAgentError):
        host.call(agent="nobody")


def test_a_call_goes_on_elsewhere_from_its_snapshot(subject: Subject) -> None:
    script = Script(replies=(Reply(1.2, 1.0, "we met before"),))
    with hosted(subject, script) as (host, _):
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and host.engine.snapshot(caller.call) is not None)
        state = host.engine.snapshot(caller.call)
        assert state is not None
    with hosted(subject, script) as (host, _):
        call = CallId("call-1")
        host.engine.restore(call, CallSpec(subject.brief.name), state)
        assert [entry["text"] for entry in host.engine.history(call)] == ["we met before"]
        with pytest.raises(BadSnapshotError):
            host.engine.restore(call, CallSpec(subject.brief.name), b"nonsense")
