"""``twowire engines`` and ``twowire doctor --engine``."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from model_worker.config import WorkerConfig
from model_worker.duplex.remote.call import SessionLostError
from model_worker.duplex.remote.effects import SessionFault
from model_worker.engines.cards import CARDS, ENGINES
from model_worker.seams import Speech, StepInput, StepOutput
from tests.model_worker.host.fakes import FakeEngine
from twowire.__main__ import main
from twowire.engines_command import REMEDIES, examine
from wire.ids import TurnId
from wire.messages import DecisionKind

CONFIG = WorkerConfig(engine="fake")


class Time:
    """A clock that goes on by 5 ms whenever it is read, and by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LosingEngine(FakeEngine):
    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        error = SessionLostError(SessionFault.REFUSED, "status 401 instead of a WebSocket")
        return [StepOutput(given.call, given.index, None, fault=error) for given in inputs]


class SilentEngine(FakeEngine):
    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        return []


def test_the_list_has_every_engine_with_what_it_needs() -> None:
    listed = json.loads(CliRunner().invoke(main, ["engines", "--json"]).output)
    assert {card["name"] for card in listed} == set(ENGINES)
    assert all(card["needs"] and card["kind"] and card["chunk_ms"] for card in listed)
    text = CliRunner().invoke(main, ["engines"]).output
    assert all(card.name in text and card.what in text for card in CARDS)


def test_a_healthy_engine_decides_on_every_chunk() -> None:
    engine = FakeEngine()

    def speak(given: StepInput) -> StepOutput:
        speech = (Speech(np.zeros(engine.capabilities.output_rate_hz, np.int16)),)
        return StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(1), speech)

    engine.answers = {3: speak}
    time = Time()
    trial = examine(engine, CONFIG, "desk", time, time.sleep, seconds=4.0)
    assert trial.healthy
    assert (trial.chunks, trial.decisions, trial.spoke_s) == (10, 10, 1.0)
    assert trial.first_sound_s == pytest.approx(1.6, abs=0.1)


def test_a_fault_is_named_with_its_remedy_and_nothing_of_the_server() -> None:
    time = Time()
    trial = examine(LosingEngine(), CONFIG, "desk", time, time.sleep)
    assert not trial.healthy
    assert trial.fault == "refused: status 401 instead of a WebSocket"
    assert trial.remedy == REMEDIES["refused"]


def test_an_engine_that_owes_its_decisions_is_not_waited_for_without_end() -> None:
    time = Time()
    trial = examine(SilentEngine(), CONFIG, "desk", time, time.sleep, seconds=2.0)
    assert (trial.healthy, trial.chunks, trial.decisions) == (False, 5, 0)


def test_every_fault_of_a_session_has_a_remedy() -> None:
    assert set(REMEDIES) == {fault.value for fault in SessionFault}


def test_a_name_that_no_engine_has_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(main, ["doctor", "--engine", "oracle"])
    assert result.exit_code == 1
    assert "no engine 'oracle'" in result.output


@pytest.mark.parametrize("engine", [card.name for card in CARDS if "TWOWIRE_SERVER_URL" in card.needs])
def test_an_engine_without_its_server_says_which_setting_is_missing(engine: str, tmp_path: Any) -> None:
    (tmp_path / "desk.yaml").write_text(f"name: desk\nengine: {engine}\ninstructions: Be kind.\n")
    result = CliRunner().invoke(main, ["doctor", "--engine", engine, "--agents", str(tmp_path)])
    assert result.exit_code == 1
    assert "TWOWIRE_SERVER_URL" in result.output


def test_a_line_that_an_engine_cannot_serve_is_named_before_it_takes_calls(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOWIRE_SERVER_URL", "ws://127.0.0.1:1/session")
    monkeypatch.setenv("TWOWIRE_SERVER_FLAVOUR", "gateway")
    (tmp_path / "desk.yaml").write_text("name: notes\nengine: minicpm-o\nmode: transcription\n")
    result = CliRunner().invoke(main, ["doctor", "--engine", "minicpm-o", "--agents", str(tmp_path)])
    assert result.exit_code == 1
    assert "agent 'notes': mode transcription: this engine holds dialogs only" in result.output
