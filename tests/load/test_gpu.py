"""The instrument that counts a model's calls: engines and clocks made by hand, then the real ones."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from load_tests.gpu import CHUNK_S, LATE_SHARE, Clock, Measured, climb, main, measure
from model_worker.seams import CallSpec, StepInput, StepOutput
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind

ROOT = Path(__file__).parents[2]


class Hours:
    """A clock that goes by only where somebody lets it."""

    def __init__(self, per_look_s: float = 0.0) -> None:
        self.now_s = 100.0
        self._per_look_s = per_look_s

    def now(self) -> float:
        self.now_s += self._per_look_s
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += max(seconds, 1e-6)

    @property
    def clock(self) -> Clock:
        return Clock(self.now, self.sleep)


class FakeEngine:
    """Decides at once what it is given, ``step_s`` and ``chunk_s`` of a clock later; speaks where ``speaks``."""

    busy = False
    reply_tokens = 0
    context_positions = (30, 120)
    position_bytes = 512

    def __init__(
        self, hours: Hours, *, step_s: float = 0.0, chunk_s: float = 0.0, speaks: bool = False, fails_at: int = -1
    ) -> None:
        self.given: list[StepInput] = []
        self._hours = hours
        self._step_s = step_s
        self._chunk_s = chunk_s
        self._speaks = speaks
        self._fails_at = fails_at

    def open(self, call: CallId, spec: CallSpec) -> None:
        pass

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        self.given += inputs
        self._hours.sleep(self._step_s + self._chunk_s * len(inputs))
        self.reply_tokens += len(inputs)
        return [self._decide(one) for one in inputs]

    def _decide(self, given: StepInput) -> StepOutput:
        if given.index == self._fails_at:
            return StepOutput(given.call, given.index, None, fault=ArithmeticError("NaN"))
        turn = TurnId(1 + given.index // 5)
        if self._speaks and given.index % 5 < 2:
            p_speak = None if given.index % 5 else 0.9  # asked when it began, and not while it writes
            return StepOutput(given.call, given.index, DecisionKind.SPEAK, turn, p_speak=p_speak)
        return StepOutput(given.call, given.index, DecisionKind.LISTEN, p_speak=0.1)


def served(calls: int, seconds: float = 20.0, **engine: Any) -> Measured:
    hours = Hours()
    return measure(FakeEngine(hours, **engine), calls, seconds, hours.clock)


class TestOneNumberOfCalls:
    def test_every_chunk_of_every_call_is_counted(self):
        run = served(4)
        # 20 s: 50 chunks, the last of which is whole at the end or, for callers that began later, after it.
        assert run.decisions == 4 * 49
        assert (run.calls, run.undecided, run.missed, run.faults) == (4, 0, 0, 0)
        assert run.steps == run.decisions, "callers are spread, so that no two chunks are whole at once"
        assert run.holds
        assert run.listen_tokens_per_s == pytest.approx(13 * run.decisions / 20, rel=0.01)
        assert run.reply_tokens_per_s == pytest.approx(run.decisions / 20, rel=0.01)
        assert (run.kv_bytes, run.kv_share) == (30 * 512, 0.25)

    def test_what_a_chunk_costs_is_the_time_in_steps(self):
        run = served(2, step_s=0.01, chunk_s=0.03)
        assert run.step_p50_s == pytest.approx(0.04)
        assert run.step_s_per_chunk == pytest.approx(0.04)
        assert run.busy_share == pytest.approx(0.04 * 2 / CHUNK_S, rel=0.05)
        assert 0.04 <= run.decision_p50_s <= 0.05, "from the chunk being whole, a nap included"

    def test_a_busy_engine_takes_together_what_came_meanwhile(self):
        hours = Hours()
        engine = FakeEngine(hours, step_s=0.2)
        run = measure(engine, 8, 20.0, hours.clock)
        assert run.steps == pytest.approx(20 / 0.2, abs=3)
        assert run.decisions > 3.5 * run.steps
        assert run.holds, "a chunk waits for a step and is in the next: 0.4 s at most"

    def test_a_decision_after_the_next_chunk_missed_its_deadline(self):
        run = served(1, step_s=CHUNK_S + 0.001)
        assert run.missed == run.decisions + run.undecided > 40
        assert not run.holds
        assert run.decision_p99_s > CHUNK_S

    def test_chunks_that_are_never_decided_on_missed_it_too(self):
        run = served(2, step_s=30.1)
        assert run.decisions == 1, "one caller was first; all others waited for him"
        # It ends after 30.5 s. Chunks whole before 30.1 s are too late: those of 0.4 s to 30.0 s and 0.6 s to 29.8 s.
        assert run.missed == 75 + 74
        assert run.undecided == run.missed - 1
        assert not run.holds

    def test_one_late_decision_in_a_hundred_is_forgiven_and_not_two(self):
        run = served(1)
        assert replace(run, decisions=200, missed=2).holds
        assert not replace(run, decisions=200, missed=3).holds
        assert LATE_SHARE == 0.01

    def test_a_call_that_fails_is_no_call_that_is_carried(self):
        run = served(2, fails_at=3)
        assert run.faults == 2
        assert not run.holds

    def test_chunks_that_come_while_a_reply_is_written_are_told_apart(self):
        hours = Hours()

        class Writing(FakeEngine):
            def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
                if inputs[0].index % 5 == 1:
                    hours.sleep(0.2)
                return super().step(inputs)

        run = measure(Writing(hours, speaks=True), 1, 20.0, hours.clock)
        assert run.writing_p99_s == pytest.approx(0.2, abs=0.01)
        assert run.decision_p50_s < 0.01
        assert served(1).writing_p99_s != served(1).writing_p99_s, "NaN where nobody was answered"

    def test_the_share_of_speaking_and_the_callers_ear(self):
        hours = Hours()
        engine = FakeEngine(hours, speaks=True)
        run = measure(engine, 1, 8.2, hours.clock)
        assert run.decisions == 20
        assert run.speaking_share == pytest.approx(8 / 20)
        heard = [one.playback_s for one in engine.given[:7]]
        assert [turn for turn, _ in heard] == [0, 1, 1, 1, 1, 1, 2]
        assert [heard_s for _, heard_s in heard[1:6]] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
        assert heard[6][1] == pytest.approx(0.4), "another turn begins at its beginning"


class TestTheLadder:
    NUMBERS = (1, 2, 4, 8, 16, 32)

    @staticmethod
    def slow(calls: int, seconds: float) -> Measured:
        """A machine that needs 60 ms for a call's chunk: six calls are all it can carry."""
        return served(calls, seconds, chunk_s=0.06)

    def test_it_stops_at_the_first_number_that_does_not_hold(self):
        climbed = climb(self.slow, self.NUMBERS, 20.0)
        assert [(run.calls, run.holds) for run in climbed.runs] == [(1, True), (2, True), (4, True), (8, False)]
        assert climbed.highest == 4
        assert climbed.holds == []

    def test_the_highest_that_held_is_held_for_longer(self):
        climbed = climb(self.slow, self.NUMBERS, 20.0, hold_s=60.0)
        [hold] = climbed.holds
        assert (hold.calls, hold.holds) == (4, True)
        assert hold.seconds == pytest.approx(60, abs=0.5)
        assert climbed.highest == 4

    def test_a_number_that_does_not_hold_for_longer_gives_way_to_the_next_lower_one(self):
        def tires(calls: int, seconds: float) -> Measured:
            return served(calls, seconds, chunk_s=0.25 if seconds > 30 and calls > 1 else 0.06)

        climbed = climb(tires, self.NUMBERS, 20.0, hold_s=60.0)
        assert [(run.calls, run.holds) for run in climbed.holds] == [(4, False), (2, False), (1, True)]
        assert climbed.highest == 1

    def test_nothing_is_tried_for_longer_where_nothing_held(self):
        climbed = climb(lambda calls, seconds: served(calls, seconds, step_s=1.0), self.NUMBERS, 20.0, hold_s=60.0)
        assert [run.calls for run in climbed.runs] == [1]
        assert (climbed.holds, climbed.highest) == ([], None)

    def test_all_numbers_may_hold(self):
        assert climb(served, (2, 1), 4.0).highest == 2


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small nets on a busy machine lose more by waiting for a second thread than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def consistent(run: dict[str, Any]) -> None:
    """What has to be true of a run, whatever the machine."""
    assert run["decisions"] > 0
    assert 0 <= run["undecided"] <= run["missed"] <= run["decisions"] + run["undecided"]
    assert run["holds"] == (not run["faults"] and run["missed"] <= 0.01 * (run["decisions"] + run["undecided"]))
    assert run["steps"] > 0
    assert run["decision_p50_s"] <= run["decision_p99_s"]
    assert run["step_p50_s"] <= run["step_p99_s"]
    assert run["listen_tokens_per_s"] == pytest.approx(13 * run["decisions"] / run["seconds"], rel=0.01)
    assert 0 <= run["speaking_share"] <= 1
    assert 0 < run["kv_share"] <= 1
    # The tiny model has 512 bytes a token; a slot holds 512 of them here.
    assert run["kv_bytes"] == pytest.approx(run["kv_share"] * run["calls"] * 512 * 512, abs=0.0001 * 32 * 512 * 512)


