"""An engine that works between chunks: answers come later, more of a turn comes in between, faults are one call's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model_worker.engine.stats import Failure
from model_worker.seams import Speech, StepInput, StepOutput
from tests.model_worker.host.fakes import CALL, Caller, FakeEngine, speak
from tests.model_worker.host.test_engine_loop import Bench, of
from wire.ids import CallId, TurnId
from wire.messages import CallFailed, Decision, DecisionKind, SpeechChunk, TurnDone

OTHER = CallId("call-2")


class Late(FakeEngine):
    """Answers every chunk ``later`` steps after it was given it, and then says ``more`` between two chunks."""

    def __init__(self, later: int = 1) -> None:
        super().__init__()
        self.later = later
        self.more: list[StepOutput] = []
        self.faulty: set[CallId] = set()
        self._held: list[list[StepOutput]] = [[] for _ in range(later)]

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        answers = [
            replace(output, decision=None, fault=RuntimeError("broken")) if output.call in self.faulty else output
            for output in super().step(inputs)
        ]
        self._held.append(answers)
        outputs = self._held.pop(0)
        if not outputs and not any(self._held) and self.more:
            outputs = [self.more.pop(0)]
        self.busy = any(self._held) or bool(self.more)
        return outputs


def more(turn: int, index: int, *, done: bool = False) -> StepOutput:
    speech = () if done else (Speech(np.full(800, 7, np.int16), "more"),)
    return StepOutput(CALL, index, None, TurnId(turn), speech, turn_done=done)


def test_a_late_answer_is_a_decision_like_any_other():
    caller, bench = Caller(), Bench(Late(later=3))
    bench.give(caller.opens(), caller.speaks())
    bench.loop.step(bench.clock.now)
    bench.clock.now += 0.25
    (decision,) = of(Decision, bench.run())
    assert (decision.index, decision.kind, round(decision.step_s, 6)) == (0, DecisionKind.LISTEN, 0.25)


def test_a_call_gets_no_chunk_before_its_last_one_is_answered():
    caller, engine = Caller(), Late(later=2)
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    bench.loop.step(bench.clock.now)
    bench.give(caller.speaks(), caller.speaks())
    decisions = of(Decision, bench.run())
    assert [decision.index for decision in decisions] == [0, 1, 2]
    given = [batch for batch in engine.batches if batch]
    assert given == [[CALL]] * 3
    assert [] in engine.batches[1:3]


def test_others_are_served_while_a_call_waits_for_its_answer():
    first, second, engine = Caller(), Caller(OTHER), Late(later=4)
    bench = Bench(engine)
    bench.give(first.opens(), second.opens(), first.speaks())
    bench.loop.step(bench.clock.now)
    bench.give(second.speaks())
    assert {(decision.call, decision.index) for decision in of(Decision, bench.run())} == {(CALL, 0), (OTHER, 0)}


def test_more_of_a_turn_goes_out_between_two_chunks():
    caller, engine = Caller(), Late()
    engine.answers[0] = speak(1, 800, "hello")
    engine.more = [more(1, 0), more(1, 0), more(1, 0, done=True)]
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    outgoing = bench.run()
    assert len(of(Decision, outgoing)) == 1
    spoken = of(SpeechChunk, outgoing)
    assert [piece.text for piece in spoken] == ["hello", "more", "more"]
    assert [piece.start_samples for piece in spoken] == [0, 800, 1_600]
    assert [done.total_samples for done in of(TurnDone, outgoing)] == [2_400]


def test_an_interruption_waits_for_the_answer_that_it_follows():
    caller, engine = Caller(), Late(later=2)
    engine.answers[0] = speak(1)
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    bench.loop.step(bench.clock.now)
    bench.give(caller.stops(1, 400))
    assert not [event for event in engine.events if event[0] == "interrupt"]
    bench.run()
    assert [event[0] for event in engine.events] == ["chunk", "interrupt"]


def test_an_interruption_between_two_chunks_stays_between_them():
    caller, engine = Caller(), Late(later=2)
    engine.answers[0] = speak(1)
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    bench.loop.step(bench.clock.now)
    bench.give(caller.stops(1, 400), caller.speaks())
    bench.run()
    assert [(event[0], event[2]) for event in engine.events] == [("chunk", 0), ("interrupt", 1), ("chunk", 1)]


def test_a_fault_that_comes_later_costs_its_call_only():
    first, second, engine = Caller(), Caller(OTHER), Late(later=2)
    engine.faulty = {CALL}
    bench = Bench(engine)
    bench.give(first.opens(), second.opens(), first.speaks(), second.speaks())
    outgoing = bench.run()
    assert [(failed.call, failed.reason) for failed in of(CallFailed, outgoing)] == [(CALL, Failure.ENGINE_FAULT)]
    assert [decision.call for decision in of(Decision, outgoing)] == [OTHER]
    assert [str(fault.error) for fault in bench.loop.take_faults()] == ["broken"]


def test_an_answer_to_nothing_costs_the_call():
    caller, engine = Caller(), Late()
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    bench.run()
    engine.more = [StepOutput(CALL, 0, DecisionKind.LISTEN)]
    engine.busy = True
    assert [failed.reason for failed in of(CallFailed, bench.run())] == [Failure.ENGINE_FAULT]


def test_what_comes_after_the_call_is_over_is_nobodys():
    caller, engine = Caller(), Late(later=2)
    bench = Bench(engine)
    bench.give(caller.opens(), caller.speaks())
    bench.loop.step(bench.clock.now)
    bench.give(caller.closes())
    assert bench.run() == []
    assert bench.loop.take_faults() == []
