"""The engine's thread is woken by what answers from outside."""

import threading
from collections.abc import Sequence

from model_worker.engine import EngineLoop
from model_worker.runner.engine_thread import EngineThread, Report
from model_worker.seams import Said, StepInput, StepOutput
from tests.model_worker.host.fakes import CALL, Caller, Clock, FakeEngine
from wire.messages import Transcript, Voice

PATIENCE_S = 20.0


class Asking(FakeEngine):
    """What comes from outside is a transcript."""

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        outputs = super().step(inputs)
        if self.busy:
            self.busy = False
            outputs.append(StepOutput(CALL, 0, None, said=(Said(Voice.CALLER, "hello"),)))
        return outputs


def test_an_answer_from_outside_is_taken_without_a_chunk() -> None:
    engine, caller, clock = Asking(), Caller(), Clock()
    reports: list[Report] = []
    decided, told, ended = threading.Event(), threading.Event(), threading.Event()

    def take(report: Report) -> None:
        reports.append(report)
        decided.set()
        if any(isinstance(message, Transcript) for _, message in report.outgoing):
            told.set()

    thread = EngineThread(EngineLoop(engine, lambda: clock.now), lambda: clock.now, take, lambda _: ended.set())
    thread.start()
    thread.deliver(caller.opens(), 0.0)
    thread.deliver(caller.speaks(), 0.0)
    assert decided.wait(PATIENCE_S)
    assert not told.is_set()
    engine.busy = True
    engine.wake()
    assert told.wait(PATIENCE_S)
    thread.stop()
    assert ended.wait(PATIENCE_S)
