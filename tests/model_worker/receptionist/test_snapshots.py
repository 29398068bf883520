"""A receptionist that goes on from a snapshot is where the other one was."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_worker.duplex.receptionist.conversation import MEMORY_ENTRIES
from model_worker.seams import BadSnapshotError, CallSpec, StepOutput, UnknownAgentError
from tests.model_worker.dialog.agents import FIELDS, agent
from tests.model_worker.receptionist.fakes import QUIET, House, Line, saying
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind

SPEC = CallSpec("desk")


def plain(output: StepOutput) -> tuple[object, ...]:
    speech = [(piece.pcm.tolist(), piece.text, tuple(piece.word_starts)) for piece in output.speech]
    said = [(said.voice, said.text, said.confidence) for said in output.said]
    actions = [(action.name, dict(action.arguments)) for action in output.actions]
    return output.index, output.decision, output.turn, speech, output.turn_done, said, actions


def taken(line: Line) -> bytes:
    """The snapshot of a call in which nobody speaks."""
    state = line.house.engine.snapshot(line.id)
    assert state is not None
    return state


def moved(line: Line) -> Line:
    """The same call at another worker, which has its snapshot only."""
    house = House()
    house.engine.restore(line.id, SPEC, taken(line))
    other = Line(house, line.id)
    other.index, other.turn, other.done = line.index, line.turn, line.done
    other.generated_s, other.heard_s = line.generated_s, line.heard_s
    return other


def greeted() -> Line:
    line = House().call()
    line.step()
    line.hear_out()
    return line


def test_turn_numbers_and_history_go_on() -> None:
    line = greeted()
    line.say("opening hours")
    line.hear_out()
    other = moved(line)
    assert other.house.engine.history(other.id) == line.house.engine.history(line.id)
    other.say("appointment")
    assert other.turn == TurnId(3)
    assert [entry["text"] for entry in other.house.engine.history(other.id)] == [
        "Hello, I am a machine.",
        "opening hours",
        "We open at eight. Anything else?",
        "appointment",
        "Shall we call you? Yes or no?",
    ]


def test_a_question_that_waits_for_a_yes_still_waits() -> None:
    line = greeted()
    line.say("appointment")
    line.hear_out()
    other = moved(line)
    other.say("yes")
    other.hear_out()
    assert other.agent_said() == ["Speak now."]
    assert other.actions() == [("voicemail", TurnId(3))]


def test_failures_are_counted_across_workers() -> None:
    line = greeted()
    line.say("babble")
    line.hear_out()
    other = moved(line)
    other.say("babble")
    other.hear_out()
    assert other.agent_said() == ["I give up. Connecting."]
    assert other.actions() == [("transfer", TurnId(3))]


def test_silence_is_counted_across_workers() -> None:
    line = greeted()
    for _ in range(8):
        line.step()
    other = moved(line)
    expected = [plain(line.step()) for _ in range(3)]
    assert [plain(other.step()) for _ in range(3)] == expected
    assert other.agent_said() == ["Are you there?"]


def test_an_ended_dialog_stays_ended() -> None:
    line = greeted()
    line.step(dtmf="5")
    line.hear_out()
    assert line.actions() == [("hangup", TurnId(2))]
    other = moved(line)
    assert {other.step(dtmf="1").decision for _ in range(3)} == {DecisionKind.LISTEN}


def test_there_is_no_snapshot_while_somebody_speaks_or_is_about_to() -> None:
    house = House()
    assert house.engine.snapshot(CallId("call-1")) is None
    line = house.call()
    assert house.engine.snapshot(line.id) is None  # the greeting is to come
    line.step()
    assert house.engine.snapshot(line.id) is None
    line.hear_out()
    assert house.engine.snapshot(line.id) is not None
    line.step(saying("opening hours"))
    assert house.engine.snapshot(line.id) is None  # the caller
    while line.step().decision is not DecisionKind.SPEAK:
        assert house.engine.snapshot(line.id) is None  # what was said is being recognized
    assert house.engine.snapshot(line.id) is None
    line.barge_in()
    assert house.engine.snapshot(line.id) is not None


def test_a_call_that_was_broken_off_has_no_snapshot() -> None:
    line = greeted()
    line.house.asr.broken_for.add(line.id)
    line.step(saying("opening hours"))
    assert line.house.faults
    assert line.house.engine.snapshot(line.id) is None


def test_a_snapshot_of_another_agent_is_refused() -> None:
    line = greeted()
    line.say("appointment")
    line.hear_out()
    questions = [question for question in FIELDS["questions"] if question["id"] != "visit"]
    other = House({"desk": agent(questions=questions)}).engine
    with pytest.raises(BadSnapshotError, match="desk"):
        other.restore(line.id, SPEC, taken(line))
    assert other.history(line.id) == []
    assert other.snapshot(line.id) is None


@pytest.mark.parametrize("state", [b"", b"\xc1", b"\x01", b"\x90", b"\x93\x01\x02\x03"])
def test_garbage_is_refused(state: bytes) -> None:
    with pytest.raises(BadSnapshotError):
        House().engine.restore(CallId("call-1"), SPEC, state)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_whatever_a_snapshot_was_made_of_it_is_one_or_refused(garbage: bytes, at: int) -> None:
    line = greeted()
    state = taken(line)
    damaged = state[: at % len(state)] + garbage + state[at % len(state) + len(garbage) :]
    house = House()
    try:
        house.engine.restore(line.id, SPEC, damaged)
    except BadSnapshotError:
        assert house.engine.snapshot(line.id) is None


def test_an_unknown_agent_is_unknown_with_a_snapshot_too() -> None:
    with pytest.raises(UnknownAgentError):
        House().engine.restore(CallId("call-1"), CallSpec("nobody"), b"")


@given(
    st.lists(
        st.sampled_from(["", "", "", "1", "4", "0", "opening hours", "appointment", "yes", "babble", "stop"]),
        min_size=10,
        max_size=30,
    )
)
@example(["0", *["1"] * 14, ""])  # more was said than a snapshot carries
def test_every_snapshot_of_a_call_leads_to_the_same_further_decisions(happenings: list[str]) -> None:
    line = greeted()
    other: Line | None = None
    for happens in happenings:
        if line.house.engine.snapshot(line.id) is not None:
            other = moved(line)  # a new worker at every occasion
        for one in [line] if other is None else [line, other]:
            if happens == "stop" and not one.done:
                one.barge_in()
        pcm = saying(happens) if happens in ("opening hours", "appointment", "yes", "babble") else QUIET
        for chunk in (pcm, QUIET, QUIET, QUIET):
            keys = happens if happens.isdigit() and chunk is pcm else ""
            expected = plain(line.step(chunk, keys))
            if other is not None:
                assert plain(other.step(chunk, keys)) == expected
    if other is not None:
        told, whole = other.house.engine.history(line.id), line.house.engine.history(line.id)
        assert told == whole[-len(told) :]
        assert len(told) >= min(len(whole), MEMORY_ENTRIES), "a snapshot carries that many, and all that came since"