@pytest.mark.usefixtures("one_thread")
class TestTheCommand:
    WORDS = ("--random-weights", "tiny", "--device", "cpu", "--context-tokens", "512", "--json")

    def test_with_the_tiny_model_on_a_clock_of_numbers(self, capsys: pytest.CaptureFixture[str]):
        code = main([*self.WORDS, "--calls", "2", "1", "--seconds", "8", "--hold-s", "10"], Hours().clock)
        report = json.loads(capsys.readouterr().out)
        assert code == 0
        assert (report["device"], report["weights"], report["highest"]) == ("cpu", "tiny", 2)
        assert [run["calls"] for run in report["runs"]] == [1, 2]
        assert [run["calls"] for run in report["holds"]] == [2]
        for run in (*report["runs"], *report["holds"]):
            consistent(run)
            assert (run["missed"], run["faults"], run["busy_share"]) == (0, 0, 0)
        assert [run["decisions"] for run in report["runs"]] == [19, 2 * 19]
        assert report["holds"][0]["decisions"] == 2 * 24
        assert any(run["speaking_share"] > 0 and run["reply_tokens_per_s"] > 0 for run in report["runs"])

    def test_where_nothing_holds_it_says_so(self, capsys: pytest.CaptureFixture[str]):
        words = [word for word in self.WORDS if word != "--json"]
        code = main([*words, "--calls", "1", "2", "--seconds", "4"], Hours(per_look_s=0.5).clock)
        [line] = capsys.readouterr().out.splitlines()
        assert code == 1
        assert line.startswith("   1 calls")
        assert line.endswith("does not hold")

    def test_as_a_process_at_real_pace(self):
        command = (sys.executable, "-m", "load_tests.gpu", *self.WORDS, "--calls", "1", "2")
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            (*command, "--seconds", "1.5", "--hold-s", "1.5"), cwd=ROOT, env=alone, capture_output=True
        )
        report = json.loads(done.stdout)
        for run in (*report["runs"], *report["holds"]):
            consistent(run)
        held = [run["calls"] for run in (report["holds"] or report["runs"]) if run["holds"]]
        assert report["highest"] == max(held, default=None)
        assert done.returncode == (0 if held else 1), done.stderr.decode()
