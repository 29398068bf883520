"""The engine loop: one decision per chunk, speech on the wire, faults kept to their call."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest

from model_worker.engine import EngineLoop
from model_worker.engine.loop import ABANDONED_AFTER_S, Outgoing
from model_worker.engine.stats import Failure
from model_worker.seams import Action, Said, SoundHeard, StepInput, StepOutput, Translated
from model_worker.session import Drop
from tests.model_worker.host.fakes import CALL, GATEWAY, Caller, Clock, FakeEngine, listen, speak
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.codec import decode, encode
from wire.ids import CallId, TurnId
from wire.messages import (
    CallFailed,
    CallRules,
    Decision,
    DecisionKind,
    Floor,
    OverlapRules,
    SoundEvent,
    SpeechChunk,
    ToolCall,
    Transcript,
    Translation,
    TurnDone,
    Voice,
    WorkerDraining,
)

T = TypeVar("T")


class Bench:
    """A loop over a fake engine, and shorthands to drive it."""

    def __init__(
        self, engine: FakeEngine | None = None, slots: int | None = None, max_batch: int | None = None
    ) -> None:
        self.clock = Clock()
        self.engine = engine or FakeEngine()
        self.loop = EngineLoop(self.engine, self.clock, slots, max_batch)

    def give(self, *messages: object, lag_s: float = 0.0) -> None:
        for message in messages:
            self.loop.receive(message, lag_s, self.clock.now)  # type: ignore[arg-type]

    def run(self) -> list[Outgoing]:
        """Step until nothing is due."""
        outgoing: list[Outgoing] = []
        while self.loop.due:
            outgoing += self.loop.step(self.clock.now)
        return outgoing


def of(kind: type[T], outgoing: list[Outgoing]) -> list[T]:
    return [message for _, message in outgoing if isinstance(message, kind)]


def test_every_chunk_gets_one_decision_in_order_to_the_gateway_that_asked() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens(), *(caller.speaks() for _ in range(5)))
    outgoing = bench.run()
    assert {gateway for gateway, _ in outgoing} == {GATEWAY}
    decisions = of(Decision, outgoing)
    assert [decision.index for decision in decisions] == [0, 1, 2, 3, 4]
    assert [decision.seq for decision in decisions] == [0, 1, 2, 3, 4]
    assert bench.loop.stats.decided_chunks == 5
    assert bench.loop.stats.backlog_chunks == 0


def test_a_decision_tells_how_old_the_chunk_was_and_whose_time_it_took() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(age_s=0.010), lag_s=0.003)
    bench.clock.now += 0.050

    def think(_inputs: Sequence[StepInput]) -> None:
        bench.clock.now += 0.200

    bench.engine.on_step = think
    (decision,) = of(Decision, bench.run())
    assert decision.queue_s == pytest.approx(0.050)
    assert decision.step_s == pytest.approx(0.200)
    assert decision.chunk_age_s == pytest.approx(0.263)
    (step,) = bench.loop.take_steps()
    assert (step.chunks, round(step.seconds, 6)) == (1, 0.2)
    assert bench.loop.take_steps() == []


def test_calls_that_are_due_together_make_one_batch_of_the_allowed_size() -> None:
    bench = Bench(max_batch=2)
    callers = [Caller(f"call-{n}") for n in range(3)]
    bench.give(*(caller.opens() for caller in callers))
    for caller in callers:
        bench.give(caller.speaks(), caller.speaks())
        bench.clock.now += 0.01
    bench.run()
    assert bench.engine.batches == [["call-0", "call-1"], ["call-0", "call-1"], ["call-2"], ["call-2"]]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
def test_the_engine_hears_every_codec_at_its_own_rate(codec: Codec, rate_hz: int) -> None:
    bench = Bench(FakeEngine(in_hz=rate_hz))
    caller = Caller(codec=codec)
    level = g711.encode(codec, np.full(caller.chunk_samples, 4_000, np.int16))
    bench.give(caller.opens(), caller.speaks(level), caller.speaks(level))
    bench.run()
    heard = bench.engine.pcm[CALL, 1]
    assert heard.shape == (rate_hz * 2 // 5,)
    assert np.abs(heard.astype(int) - 4_000).max() < 200  # the second chunk goes on where the first ended


def test_calls_of_different_codecs_share_a_batch() -> None:
    bench = Bench(FakeEngine(in_hz=16_000))
    callers = [Caller(f"call-{codec.name}", codec) for codec in Codec]
    bench.give(*(caller.opens() for caller in callers), *(caller.speaks() for caller in callers))
    bench.run()
    assert len(bench.engine.batches[0]) == 4
    assert {pcm.shape for pcm in bench.engine.pcm.values()} == {(6_400,)}


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000])
def test_speech_of_a_turn_reaches_the_gateway_without_a_gap_in_the_codec_of_the_call(
    codec: Codec, rate_hz: int
) -> None:
    bench = Bench(FakeEngine(out_hz=rate_hz))
    bench.engine.answers = {0: speak(1, rate_hz, "one two"), 1: speak(1, rate_hz // 2, "three", done=True)}
    caller = Caller(codec=codec)
    bench.give(caller.opens(), caller.speaks(), caller.speaks())
    outgoing = bench.run()
    at = 0
    for piece in of(SpeechChunk, outgoing):
        assert piece.start_samples == at
        at += len(piece.payload) // codec.bytes_per_sample
        assert decode(encode(piece)) == piece
    (done,) = of(TurnDone, outgoing)
    assert done.total_samples == at
    assert at / codec.sample_rate_hz == pytest.approx(1.5, abs=0.005)
    assert [piece.text for piece in of(SpeechChunk, outgoing) if piece.text] == ["one two", "three"]
    assert outgoing[-1][1] is done


def test_a_long_sentence_leaves_in_pieces_that_fit_the_wire() -> None:
    bench = Bench()
    bench.engine.answers = {0: speak(1, 80_000, done=True)}
    caller = Caller(codec=Codec.L16_24K)
    bench.give(caller.opens(), caller.speaks())
    pieces = of(SpeechChunk, bench.run())
    assert max(len(piece.payload) for piece in pieces) == 19_200


def test_words_come_before_the_speech_and_actions_before_the_end_of_the_turn() -> None:
    bench = Bench()

    def answer(given: StepInput) -> StepOutput:
        output = speak(1, done=True)(given)
        said = (Said(Voice.CALLER, "bye", 0.9), Said(Voice.AGENT, "good bye"))
        actions = (Action("transfer", {"to": "desk"}),)
        return StepOutput(given.call, given.index, output.decision, TurnId(1), output.speech, True, said, actions)

    bench.engine.answers = {0: answer}
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    outgoing = bench.run()
    assert [type(message) for _, message in outgoing] == [
        Decision,
        Transcript,
        Transcript,
        SpeechChunk,
        ToolCall,
        TurnDone,
    ]
    assert [(t.voice, t.turn) for t in of(Transcript, outgoing)] == [(Voice.CALLER, 0), (Voice.AGENT, 1)]
    assert of(ToolCall, outgoing)[0].arguments == {"to": "desk"}
    assert [message.seq for _, message in outgoing] == list(range(6))


def test_an_action_without_a_turn_is_sent_at_once() -> None:
    bench = Bench()
    bench.engine.answers = {
        0: lambda given: StepOutput(given.call, given.index, DecisionKind.LISTEN, actions=(Action("hangup"),))
    }
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    (call,) = of(ToolCall, bench.run())
    assert (call.name, call.turn) == ("hangup", 0)


def test_the_speech_of_a_turn_is_counted_when_it_ends_and_a_silent_one_noticed() -> None:
    bench = Bench()
    bench.engine.context_positions = (26, 2_048)
    bench.engine.answers = {0: speak(1, 8_000, done=True), 1: speak(2, 16, done=True)}
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(), caller.speaks())
    bench.run()
    assert bench.loop.take_turns_s() == pytest.approx([1.0, 0.002])
    assert bench.loop.stats.silent_turns == 1
    assert (bench.loop.stats.context_used, bench.loop.stats.context_room) == (26, 2_048)


def test_a_turn_that_is_stopped_before_anything_of_it_was_heard_is_a_silent_one() -> None:
    bench = Bench()
    bench.engine.answers = {
        0: lambda given: StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(1)),
        1: lambda given: StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(1)),
    }
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(), caller.speaks())
    bench.run()
    assert bench.loop.stats.silent_turns == 0, "its first words may still come"
    bench.give(caller.stops(1, 0), caller.speaks())
    bench.run()
    assert (bench.loop.stats.silent_turns, bench.loop.take_turns_s()) == (1, [])
    bench.give(caller.stops(1, 0), caller.speaks())
    bench.run()
    assert bench.loop.stats.silent_turns == 1


def test_a_turn_that_is_stopped_in_its_middle_is_no_silent_one() -> None:
    bench = Bench()
    bench.engine.answers = {
        0: lambda given: StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(1)),
        1: speak(1, 800),
        2: lambda given: StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(1)),
    }
    caller = Caller()
    bench.give(caller.opens(), *(caller.speaks() for _ in range(3)))
    bench.run()
    bench.give(caller.stops(1, 400), caller.speaks())
    bench.run()
    assert bench.loop.stats.silent_turns == 0


def test_what_the_context_holds_is_seen_when_the_last_call_has_ended() -> None:
    bench = Bench()
    bench.engine.context_positions = (26, 2_048)
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    bench.run()
    bench.engine.context_positions = (0, 2_048)
    bench.give(caller.closes())
    assert bench.loop.stats.context_share == 0


def test_translations_and_sounds_go_out_after_the_decision() -> None:
    bench = Bench()
    bench.engine.answers = {
        0: lambda given: StepOutput(
            given.call,
            given.index,
            DecisionKind.LISTEN,
            translated=(Translated("good day", "en"),),
            sounds=(SoundHeard("doorbell", 0.7),),
        )
    }
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    decision, translation, sound = (message for _, message in bench.run())
    assert isinstance(decision, Decision)
    assert isinstance(translation, Translation)
    assert isinstance(sound, SoundEvent)
    assert (translation.text, translation.language) == ("good day", "en")
    assert (sound.name, sound.probability) == ("doorbell", 0.7)


def test_a_stopped_turn_reaches_an_idle_engine_at_once() -> None:
    bench = Bench()
    bench.engine.answers = {0: speak(1)}
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    bench.run()
    bench.give(caller.stops(1, 4_000))
    assert bench.engine.events[-1] == ("interrupt", CALL, 1, 0.5)
    bench.give(caller.speaks())
    bench.run()
    assert [event[0] for event in bench.engine.events] == ["chunk", "interrupt", "chunk"]


def test_a_stopped_turn_reaches_a_busy_engine_between_the_same_chunks() -> None:
    bench = Bench()
    bench.engine.answers = {0: speak(1)}
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(), caller.stops(1, 4_000), caller.speaks())
    bench.run()
    assert [event[0] for event in bench.engine.events] == ["chunk", "interrupt", "chunk"]


def test_nothing_more_is_said_in_a_turn_that_was_stopped() -> None:
    bench = Bench()
    bench.engine.answers = {0: speak(1), 1: speak(1, done=True), 2: speak(2)}
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(), caller.stops(1, 80), caller.speaks(), caller.speaks())
    outgoing = bench.run()
    assert [(chunk.turn, chunk.start_samples) for chunk in of(SpeechChunk, outgoing)] == [(1, 0), (2, 0)]
    assert of(TurnDone, outgoing) == []
    assert bench.loop.stats.dropped_speech == 1


def test_keys_reach_the_engine_with_their_chunk() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens(), caller.presses("4"), caller.presses("2"), caller.speaks())
    bench.run()
    assert bench.engine.events == [("chunk", CALL, 0, "42", (0, 0.0))]


def test_an_operator_s_words_reach_an_engine_that_can_say_them() -> None:
    bench = Bench(FakeEngine(says_given_words=True))
    caller = Caller()
    bench.give(caller.opens(), caller.orders("one moment"), caller.speaks(), caller.speaks())
    bench.run()
    assert bench.engine.ordered == [(0, ("one moment",))]
    assert bench.loop.stats.ignored_says == 0


def test_an_engine_that_cannot_say_given_words_is_not_bothered_and_that_is_counted() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens(), caller.orders("one"), caller.orders("two"), caller.speaks())
    decisions = of(Decision, bench.run())
    assert [decision.index for decision in decisions] == [0]
    assert bench.engine.ordered == []
    assert bench.loop.stats.ignored_says == 2


def test_an_unknown_agent_fails_the_call() -> None:
    bench = Bench()
    bench.engine.agents = {"front-desk"}
    bench.give(Caller().opens(agent="nobody"))
    (failed,) = of(CallFailed, bench.run())
    assert failed.reason == "unknown_agent"
    assert bench.loop.stats.open_calls == 0


def test_a_call_beyond_the_slots_is_refused_and_the_others_go_on() -> None:
    bench = Bench(slots=1)
    first, second = Caller("call-1"), Caller("call-2")
    bench.give(first.opens(), second.opens(), second.speaks(), first.speaks())
    outgoing = bench.run()
    assert [(failed.call, failed.reason) for failed in of(CallFailed, outgoing)] == [("call-2", "no_slot")]
    assert [decision.call for decision in of(Decision, outgoing)] == ["call-1"]
    assert bench.loop.stats.tally.drops[Drop.UNKNOWN_CALL] == 1


def test_a_call_that_ended_gives_its_slot_back() -> None:
    bench = Bench(slots=1)
    first = Caller("call-1")
    bench.give(first.opens(), first.speaks(), first.closes(), Caller("call-2").opens())
    assert bench.run() == []
    assert bench.engine.closed == ["call-1"]
    assert bench.engine.opened == ["call-1", "call-2"]
    assert bench.loop.stats.tally.drops[Drop.CALL_OVER] == 1
    assert bench.loop.stats.backlog_chunks == 0


def test_a_higher_epoch_begins_the_call_anew_and_the_old_one_is_fenced() -> None:
    bench = Bench()
    old, new = Caller(), Caller(epoch=1)
    bench.give(old.opens(), old.speaks(), new.opens(), old.speaks(), old.opens(), new.speaks())
    decisions = of(Decision, bench.run())
    assert [(decision.epoch, decision.index, decision.seq) for decision in decisions] == [(1, 0, 0)]
    assert bench.loop.stats.tally.drops[Drop.OLD_EPOCH] == 2
    assert bench.engine.closed == [CALL]


def test_a_call_opened_twice_is_opened_once() -> None:
    bench = Bench()
    opened = Caller().opens()
    bench.give(opened, opened)
    assert bench.engine.opened == [CALL]
    assert bench.loop.stats.tally.drops[Drop.DUPLICATE] == 1


def test_what_a_worker_says_is_nothing_a_worker_takes() -> None:
    bench = Bench()
    bench.give(CallFailed(CALL, 0, 0, "confused"))
    assert bench.loop.stats.tally.drops[Drop.WRONG_DIRECTION] == 1
    assert not bench.loop.due


def test_a_fault_of_one_call_costs_only_that_call() -> None:
    bench = Bench()
    callers = [Caller(f"call-{n}") for n in range(3)]

    def break_one(inputs: Sequence[StepInput]) -> None:
        if any(given.call == "call-1" for given in inputs):
            raise RuntimeError("bad weights")

    bench.engine.on_step = break_one
    bench.give(*(caller.opens() for caller in callers), *(caller.speaks() for caller in callers))
    outgoing = bench.run()
    assert [(failed.call, failed.reason) for failed in of(CallFailed, outgoing)] == [("call-1", "engine_fault")]
    assert [decision.call for decision in of(Decision, outgoing)] == ["call-0", "call-2"]
    (fault,) = bench.loop.take_faults()
    assert (fault.call, fault.stage, str(fault.error)) == ("call-1", "step", "bad weights")
    assert bench.loop.stats.retried_steps == 1
    assert bench.engine.closed == ["call-1"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda given: StepOutput(given.call, given.index + 1, DecisionKind.LISTEN),
        lambda given: StepOutput(CallId("somebody else"), given.index, DecisionKind.LISTEN),
        lambda given: StepOutput(given.call, given.index, DecisionKind.LISTEN, TurnId(1), speak(1)(given).speech),
        speak(0),
        lambda given: StepOutput(given.call, given.index, DecisionKind.LISTEN, actions=(Action("hangup", None),)),  # type: ignore[arg-type]
    ],
    ids=["other chunk", "other call", "speech while listening", "speech without a turn", "what cannot be sent"],
)
def test_an_output_that_breaks_the_contract_of_engines_fails_the_call(answer: object) -> None:
    bench = Bench()
    bench.engine.answers = {0: answer}  # type: ignore[dict-item]
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    outgoing = bench.run()
    assert [failed.reason for failed in of(CallFailed, outgoing)] == ["engine_fault"]
    assert of(Decision, outgoing) == []


@pytest.mark.parametrize("stage", ["open", "interrupt", "close"])
def test_a_fault_outside_the_step_is_that_of_its_call_too(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def breaks(*_given: object) -> None:
        raise RuntimeError(stage)

    monkeypatch.setattr(bench.engine, stage, breaks)
    caller = Caller()
    bench.give(caller.opens(), caller.stops(1, 0), caller.closes())
    outgoing = bench.run()
    assert [fault.stage for fault in bench.loop.take_faults()] == [stage]
    assert len(of(CallFailed, outgoing)) == (0 if stage == "close" else 1)
    assert bench.loop.stats.open_calls == 0


def test_a_call_beyond_repair_is_given_up_with_its_reason() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens())
    caller.index = 10_000
    bench.give(caller.speaks())
    assert [failed.reason for failed in of(CallFailed, bench.run())] == ["gap"]
    assert bench.loop.stats.failures[Failure.GAP] == 1


def test_a_draining_worker_tells_running_and_late_calls_how_long_it_stays() -> None:
    bench = Bench()
    bench.give(Caller("call-1").opens())
    bench.loop.drain(60.0, bench.clock.now)
    bench.clock.now += 20
    bench.give(Caller("call-2").opens())
    assert [(m.call, m.deadline_s) for m in of(WorkerDraining, bench.run())] == [("call-1", 60.0), ("call-2", 40.0)]


def test_a_stopping_worker_gives_up_its_calls() -> None:
    bench = Bench()
    bench.give(Caller("call-1").opens(), Caller("call-2").opens())
    bench.loop.fail_all()
    assert [failed.reason for failed in of(CallFailed, bench.run())] == ["worker_stopped"] * 2
    assert bench.loop.stats.open_calls == 0


def test_the_same_messages_give_the_same_decisions_however_they_are_batched() -> None:
    def record(steps_between: int) -> list[tuple[object, ...]]:
        bench = Bench(FakeEngine(in_hz=16_000))
        bench.engine.answers = {2: speak(1), 5: listen}
        callers = [Caller(f"call-{n}") for n in range(2)]
        bench.give(*(caller.opens() for caller in callers))
        for n in range(8):
            for caller in callers:
                bench.give(caller.speaks(bytes([40 + n]) * 3_200), *([caller.stops(1, 99)] if n == 3 else []))
            if n % steps_between == 0:
                bench.run()
        bench.run()
        heard = sorted(bench.engine.pcm.items(), key=lambda item: item[0])
        return [(call, index, pcm.tobytes()) for (call, index), pcm in heard] + [
            event for event in bench.engine.events if event[1] == "call-0"
        ]

    assert record(1) == record(3) == record(100)


def test_a_call_whose_gateway_is_gone_gives_its_slot_back() -> None:
    bench = Bench(slots=1)
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    bench.run()
    bench.clock.now += ABANDONED_AFTER_S + 1.0
    bench.loop.expire(bench.clock.now)
    (failed,) = of(CallFailed, bench.run())
    assert failed.reason == Failure.ABANDONED
    assert bench.loop.stats.open_calls == 0
    assert bench.engine.closed == [CALL]


def test_a_call_that_is_heard_is_not_given_up() -> None:
    bench = Bench()
    caller = Caller()
    bench.give(caller.opens())
    for _ in range(3):
        bench.clock.now += ABANDONED_AFTER_S - 1.0
        bench.give(caller.speaks())
        bench.run()
        bench.loop.expire(bench.clock.now)
    assert bench.loop.stats.open_calls == 1


def test_an_agents_rules_are_the_first_that_a_gateway_hears_of_a_call() -> None:
    bench = Bench()
    bench.engine.rules = OverlapRules(duck_db=12.0, model_judges=True)
    caller = Caller()
    bench.give(caller.opens(), caller.speaks())
    messages = [message for _, message in bench.run()]
    assert isinstance(messages[0], CallRules)
    assert (messages[0].overlap, messages[0].seq) == (bench.engine.rules, 0)
    assert [type(message) for message in messages].count(CallRules) == 1


def test_an_engine_is_told_of_an_overlap_and_its_judgement_goes_with_the_decision() -> None:
    bench = Bench()
    bench.engine.answers[1] = lambda given: StepOutput(
        given.call, given.index, DecisionKind.LISTEN, floor=Floor.YIELD if given.overlap_s > 0.5 else None
    )
    caller = Caller()
    bench.give(caller.opens(), caller.speaks(), caller.speaks(overlap_s=0.6))
    decisions = of(Decision, bench.run())
    assert bench.engine.overlaps_s == [0.0, 0.6]
    assert [decision.floor for decision in decisions] == [None, Floor.YIELD]
