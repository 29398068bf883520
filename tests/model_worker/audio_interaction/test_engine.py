"""The engine with the real code, architecture and vocabulary, and tiny random weights: what it does is what one call
alone does, however the work was cut and whoever else was served.

``reference.Reference`` is the golden run: no cache, no batch, no engine.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_folder import LoadedModel
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.duplex.audio_interaction.tokens import is_word
from model_worker.duplex.audio_interaction.work import NonFiniteLogitsError
from model_worker.seams import BadSnapshotError, CallSpec, Pcm, StepInput, StepOutput
from tests.model_worker.audio_interaction.fakes import render
from tests.model_worker.audio_interaction.reference import Reference, close
from tests.speech import jfk_ulaw
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler
from wire.ids import NO_TURN, CallId, TurnId

SPEC = CallSpec("anybody")
PACE = 16
POLICY = Policy(sessions=6, capacity=2_048, temperature=0, reply_pace=PACE, reply_tokens=40, loop_repeats=0)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model("tiny", seed=0)


@pytest.fixture(scope="module")
def speech() -> list[Pcm]:
    """Real speech and what is between it, 16 kHz, in chunks of 0.4 s."""
    narrow = g711.decode(Codec.PCMU, np.frombuffer(jfk_ulaw(), np.uint8))
    resampler = Resampler(8_000, 16_000)
    wide = np.concatenate((resampler.push(narrow), resampler.flush()))
    return [wide[at : at + 6_400] for at in range(0, len(wide) - 6_400, 6_400)]


class Served:
    """One engine and what it told of its calls."""

    def __init__(self, model: LoadedModel, policy: Policy = POLICY) -> None:
        self.device = Device(model, policy)
        self.engine = AudioInteractionEngine(self.device, model.tokenizer, policy, render)
        self.outputs: dict[CallId, list[StepOutput]] = {}
        self._next: dict[CallId, int] = {}

    def step(self, chunks: Sequence[tuple[CallId, Pcm]], playback_s: tuple[TurnId, float] = (NO_TURN, 0.0)) -> None:
        """One step with these chunks."""
        inputs = []
        for call, pcm in chunks:
            index = self._next.get(call, 0)
            self._next[call] = index + 1
            inputs.append(StepInput(call, index, pcm, playback_s))
        for output in self.engine.step(inputs):
            self.outputs.setdefault(output.call, []).append(output)

    def settle(self) -> None:
        while self.engine.busy:
            self.step([])

    def p_speak(self, call: CallId) -> list[float | None]:
        return [output.p_speak for output in self.outputs[call] if output.decision is not None]

    def told(self, call: CallId) -> list[object]:
        """All that the gateway gets, without the numbers that may differ in their last digits."""
        return [(o.index, o.decision, o.turn, o.turn_done, o.said) for o in self.outputs[call] if o.decision or o.said]

    def sound(self, call: CallId) -> list[int]:
        return [int(s) for output in self.outputs[call] for piece in output.speech for s in piece.pcm[::400]]


def alone(model: LoadedModel, chunks: Sequence[Pcm], policy: Policy = POLICY) -> Served:
    served, call = Served(model, policy), CallId("a")
    served.engine.open(call, SPEC)
    for pcm in chunks:
        served.step([(call, pcm)])
        served.settle()
    return served


def reference(model: LoadedModel, chunks: Sequence[Pcm], policy: Policy) -> Reference:
    golden = Reference(model, policy.reply_pace, policy.reply_tokens, policy.speak_bias)
    device = Device(model, POLICY)
    for pcm in chunks:
        golden.hear(device.encode([(0, pcm)])[0])
    return golden


@pytest.mark.parametrize("pace", [3, PACE, 64])
def test_one_call_is_the_model_itself(model: LoadedModel, speech: list[Pcm], pace: int):
    policy = replace(POLICY, reply_pace=pace, speak_bias=1.0)  # talkative: several rounds in eight seconds
    served = alone(model, speech[:20], policy)
    golden = reference(model, speech[:20], policy)
    assert len(golden.replies) >= 2
    assert close(served.p_speak(CallId("a")), golden.decisions)
    texts = [model.tokenizer.decode([t for t in reply if is_word(t)]).strip() for reply in golden.replies]
    said = [said.text.strip() for output in served.outputs[CallId("a")] for said in output.said]
    assert said == [text for text in texts[: len(said)] if text]


def test_calls_served_together_are_calls_served_alone(model: LoadedModel, speech: list[Pcm]):
    """Six calls, each somewhere else in the speech, some chunks due at once and some between ticks."""
    chance, served = random.Random(1), Served(model)
    calls = {CallId(f"c{n}"): [*speech[n * 3 :], *speech[: n * 3]][:14] for n in range(6)}
    for call in calls:
        served.engine.open(call, SPEC)
    left = {call: list(chunks) for call, chunks in calls.items()}
    answered = dict.fromkeys(calls, 0)
    while any(left.values()):
        ready = [
            call
            for call in left
            if left[call] and len(served.p_speak(call) if call in served.outputs else []) == answered[call]
        ]
        due = chance.sample(ready, chance.randint(0, len(ready)))
        for call in due:
            answered[call] += 1
        served.step([(call, left[call].pop(0)) for call in due])
    served.settle()
    for call, chunks in calls.items():
        single = Served(model)
        single.engine.open(call, SPEC)
        for pcm in chunks:
            single.step([(call, pcm)])
            single.settle()
        assert close(served.p_speak(call), single.p_speak(call))
        assert served.told(call) == single.told(call)
        assert served.sound(call) == single.sound(call)


@pytest.mark.parametrize("at_once", [2, 5, 8])
def test_chunks_given_together_are_decided_as_one_by_one(model: LoadedModel, speech: list[Pcm], at_once: int):
    """A call that is heard again after a hand-over does what it did then."""
    call, served = CallId("a"), Served(model)
    served.engine.open(call, SPEC)
    for at in range(0, 24, at_once):
        served.step([(call, pcm) for pcm in speech[at : min(24, at + at_once)]])
        served.settle()
    single = alone(model, speech[:24])
    assert close(served.p_speak(call), single.p_speak(call))
    assert served.told(call) == single.told(call)


def test_an_interrupted_call_is_one_that_said_no_more(model: LoadedModel, speech: list[Pcm]):
    call, served = CallId("a"), Served(model)
    served.engine.open(call, SPEC)
    golden, device = Reference(model, PACE, reply_tokens=POLICY.reply_tokens), Device(model, POLICY)
    interrupted, chunks_since = 0, 0
    for pcm in speech[:24]:
        served.step([(call, pcm)])
        served.settle()
        golden.hear(device.encode([(0, pcm)])[0])
        turn = served.outputs[call][-1].turn
        chunks_since = chunks_since + 1 if turn else 0
        if chunks_since == 2 and interrupted < 3:
            interrupted += 1
            model_call = served.engine._calls[call]
            assert model_call._reply is not None
            kept = model_call._reply.heard_tokens(0.3)
            served.engine.interrupt(call, turn, 0.3)
            served.settle()
            golden.interrupt(kept)
    assert interrupted >= 2
    assert close(served.p_speak(call), golden.decisions)


def test_a_restored_call_goes_on_as_the_one_that_was_frozen(model: LoadedModel, speech: list[Pcm]):
    call, first, second = CallId("a"), Served(model), Served(model)
    first.engine.open(call, SPEC)
    at = 0
    while at < 8 or not first.engine._calls[call].at_rest:
        heard = first.outputs[call][-1].turn if at else NO_TURN
        first.step([(call, speech[at])], (heard, 1e3))
        first.settle()
        at += 1
    second.engine.restore(call, SPEC, first.engine.freeze(call))
    assert second.engine.history(call) == first.engine.history(call)
    second._next[call] = at
    first.outputs.clear()
    for pcm in speech[at : at + 12]:
        for served in (first, second):
            served.step([(call, pcm)])
            served.settle()
    assert first.p_speak(call) == second.p_speak(call)
    assert first.told(call) == second.told(call)


def test_what_is_no_snapshot_is_refused_and_frees_its_slot(model: LoadedModel, speech: list[Pcm]):
    served, call = Served(model), CallId("a")
    served.engine.open(call, SPEC)
    served.step([(call, speech[0])])
    good = served.engine.freeze(call) if served.engine._calls[call].at_rest else b""
    for broken in (b"", b"garbage that is long enough to be read", good[:-100], good.replace(b"keys", b"kyes", 1)):
        with pytest.raises(BadSnapshotError):
            served.engine.restore(CallId("b"), SPEC, broken)
    for n in range(POLICY.sessions - 1):
        served.engine.open(CallId(f"more-{n}"), SPEC)


def test_the_wire_gets_a_snapshot_only_while_it_is_small(model: LoadedModel, speech: list[Pcm]):
    served, call = Served(model), CallId("a")
    served.engine.open(call, SPEC)
    for pcm in speech[:16]:
        served.step([(call, pcm)])
        served.settle()
    assert served.engine.snapshot(call) is None
    assert served.engine.snapshot(CallId("unknown")) is None


def test_until_the_window_is_full_its_size_makes_no_difference(model: LoadedModel, speech: list[Pcm]):
    def decisions(capacity: int) -> tuple[list[float | None], int]:
        policy = Policy(sessions=1, capacity=capacity, temperature=0, reply_pace=PACE, reply_tokens=10, loop_repeats=0)
        served, call = Served(model, policy), CallId("a")
        served.engine.open(call, SPEC)
        for n, pcm in enumerate(speech[:24]):
            served.step([(call, pcm)])
            served.settle()
            if served.engine._calls[call].context.evicted:
                return served.p_speak(call), n
        return served.p_speak(call), 24

    wide, _ = decisions(2_048)
    narrow, full_at = decisions(512)
    assert 10 < full_at < 24
    assert close(narrow[:full_at], wide[:full_at])


def test_temperature_draws_the_same_for_the_same_call_and_others_for_another(model: LoadedModel, speech: list[Pcm]):
    policy = replace(POLICY, temperature=1.0, top_k=100, speak_bias=2.0)

    def said(call: CallId) -> list[str]:
        served = Served(model, policy)
        served.engine.open(call, SPEC)
        for pcm in speech[:12]:
            served.step([(call, pcm)])
            served.settle()
        return [entry["text"] for entry in served.engine.history(call)]

    assert said(CallId("a")) == said(CallId("a"))
    assert said(CallId("a")) != said(CallId("b"))


class TestFaults:
    """One call's fault is that call's."""

    def two(self, model: LoadedModel) -> Served:
        served = Served(model)
        served.engine.open(CallId("a"), SPEC)
        served.engine.open(CallId("b"), SPEC)
        return served

    def fault(self, served: Served, call: str) -> Exception | None:
        return next((o.fault for o in served.outputs.get(CallId(call), ()) if o.fault is not None), None)

    def test_a_chunk_of_the_wrong_length(self, model: LoadedModel, speech: list[Pcm]):
        served = self.two(model)
        served.step([(CallId("a"), speech[0][:100]), (CallId("b"), speech[0])])
        assert isinstance(self.fault(served, "a"), ValueError)
        assert self.fault(served, "b") is None
        assert len(served.p_speak(CallId("b"))) == 1

    def test_a_step_of_a_call_that_is_over(self, model: LoadedModel, speech: list[Pcm]):
        served = self.two(model)
        served.engine.close(CallId("a"))
        served.engine.close(CallId("a"))
        served.engine.interrupt(CallId("a"), TurnId(1), 0.0)
        served.step([(CallId("a"), speech[0]), (CallId("b"), speech[0])])
        assert isinstance(self.fault(served, "a"), ValueError)
        assert self.fault(served, "b") is None

    def test_nan_costs_the_call_that_has_it(self, model: LoadedModel, speech: list[Pcm]):
        served, single = self.two(model), alone(model, speech[:6])
        for pcm in speech[:3]:
            served.step([(CallId("a"), pcm), (CallId("b"), pcm)])
            served.settle()
        served.device.decoder.cache.values[:, served.engine._calls[CallId("a")].slot] = float("nan")
        for n, pcm in enumerate(speech[3:6]):
            served.step([(CallId("b"), pcm), *([(CallId("a"), pcm)] if n == 0 else [])])
            served.settle()
        assert isinstance(self.fault(served, "a"), NonFiniteLogitsError)
        assert close(served.p_speak(CallId("b")), single.p_speak(CallId("a")))
        served.engine.open(CallId("c"), SPEC)  # in the slot that had it
        for pcm in speech[:6]:
            served.step([(CallId("c"), pcm)])
            served.settle()
        assert close(served.p_speak(CallId("c")), single.p_speak(CallId("a")))

    def test_a_device_without_memory_for_one_call(
        self, model: LoadedModel, speech: list[Pcm], monkeypatch: pytest.MonkeyPatch
    ):
        served, single = self.two(model), alone(model, speech[:2])
        greedy = served.engine._calls[CallId("a")].slot
        forward = served.device.decoder.forward

        def out_of_memory(rows):
            if any(row.slot == greedy for row in rows):
                raise torch.OutOfMemoryError("tried to allocate too much\nand a long report")
            return forward(rows)

        monkeypatch.setattr(served.device.decoder, "forward", out_of_memory)
        for n in range(2):
            served.step([(CallId("b"), speech[n]), *([(CallId("a"), speech[n])] if n == 0 else [])])
            served.settle()
        assert isinstance(self.fault(served, "a"), MemoryError)
        assert close(served.p_speak(CallId("b")), single.p_speak(CallId("a")))

    def test_a_voice_that_fails(self, model: LoadedModel, speech: list[Pcm]):
        def silent(text: str, emotion: object) -> None:
            raise RuntimeError("no voice")

        served = Served(model)
        served.engine = AudioInteractionEngine(served.device, model.tokenizer, POLICY, silent)  # type: ignore[arg-type]
        served.engine.open(CallId("a"), SPEC)
        for pcm in speech[:20]:
            if self.fault(served, "a") is None:
                served.step([(CallId("a"), pcm)])
                served.settle()
        assert isinstance(self.fault(served, "a"), RuntimeError)
