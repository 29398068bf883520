"""The engine around the calls: agents, snapshots, and faults that stay with one call."""

import numpy as np
import pytest

from model_worker.dialog.brief import Brief
from model_worker.duplex.remote.effects import Frame, Request, TurnOver, Words
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.seam import Dialect, LinkId, Opening, Received
from model_worker.seams import BadSnapshotError, CallSpec, Engine, StepInput, UnknownAgentError
from tests.engines.remote.fakes import CAPABILITIES, CHUNK, FakeLinks, FakeSession, sound
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind

BRIEF = Brief(name="desk", engine="realtime", instructions="Be kind.")
SPEC = CallSpec("desk")
A, B = CallId("a"), CallId("b")


class FailingSession(FakeSession):
    """Its protocol has a fault of its own."""

    def receive(self, frame: Frame) -> None:
        raise RuntimeError("broken")


class Bench:
    def __init__(self, session: type[FakeSession] = FakeSession) -> None:
        self.links = FakeLinks()
        self.sessions: list[FakeSession] = []

        def begin(opening: Opening) -> FakeSession:
            self.sessions.append(session(opening))
            return self.sessions[-1]

        dialect = Dialect(CAPABILITIES, lambda _: Request("ws://server"), begin)
        self.engine = RemoteEngine({"desk": BRIEF}, dialect, self.links)


def chunk(call: CallId, index: int = 0) -> StepInput:
    return StepInput(call, index, CHUNK)


def test_it_is_an_engine() -> None:
    engine: Engine = Bench().engine
    assert engine.capabilities is CAPABILITIES


def test_an_agent_that_nobody_wrote_is_refused() -> None:
    with pytest.raises(UnknownAgentError):
        Bench().engine.open(A, CallSpec("somebody"))


def test_calls_share_a_step_and_keep_their_sessions_apart() -> None:
    bench = Bench()
    for call in (A, B):
        bench.engine.open(call, SPEC)
    assert [bench.engine.busy, bench.links.ready] == [True, True]
    outputs = bench.engine.step([chunk(A), chunk(B)])
    assert {(out.call, out.decision) for out in outputs} == {(A, DecisionKind.LISTEN), (B, DecisionKind.LISTEN)}
    assert [bench.engine.busy] == [False]
    bench.sessions[1].effects.extend([sound(0.4), TurnOver()])
    bench.links.events.append((LinkId(2), Received("speech")))
    (output,) = bench.engine.step([])
    assert (output.call, output.turn, output.decision) == (B, 1, None)


def test_a_fault_of_one_session_costs_its_call_and_no_other() -> None:
    bench = Bench(FailingSession)
    for call in (A, B):
        bench.engine.open(call, SPEC)
    bench.links.events.append((LinkId(1), Received("anything")))
    outputs = bench.engine.step([chunk(B)])
    assert [(out.call, type(out.fault)) for out in outputs] == [(A, RuntimeError), (B, type(None))]
    assert bench.links.closed == [1]
    (late,) = bench.engine.step([chunk(A, 1)])
    assert late.fault is not None


def test_a_call_goes_on_from_its_snapshot_with_what_was_said() -> None:
    bench = Bench()
    bench.engine.open(A, SPEC)
    bench.engine.step([chunk(A)])
    bench.sessions[0].effects.extend([sound(0.4), Words("good day"), TurnOver()])
    bench.links.events.append((LinkId(1), Received("speech")))
    bench.engine.step([])
    assert bench.engine.snapshot(A) is None, "it is being heard"
    bench.engine.step([StepInput(A, 1, CHUNK, (TurnId(1), 0.4))])
    state = bench.engine.snapshot(A)
    assert state is not None
    other = Bench()
    other.engine.restore(A, SPEC, state)
    assert [line.text for line in other.sessions[0].opening.said] == ["good day"]
    other.engine.step([chunk(A, 2)])
    other.sessions[0].effects.append(sound(0.4))
    other.links.events.append((LinkId(1), Received("speech")))
    assert other.engine.step([])[0].turn == 2


@pytest.mark.parametrize("state", [b"", b"nonsense", b"[2, 0, []]", b'{"version": 1}'])
def test_a_snapshot_of_something_else_is_refused(state: bytes) -> None:
    with pytest.raises(BadSnapshotError):
        Bench().engine.restore(A, SPEC, state)


def test_a_call_that_is_closed_lets_go_of_its_session() -> None:
    bench = Bench()
    bench.engine.open(A, SPEC)
    bench.engine.close(A)
    assert bench.sessions[0].told == ["end"]
    assert bench.links.closed == [1]
    bench.links.events.append((LinkId(1), Received("late")))
    assert bench.engine.step([]) == []
    bench.engine.close(A)


def test_speech_is_what_the_server_said_sample_by_sample() -> None:
    bench = Bench()
    bench.engine.open(A, SPEC)
    said = np.arange(12_345, dtype=np.int16)
    bench.sessions[0].effects.extend([type(sound(0.1))(said[:7_000]), type(sound(0.1))(said[7_000:]), TurnOver()])
    bench.links.events.append((LinkId(1), Received("speech")))
    pieces = [piece.pcm for out in bench.engine.step([]) for piece in out.speech]
    assert np.array_equal(np.concatenate(pieces), said)
