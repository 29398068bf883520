"""What every engine of the worker's own process does; the suite for servers asks the same and more of those."""

from collections.abc import Iterator

import pytest

from model_worker.seams import BadSnapshotError, CallSpec, StepInput
from tests.engines.conformance.line import Host
from tests.engines.conformance.local import LOCAL
from tests.engines.subject import Script, Subject
from wire.ids import CallId, TurnId


@pytest.fixture(params=LOCAL, ids=lambda subject: subject.name)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    subject: Subject = request.param
    with subject.peer(Script()) as peer:
        engine, shutdown = subject.build(peer.url, {subject.brief.name: subject.brief})
        host = Host(subject, engine)
        yield host
        for call in list(host.callers):
            engine.close(call)
        shutdown()


def test_every_chunk_gets_one_decision(host: Host) -> None:
    caller = host.call()
    host.chunks(20)
    assert caller.fault is None
    assert set(caller.decisions) == set(range(20))


def test_it_speaks_and_a_turn_that_was_interrupted_is_never_heard_of_again(host: Host) -> None:
    caller = host.call()
    for _ in range(3):
        before = max(caller.turns, default=0)
        assert host.until(lambda before=before: max(caller.turns, default=0) > before and caller.playing[1] > 0.3)  # type: ignore[misc]
        caller.stop()
        host.chunks(3)
    assert caller.stale == 0
    assert caller.fault is None
    assert any(entry["cut"] for entry in host.engine.history(caller.call) if entry["voice"] == "agent")


def test_an_interruption_of_what_was_never_said_changes_nothing(host: Host) -> None:
    caller = host.call()
    host.engine.interrupt(caller.call, TurnId(77), 1.0)
    host.engine.interrupt(CallId("nobody"), TurnId(1), 1.0)
    host.chunks(3)
    assert (caller.fault, len(caller.decisions)) == (None, 3)


@pytest.mark.parametrize("chunks", [0, 1, 7])
def test_a_call_may_end_in_any_state_and_others_go_on(host: Host, chunks: int) -> None:
    caller, other = host.call("call-1"), host.call("call-2")
    host.chunks(chunks)
    host.hang_up(caller)
    host.engine.close(caller.call)
    host.chunks(5)
    assert (other.fault, len(other.decisions)) == (None, chunks + 5)
    assert host.engine.history(caller.call) == []
    again = host.call("call-1")
    host.chunks(3)
    assert (again.fault, len(again.decisions)) == (None, 3)


def test_what_one_caller_sends_wrong_costs_no_other(host: Host) -> None:
    one, other = host.call("call-1"), host.call("call-2")
    host.chunks(2)
    given = one.next_input()
    host.step([StepInput(given.call, given.index, given.pcm[:-1]), other.next_input()])
    host.settle()
    assert (other.fault, len(other.decisions)) == (None, 3)


def test_a_snapshot_of_something_else_is_refused(host: Host) -> None:
    with pytest.raises(BadSnapshotError):
        host.engine.restore(CallId("call-1"), CallSpec(host.subject.brief.name), b"nonsense")
    caller = host.call("call-1")
    host.chunks(2)
    assert (caller.fault, len(caller.decisions)) == (None, 2)


def test_many_callers_share_its_steps(host: Host) -> None:
    callers = [host.call(f"call-{n}") for n in range(min(4, host.engine.capabilities.sessions))]
    host.chunks(10)
    assert [(caller.fault, len(caller.decisions)) for caller in callers] == [(None, 10)] * len(callers)
