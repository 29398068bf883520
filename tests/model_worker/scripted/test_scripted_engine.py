"""The scripted engine plays its rules, in phase, and cuts its history where the caller stopped it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.duplex.script import LOAD_TEST, Behaviour, Say, Script, ScriptError, Talk, load_script
from model_worker.duplex.scripted import RATE_HZ, ScriptedEngine
from model_worker.seams import CallSpec, Pcm, StepInput, StepOutput, UnknownAgentError
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind

CALL = CallId("call-1")
QUIET = np.zeros(3_200, np.int16)
LOUD = np.full(3_200, 9_000, np.int16)


def marked() -> Pcm:
    """A chunk whose last 20 ms are loud."""
    return np.concatenate((QUIET[160:], LOUD[:160]))


def play(rules: list[dict[str, Any]], chunks: list[Pcm], dtmf: dict[int, str] | None = None) -> list[StepOutput]:
    """What one call gets after each chunk."""
    engine = ScriptedEngine(Script.model_validate({"default": {"rules": rules}}))
    engine.open(CALL, CallSpec("any"))
    return [engine.step([StepInput(CALL, n, pcm, dtmf=(dtmf or {}).get(n, ""))])[0] for n, pcm in enumerate(chunks)]


def speaking(outputs: list[StepOutput]) -> list[int]:
    return [output.index for output in outputs if output.decision is DecisionKind.SPEAK]


def test_a_marked_chunk_is_answered_in_the_same_step_with_one_whole_turn() -> None:
    engine = ScriptedEngine(LOAD_TEST)
    engine.open(CALL, CallSpec("any"))
    quiet, loud = engine.step([StepInput(CALL, 0, QUIET)])[0], engine.step([StepInput(CALL, 1, marked())])[0]
    assert quiet.decision is DecisionKind.LISTEN
    assert loud.decision is DecisionKind.SPEAK
    assert (loud.turn, loud.turn_done) == (1, True)
    (speech,) = loud.speech
    assert len(speech.pcm) == 3_200
    assert np.abs(speech.pcm.astype(int)).mean() > 8_000
    assert engine.step([StepInput(CALL, 2, QUIET)])[0].decision is DecisionKind.LISTEN


def test_a_paced_turn_leaves_one_chunk_at_a_time_and_in_phase() -> None:
    say = {"ms": 1_000, "tone_hz": 333, "delivery": "paced", "text": "one two three four five"}
    outputs = play([{"when": "chunk", "index": 1, "say": say}], [QUIET] * 6)
    assert speaking(outputs) == [1, 2, 3]
    assert [output.turn_done for output in outputs[1:4]] == [False, False, True]
    pieces = [speech for output in outputs for speech in output.speech]
    assert [len(speech.pcm) for speech in pieces] == [3_200, 3_200, 1_600]
    assert [speech.text for speech in pieces] == ["one two", "three four", "five"]
    whole = np.rint(16_000 * np.sin(2 * np.pi * 333 / RATE_HZ * np.arange(8_000))).astype(np.int16)
    assert np.array_equal(np.concatenate([speech.pcm for speech in pieces]), whole)


def test_a_periodic_rule_speaks_every_so_many_chunks() -> None:
    assert speaking(play([{"when": "periodic", "every": 3, "first": 1}], [QUIET] * 9)) == [1, 4, 7]


def test_an_echo_answers_when_the_caller_falls_silent() -> None:
    assert speaking(play([{"when": "echo"}], [QUIET, LOUD, LOUD, QUIET, QUIET, LOUD, QUIET])) == [3, 6]


def test_talk_never_stops_for_longer_than_its_rest() -> None:
    say = {"ms": 800, "delivery": "paced"}
    assert speaking(play([{"when": "talk", "rest": 1, "say": say}], [QUIET] * 7)) == [0, 1, 3, 4, 6]


def test_a_key_is_answered_and_may_hang_up_after_the_words() -> None:
    outputs = play([{"when": "digit", "digit": "0", "hang_up": True}], [QUIET] * 3, {1: "90"})
    assert speaking(outputs) == [1]
    assert [action.name for action in outputs[1].actions] == ["hangup"]


def test_the_first_rule_that_fits_speaks() -> None:
    rules: list[dict[str, Any]] = [
        {"when": "chunk", "index": 2, "say": {"text": "first"}},
        {"when": "talk", "say": {"text": "second"}},
    ]
    assert [output.said[0].text for output in play(rules, [QUIET] * 3)] == ["second", "second", "first"]


def test_an_interrupted_turn_ends_and_its_history_holds_what_was_heard() -> None:
    say = {"ms": 2_000, "delivery": "paced", "text": "one two three four"}
    engine = ScriptedEngine(Script.model_validate({"default": {"rules": [{"when": "chunk", "index": 0, "say": say}]}}))
    engine.open(CALL, CallSpec("any"))
    engine.step([StepInput(CALL, 0, QUIET)])
    assert engine.history(CALL) == [{"voice": "agent", "text": "one two three four", "turn": 1, "cut": False}]
    engine.interrupt(CALL, TurnId(1), 0.6)
    assert engine.history(CALL) == [{"voice": "agent", "text": "one two", "turn": 1, "cut": True, "heard_s": 0.6}]
    assert engine.step([StepInput(CALL, 1, LOUD)])[0].decision is DecisionKind.LISTEN
    engine.interrupt(CALL, TurnId(9), 0.1)  # a turn it never began


def test_an_operator_s_words_are_a_turn_of_their_own_and_interrupt_the_open_one() -> None:
    say = {"ms": 2_000, "delivery": "paced", "text": "one two three four"}
    engine = ScriptedEngine(Script.model_validate({"default": {"rules": [{"when": "chunk", "index": 0, "say": say}]}}))
    engine.open(CALL, CallSpec("any"))
    engine.step([StepInput(CALL, 0, QUIET)])
    (output,) = engine.step([StepInput(CALL, 1, QUIET, say=("one moment", "please"))])
    assert (output.decision, output.turn, output.turn_done) == (DecisionKind.SPEAK, 2, True)
    assert [said.text for said in output.said] == ["one moment please"]
    assert [(len(speech.pcm), speech.text) for speech in output.speech] == [(7_200, "one moment please")]
    assert [entry["text"] for entry in engine.history(CALL)] == ["one two three four", "one moment please"]
    engine.interrupt(CALL, TurnId(1), 0.6)  # what the gateway reports of the turn that was replaced
    assert engine.history(CALL)[0]["text"] == "one two"
    assert engine.step([StepInput(CALL, 2, QUIET)])[0].decision is DecisionKind.LISTEN


def test_a_step_takes_the_time_the_script_says() -> None:
    slept: list[float] = []
    script = Script.model_validate({"default": {}, "step_time_s": 0.05, "step_time_per_call_s": 0.01})
    engine = ScriptedEngine(script, slept.append)
    calls = [CallId("a"), CallId("b")]
    for call in calls:
        engine.open(call, CallSpec("any"))
    engine.step([StepInput(call, 0, QUIET) for call in calls])
    assert slept == [pytest.approx(0.07)]


def test_an_agent_without_a_script_is_unknown() -> None:
    engine = ScriptedEngine(Script.model_validate({"agents": {"front-desk": {}}}))
    engine.open(CALL, CallSpec("front-desk"))
    with pytest.raises(UnknownAgentError, match="front-desk"):
        engine.open(CallId("call-2"), CallSpec("nobody"))
    engine.close(CALL)
    engine.close(CALL)


def test_a_script_is_read_from_yaml_and_sets_the_chunks(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(
        "chunk_ms: 1000\nfirst_chunk_ms: 1035\nsessions: 7\n"
        "agents: {desk: {rules: [{when: chunk, index: 0, say: {ms: 200, text: hello}}]}}\n"
    )
    capabilities = ScriptedEngine(load_script(path)).capabilities
    assert (capabilities.chunk_ms, capabilities.first_chunk_ms, capabilities.sessions) == (1_000, 1_035, 7)
    assert (capabilities.input_rate_hz, capabilities.output_rate_hz) == (8_000, 8_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("default: {rules: [{when: never}]}", r"default\.rules\.0"),
        ("default: {rules: [{when: chunk, index: -1}]}", r"index"),
        ("defualt: {}", "defualt"),
        ("{}", "expected a default or at least one agent"),
        ("a: [", "not YAML"),
        ("default: &d {rules: [*d]}", r"script\.yaml:1: an alias"),
        ("\nchunk_ms: !!int foo", r"script\.yaml:2: 'foo' cannot be read as int"),
        ("step_time_s: 2026-13-45", "cannot be read as timestamp"),
        ("sessions: " + "9" * 5_000, "cannot be read as int"),
        ("{[1]: 2}: 3", "not YAML"),
        ("default: " + "[" * 5_000, "nested too deeply"),
        (f"default: {{rules: [{{when: chunk, index: 0, say: {{text: {'x' * 10_001}}}}}]}}", "at most 10000 characters"),
    ],
)
def test_a_wrong_script_says_where_it_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ScriptError, match=told):
        load_script(path)


@settings(deadline=None)
@given(
    written=st.one_of(
        st.binary(max_size=200),
        st.text("[]{}:,-?&*!|>'\"# \n\tab1.", max_size=60).map(str.encode),
        st.builds(
            lambda field, tag, value: f"{field}: {tag}{value}".encode(),
            st.sampled_from(["default", "agents", "chunk_ms", "1", "<<"]),
            st.sampled_from(["", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!set "]),
            st.sampled_from(["foo", "''", "{}", "{a: {}}", "0xf", "1:1.5", "{rules: [{when: echo}]}"]) | st.text(),
        ),
    )
)
def test_whatever_stands_in_a_script_it_is_one_or_refused(
    tmp_path_factory: pytest.TempPathFactory, written: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-script.yaml"
    path.write_bytes(written)
    with suppress(ScriptError):
        assert load_script(path).sessions > 0


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"cannot read script .*absent\.yaml: No such file"):
        load_script(tmp_path / "absent.yaml")


def test_who_talks_whenever_the_agent_is_silent_waits_for_the_end_of_his_turn_at_the_ear() -> None:
    script = Script(default=Behaviour(rules=(Talk(when="talk", rest=2, say=Say(ms=2_000)),)))
    engine = ScriptedEngine(script)
    engine.open(CALL, CallSpec("any"))
    turns: list[TurnId] = []
    heard_s = 0.0
    for index in range(14):
        turn = TurnId(turns[-1] if turns else 0)
        (output,) = engine.step([StepInput(CALL, index, QUIET, (turn, heard_s), "", (), 0.0)])
        turns.append(output.turn or turn)
        heard_s = 0.0 if turns[-1] != turn else heard_s + 0.4
    assert turns == [1] * 8 + [2] * 6  # 2 s at the ear, two chunks of rest
