"""The engine around the calls: agents, snapshots, faults that stay with one call; and whatever happens in any order."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.answers.seam import AnswerFault, FunctionWanted
from model_worker.dialog.brief import LineOverlap, Mode
from model_worker.duplex.cascade.engine import CHUNK_SAMPLES, MAX_SNAPSHOT_BYTES, VERSION
from model_worker.duplex.cascade.speaker import LATE_CHUNKS, STALLED_CHUNKS
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import BadSnapshotError, CallSpec, Engine, Pcm, Said, StepInput, UnknownAgentError
from tests.engines.cascade.fakes import BRIEF, CALL, LOUD, Bench, line, turns
from wire.ids import CallId, TurnId
from wire.messages import MAX_STATE_BYTES, DecisionKind, Voice

OTHER = CallId("call-2")
SPEC = CallSpec("desk")
QUIET = "...."


def chunk(call: CallId, index: int = 0, pcm: Pcm | None = None) -> StepInput:
    return StepInput(call, index, line(QUIET) if pcm is None else pcm)


def two_calls() -> Bench:
    bench = Bench()
    bench.engine.open(OTHER, SPEC)
    return bench


def test_it_is_an_engine():
    engine: Engine = Bench().engine
    can = engine.capabilities
    assert (can.engine, can.chunk_ms, can.says_given_words) == ("cascade", 400, True)
    assert can.input_rate_hz * can.chunk_ms // 1_000 == CHUNK_SAMPLES
    assert engine.context_positions is None


def test_an_agent_that_nobody_wrote_is_refused():
    with pytest.raises(UnknownAgentError):
        Bench().engine.open(OTHER, CallSpec("somebody"))


def test_the_gateway_is_told_how_its_agent_wants_to_be_talked_over():
    rules = Bench(BRIEF.model_copy(update={"overlap": LineOverlap(stop_after_s=0.9)})).rules
    assert rules is not None
    assert (rules.model_judges, rules.stop_after_s) == (True, 0.9)


def test_the_recognizer_learns_a_calls_language():
    bench = Bench(BRIEF.model_copy(update={"language": "de"}))
    assert bench.asr.languages == {CALL: "de"}


def test_calls_share_a_step_and_keep_their_words_apart():
    bench = two_calls()
    for index, sound in enumerate(("####", "####", QUIET, QUIET)):
        outputs = bench.engine.step([chunk(CALL, index, line(sound)), chunk(OTHER, index, line(sound))])
        assert [(output.call, output.decision) for output in outputs] == [
            (CALL, DecisionKind.LISTEN),
            (OTHER, DecisionKind.LISTEN),
        ]
    bench.asr.hears("one", final=True)
    bench.asr.hears("two", final=True, call=OTHER)
    bench.engine.step([])
    bench.answers.says("Answer one.")
    bench.answers.says("Answer two.", call=OTHER)
    told = {output.call: [said.text for said in output.said] for output in bench.engine.step([])}
    assert told == {CALL: ["Answer one."], OTHER: ["Answer two."]}
    assert [entry["text"] for entry in bench.engine.history(OTHER)] == ["two", "Answer two."]


def test_a_chunk_of_a_call_that_is_not_open_is_a_fault_of_it_alone():
    bench = Bench()
    faults = [output.fault for output in bench.engine.step([chunk(OTHER, 3), chunk(CALL)])]
    assert isinstance(faults[0], ValueError)
    assert faults[1] is None


@pytest.mark.parametrize("samples", [0, 1, CHUNK_SAMPLES - 1, CHUNK_SAMPLES + 1, 10 * CHUNK_SAMPLES])
def test_a_chunk_of_another_length_costs_its_call_and_no_other(samples: int):
    bench = two_calls()
    outputs = bench.engine.step([chunk(CALL, 0, np.zeros(samples, np.int16)), chunk(OTHER)])
    assert [(output.call, output.fault is None) for output in outputs] == [(CALL, False), (OTHER, True)]
    assert bench.asr.closed == [CALL]
    assert len(bench.engine.step([chunk(OTHER, 1)])) == 1


def test_an_exception_in_one_call_harms_no_other():
    bench = two_calls()
    bench.tts.raises = True
    bench.hears("########........")
    bench.asr.hears("hello", final=True)
    bench.goes_on()
    bench.answers.says("Hello.")
    (lost,) = bench.engine.step([])
    assert (lost.call, type(lost.fault)) == (CALL, RuntimeError)
    outputs = bench.engine.step([chunk(OTHER)])
    assert [(output.call, output.decision, output.fault) for output in outputs] == [(OTHER, DecisionKind.LISTEN, None)]
    assert bench.engine.history(CALL) == []


def test_a_call_that_is_lost_is_told_of_once_and_let_go_of():
    bench = two_calls()
    bench.hears("########")
    bench.asr.hears("", fault=SessionFault.REFUSED, lasting=True)
    outputs = bench.engine.step([chunk(CALL, 5), chunk(OTHER, 0)])
    assert [(output.call, output.decision, output.fault is None) for output in outputs] == [
        (CALL, None, False),
        (OTHER, DecisionKind.LISTEN, True),
    ]
    assert bench.asr.closed == [CALL]
    assert bench.engine.step([]) == []


def test_a_call_that_is_closed_stops_its_answer_and_its_voice_and_hears_nothing_more():
    bench = Bench()
    bench.tts.by_hand = True
    bench.asks("hello")
    bench.answers.says("One two. ", done=False)
    bench.goes_on()
    bench.asr.hears("more", final=True)
    bench.engine.close(CALL)
    assert (bench.answers.cancelled, bench.tts.cancelled, bench.asr.closed) == (1, [1], [CALL])
    assert bench.engine.step([]) == []
    bench.engine.close(CALL)
    assert bench.asr.closed == [CALL]


def test_what_is_told_of_unknown_calls_and_old_turns_changes_nothing():
    bench = Bench()
    bench.engine.interrupt(OTHER, TurnId(1), 1.0)
    bench.engine.interrupt(CALL, TurnId(5), 1.0)
    bench.engine.close(OTHER)
    assert bench.engine.history(OTHER) == []
    assert bench.engine.snapshot(OTHER) is None
    assert bench.history == []


def test_a_call_that_is_opened_anew_begins_anew():
    bench = Bench()
    bench.asks("hello")
    bench.engine.open(CALL, SPEC)
    assert (bench.asr.closed, bench.answers.cancelled) == ([CALL], 1)
    assert bench.engine.history(CALL) == []


def test_a_part_that_has_something_wakes_the_engine():
    bench = Bench()
    woken: list[str] = []
    wakes: list[Callable[[], None]] = []
    for part in (bench.asr, bench.answers, bench.tts):
        part.on_ready = wakes.append  # type: ignore[method-assign, assignment]
    bench.engine.on_ready(lambda: woken.append("woken"))
    for wake in wakes:
        wake()
    assert len(woken) == 3
    bench.asr.hears("hello")
    assert bench.engine.busy


# Snapshots.


def after_a_turn() -> Bench:
    bench = Bench()
    bench.asks("how much is it")
    bench.is_answered("Ten euros.")
    bench.hears(QUIET * 3)
    return bench


def test_a_call_goes_on_from_what_was_said_with_the_next_turn():
    state = after_a_turn().engine.snapshot(CALL)
    assert state is not None
    bench = Bench(state=state)
    bench.asks("and for two")
    assert [message.content for message in bench.answers.asked[-1][1:]] == [
        "how much is it",
        "Ten euros.",
        "and for two",
    ]
    bench.is_answered("Twenty.")
    assert turns(bench.outputs) == [2]
    assert [text for _, text, _ in bench.history] == ["how much is it", "Ten euros.", "and for two", "Twenty."]


def test_what_was_heard_of_a_turn_is_what_goes_on():
    bench = Bench()
    bench.asks("how much is it")
    bench.is_answered("one two three four five six seven.")
    bench.hears(QUIET)
    bench.barges_in()
    state = bench.engine.snapshot(CALL)
    assert state is not None
    assert Bench(state=state).history[1] == ("agent", "one two", False)


def test_there_is_none_while_anything_is_under_way():
    bench = Bench(BRIEF.model_copy(update={"greeting": "Hello."}))
    states = [bench.engine.snapshot(CALL)]  # a greeting to be said
    bench.hears(QUIET * 2)
    at_rest = bench.engine.snapshot(CALL)
    bench.hears("####")
    states.append(bench.engine.snapshot(CALL))  # the caller speaks
    bench.hears(QUIET * 2)
    states.append(bench.engine.snapshot(CALL))  # words are awaited
    bench.reads("hello", final=True)
    states.append(bench.engine.snapshot(CALL))  # an answer is awaited
    bench.is_answered("one two three.")
    states.append(bench.engine.snapshot(CALL))  # the agent speaks
    bench.hears(QUIET * 4)
    bench.hears(QUIET, dtmf="1")
    states.append(bench.engine.snapshot(CALL))  # more keys may come
    assert at_rest is not None
    assert states == [None] * 6


def test_a_snapshot_fits_however_much_was_said():
    bench = Bench(said=[Said(Voice.CALLER, f"{number} " + "好" * 3_000) for number in range(60)])
    state = bench.engine.snapshot(CALL)
    assert state is not None
    assert len(state) <= MAX_SNAPSHOT_BYTES < MAX_STATE_BYTES
    assert Bench(state=state).history[-1] == bench.history[-1]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        msgspec.json.encode([VERSION, 1]),
        msgspec.json.encode([VERSION, "1", []]),
        msgspec.json.encode([VERSION, 1, [["nobody", "hello"]]]),
        msgspec.json.encode([VERSION + 1, 1, []]),
    ],
)
def test_what_is_no_snapshot_is_refused_and_opens_nothing(state: bytes):
    bench = Bench()
    with pytest.raises(BadSnapshotError):
        bench.engine.restore(OTHER, SPEC, state)
    assert OTHER not in bench.asr.languages


def test_a_call_of_an_unknown_agent_is_not_restored():
    state = after_a_turn().engine.snapshot(CALL)
    assert state is not None
    with pytest.raises(UnknownAgentError):
        Bench().engine.restore(OTHER, CallSpec("somebody"), state)


# Whatever happens, in any order.

Act = Callable[[Bench], object]


def _voice_says(seconds: float, fault: SessionFault | None, *, done: bool) -> Act:
    def act(bench: Bench) -> None:
        if CALL in bench.tts.saying:
            bench.tts.says(seconds, done=done, fault=fault)
            bench.goes_on()

    return act


def _model_says(text: str, functions: list[FunctionWanted], error: AnswerFault | None, *, done: bool) -> Act:
    def act(bench: Bench) -> None:
        bench.answers.says(text, done=done, error=error, functions=functions if done else ())
        bench.goes_on()

    return act


def _recognizer_says(text: str, fault: SessionFault | None, *, final: bool) -> Act:
    def act(bench: Bench) -> None:
        if CALL in bench.asr.listening:
            bench.asr.hears(text, final=final, fault=fault)
            if final or fault is not None:
                bench.asr.listening.discard(CALL)
            bench.goes_on()

    return act


def _asks(bench: Bench) -> None:
    bench.hears("########........")
    _recognizer_says("and what is it", None, final=True)(bench)


def _is_answered(bench: Bench) -> None:
    _asks(bench)
    _model_says(LONG, [], None, done=True)(bench)
    _voice_says(3.0, None, done=True)(bench)


def _barges_in(bench: Bench) -> None:
    if bench.playing:
        bench.barges_in()


LONG = "one two three four five six seven eight nine ten."
WORDS = st.sampled_from(["", "okay", "wait", "how much is it", "how much is it for two", "and"])
ACTS: st.SearchStrategy[tuple[str, Act]] = st.one_of(
    st.builds(
        lambda sound, keys, say, overlap: (
            f"chunk {sound} {keys} {say}",
            lambda bench: bench.hears(sound, dtmf=keys, say=say, overlap_s=overlap),
        ),
        st.sampled_from([QUIET, QUIET, "####", "####", "##..", "..##", "'..."]),
        st.sampled_from(["", "", "", "1", "2#"]),
        st.sampled_from([(), (), (), ("This is the manager. One moment.",)]),
        st.sampled_from([0.0, 0.0, 0.4, 1.2]),
    ),
    st.builds(lambda text, final: (f"hears {text}", _recognizer_says(text, None, final=final)), WORDS, st.booleans()),
    st.builds(
        lambda text, done, acts: (
            f"model {text} {done}",
            _model_says(text, [FunctionWanted("hangup", "{}")] * acts, None, done=done),
        ),
        st.sampled_from(["", "Ten euros. ", f"{LONG} ", "And more. "]),
        st.booleans(),
        st.integers(0, 1),
    ),
    st.builds(
        lambda seconds, done: (f"voice {seconds} {done}", _voice_says(seconds, None, done=done)),
        st.sampled_from([0.0, 0.1, 1.0, 5.0]),
        st.booleans(),
    ),
    st.just(("voice fails", _voice_says(0.3, SessionFault.LOST, done=True))),
    st.just(("model fails", _model_says("", [], AnswerFault.CUT, done=True))),
    st.just(("recognizer fails", _recognizer_says("", SessionFault.LOST, final=True))),
    st.just(("barge-in", _barges_in)),
    st.just(("asks", _asks)),
    st.just(("is answered", _is_answered)),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ACTS, max_size=60),
    st.sampled_from([(Mode.DIALOG, None), (Mode.DIALOG, None), (Mode.TRANSCRIPTION, None), (Mode.TRANSLATION, "de")]),
    st.booleans(),
    st.booleans(),
)
def test_in_any_order_each_chunk_is_decided_once_and_nothing_of_an_old_turn_is_said(
    acts: list[tuple[str, Act]], mode: tuple[Mode, str | None], greets: bool, by_hand: bool
):
    """That nothing is said of a turn that is over or was stopped, ``Bench`` holds with every output."""
    greeting = "Hello, this is the desk." if greets else None
    bench = Bench(BRIEF.model_copy(update={"mode": mode[0], "into": mode[1], "greeting": greeting}))
    bench.tts.by_hand = by_hand
    for _, act in acts:
        act(bench)
        if any(output.fault is not None for output in bench.outputs):
            return  # two of its parts in a row failed too often
        check(bench, mode[0])
    bench.tts.by_hand = False
    for _ in range(3):  # and in the end all of it is said
        for _ in range(LATE_CHUNKS + STALLED_CHUNKS):
            bench.hears(QUIET)
            bench.answers.says("Yes.")
            if any(output.fault is not None for output in bench.outputs):
                return
        check(bench, mode[0])
    assert bench.engine.snapshot(CALL) is not None, "the call is at rest"


def check(bench: Bench, mode: Mode) -> None:
    decided = [output.index for output in bench.outputs if output.decision is not None]
    assert decided == list(range(bench.index + 1))
    for output in bench.outputs:
        assert not (output.decision is DecisionKind.LISTEN and output.speech)
        assert not (output.actions and mode is not Mode.DIALOG)
    assert bench.given_s - bench.heard_s <= 2.0 + 1e-6
    if mode is Mode.TRANSCRIPTION:
        assert turns(bench.outputs) == []
    for entry in bench.engine.history(CALL):
        told = bench.text_of(entry["turn"]).split()
        if entry["voice"] == "agent" and entry["cut"]:
            heard = entry["text"].split()
            assert heard[: len(told)] == told[: len(heard)], "what was heard is a beginning of what was told"
    assert all(np.abs(piece.pcm).max(initial=0) <= LOUD for output in bench.outputs for piece in output.speech)
