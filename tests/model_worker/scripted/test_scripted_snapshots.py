"""A scripted engine that goes on from a snapshot decides as the one that was heard all along."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.duplex.script import Script
from model_worker.duplex.scripted import SNAPSHOT_HISTORY, ScriptedEngine
from model_worker.seams import BadSnapshotError, CallSpec, StepInput, StepOutput, UnknownAgentError
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind, Floor, OverlapRules

CALL = CallId("call-1")
QUIET = np.zeros(3_200, np.int16)
LOUD = np.full(3_200, 9_000, np.int16)
CHUNKS = 24
PACED = {"ms": 1_000, "text": "one two three", "delivery": "paced"}
RULES: list[dict[str, Any]] = [
    {"when": "digit", "digit": "5", "say": {"ms": 900, "text": "four five six"}, "hang_up": True},
    {"when": "echo", "say": PACED},
    {"when": "talk", "rest": 3, "say": PACED},
    {"when": "periodic", "every": 7, "first": 2},
]
FIELDS = {"agents": {"desk": {"rules": RULES, "judge": {"+1": "yield"}}}}
SPEC = CallSpec("desk", "+1")


def engine() -> ScriptedEngine:
    return ScriptedEngine(Script.model_validate(FIELDS))


def plain(output: StepOutput) -> tuple[object, ...]:
    speech = [(piece.pcm.tolist(), piece.text, tuple(piece.word_starts)) for piece in output.speech]
    said, actions = [s.text for s in output.said], [action.name for action in output.actions]
    return output.index, output.decision, output.turn, speech, output.turn_done, said, actions, output.floor


class Run:
    """A call in an engine, with a gateway that plays what it is given and stops turns when told to."""

    def __init__(self, serving: ScriptedEngine) -> None:
        self.engine = serving
        self.turn = TurnId(0)
        self.generated_s = self.heard_s = 0.0

    def goes_on(self, serving: ScriptedEngine) -> "Run":
        """The same call in another engine."""
        other = Run(serving)
        other.turn, other.generated_s, other.heard_s = self.turn, self.generated_s, self.heard_s
        return other

    def step(self, index: int, happens: str) -> tuple[object, ...]:
        """``happens``: what happens until the end of the chunk."""
        if happens == "stop":
            self.engine.interrupt(CALL, self.turn, self.heard_s)
            self.generated_s = self.heard_s
        self.heard_s = min(self.generated_s, self.heard_s + 0.4)
        one = StepInput(
            CALL,
            index,
            LOUD if happens == "loud" else QUIET,
            (self.turn, self.heard_s),
            dtmf="5" if happens == "key" else "",
            say=("one moment",) if happens == "order" else (),
            overlap_s=0.3 if happens == "loud" else 0.0,
        )
        (output,) = self.engine.step([one])
        if output.turn > self.turn:
            self.turn, self.generated_s, self.heard_s = output.turn, 0.0, 0.0
        self.generated_s += sum(len(piece.pcm) for piece in output.speech) / 8_000
        return plain(output)


happenings = st.lists(st.sampled_from(["", "", "loud", "stop", "key", "order"]), min_size=CHUNKS, max_size=CHUNKS)


@given(happenings=happenings)
def test_every_snapshot_of_a_call_leads_to_the_same_further_decisions(happenings: list[str]) -> None:
    first = Run(engine())
    first.engine.open(CALL, SPEC)
    others: list[Run] = []
    for index, happens in enumerate(happenings):
        expected = first.step(index, happens)
        for other in others:
            assert other.step(index, happens) == expected
        state = first.engine.snapshot(CALL)
        if state is not None:
            others.append(first.goes_on(engine()))
            assert others[-1].engine.restore(CALL, SPEC, state) == OverlapRules(model_judges=True)
            assert others[-1].engine.snapshot(CALL) == state
            kept = first.engine.history(CALL)[-SNAPSHOT_HISTORY:]
            assert others[-1].engine.history(CALL) == kept


def test_there_is_no_snapshot_in_the_middle_of_a_turn_nor_of_an_unknown_call() -> None:
    serving = engine()
    assert serving.snapshot(CALL) is None
    serving.open(CALL, SPEC)
    taken = []
    for index in range(4):
        (output,) = serving.step([StepInput(CALL, index, QUIET)])
        taken.append((output.decision, output.turn_done, serving.snapshot(CALL) is not None))
    assert taken == [
        (DecisionKind.SPEAK, False, False),
        (DecisionKind.SPEAK, False, False),
        (DecisionKind.SPEAK, True, True),
        (DecisionKind.LISTEN, False, True),
    ]


def test_a_turn_stopped_after_the_snapshot_is_cut_in_the_history() -> None:
    first = Run(engine())
    first.engine.open(CALL, SPEC)
    for index in range(3):
        first.step(index, "")
    state = first.engine.snapshot(CALL)
    assert state is not None
    other = engine()
    other.restore(CALL, SPEC, state)
    other.interrupt(CALL, TurnId(1), 0.4)
    (entry,) = other.history(CALL)
    assert (entry["turn"], entry["text"], entry["cut"]) == (1, "one two", True)


def test_a_caller_who_is_judged_is_judged_by_the_next_worker_too() -> None:
    serving = engine()
    serving.open(CALL, SPEC)
    serving.step([StepInput(CALL, 0, QUIET, dtmf="5")])
    state = serving.snapshot(CALL)
    assert state is not None
    other = engine()
    assert other.restore(CALL, SPEC, state) is not None
    (output,) = other.step([StepInput(CALL, 1, QUIET, overlap_s=0.4)])
    assert output.floor is Floor.YIELD


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\xc1",
        b"\x01",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode([True, 0, 0, 0.0, [{"turn": 1}]]),
        msgspec.msgpack.encode([True, 0, 0, 0.0, [{"say": {"ms": -1}}]]),
        msgspec.msgpack.encode([True, 0, 0, 0.0, 7]),
    ],
)
def test_what_is_no_snapshot_is_refused_and_opens_nothing(state: bytes) -> None:
    serving = engine()
    with pytest.raises(BadSnapshotError):
        serving.restore(CALL, SPEC, state)
    assert serving.snapshot(CALL) is None


def test_an_unknown_agent_is_unknown_with_a_snapshot_too() -> None:
    with pytest.raises(UnknownAgentError):
        engine().restore(CALL, CallSpec("nobody"), b"")


def test_counts_that_are_none_are_refused():
    with pytest.raises(BadSnapshotError):
        engine().restore(CALL, SPEC, msgspec.msgpack.encode([True, "x", None, 0.0, []]))
