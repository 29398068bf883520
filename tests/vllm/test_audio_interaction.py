"""Audio-Interaction on the real vLLM: the same weights decide and say the same as in the engine of our own."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_folder import LoadedModel, load_ear, save
from model_worker.duplex.audio_interaction.nets import Nets
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.seams import BadSnapshotError, CallSpec, EngineLostError, Pcm, StepInput, StepOutput
from tests.engines.conformance.line import Host
from tests.engines.conformance.local import FRONT_DESK, nobody
from tests.engines.conformance.test_local import (  # noqa: F401 - asked of this engine too, by our ``host``
    test_a_call_may_end_in_any_state_and_others_go_on,
    test_a_snapshot_of_something_else_is_refused,
    test_an_interruption_of_what_was_never_said_changes_nothing,
    test_every_chunk_gets_one_decision,
    test_it_speaks_and_a_turn_that_was_interrupted_is_never_heard_of_again,
    test_many_callers_share_its_steps,
    test_what_one_caller_sends_wrong_costs_no_other,
)
from tests.engines.subject import Subject, speaker
from tests.model_worker.audio_interaction.fakes import render
from tests.model_worker.audio_interaction.reference import close
from tests.speech import jfk_ulaw
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler
from wire.ids import NO_TURN, CallId, TurnId

pytestmark = pytest.mark.vllm

SPEC = CallSpec("anybody")
POLICY = Policy(sessions=4, capacity=768, temperature=0, reply_pace=8, reply_tokens=30, loop_repeats=0, speak_bias=0.5)
A = CallId("a")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model("small", seed=0)


@pytest.fixture(scope="module")
def hosted(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """vLLM with the decoder of ``model``. Every test closes its calls."""
    from model_worker.duplex.audio_interaction_vllm.hosting import HostedDecoder

    folder = tmp_path_factory.mktemp("model") / "small"
    save(model, folder)
    ear = load_ear(folder, device="cpu", dtype=torch.float32, licence_accepted=False)
    decoder = HostedDecoder(folder, ear, torch.float32, POLICY, POLICY.sessions)
    yield decoder
    decoder.close()


@pytest.fixture
def host(model: LoadedModel, hosted: Any) -> Iterator[Host]:
    policy = replace(POLICY, temperature=0.3, speak_bias=0.0)
    engine = AudioInteractionEngine(hosted.nets_for(policy), model.tokenizer, policy, render)
    made = Host(
        Subject("audio-interaction-vllm", nobody, lambda url, briefs: (engine, hosted.close), FRONT_DESK, speaker),
        engine,
    )
    yield made
    for call in list(made.callers):
        engine.close(call)


@pytest.fixture(scope="module")
def speech() -> list[Pcm]:
    """Real speech and what is between it, 16 kHz, in chunks of 0.4 s; then silence, whose chunks are all alike."""
    narrow = g711.decode(Codec.PCMU, np.frombuffer(jfk_ulaw(), np.uint8))
    resampler = Resampler(8_000, 16_000)
    wide = np.concatenate((resampler.push(narrow), resampler.flush(), np.zeros(6_400 * 4, np.int16)))
    return [wide[at : at + 6_400] for at in range(0, len(wide) - 6_400, 6_400)]


class Served:
    """An engine and what it told of its calls."""

    def __init__(self, nets: Nets, model: LoadedModel, policy: Policy = POLICY) -> None:
        self.engine = AudioInteractionEngine(nets, model.tokenizer, policy, render)
        self.outputs: dict[CallId, list[StepOutput]] = {}
        self._next: dict[CallId, int] = {}

    def hear(self, *chunks: tuple[CallId, Pcm], playback_s: tuple[TurnId, float] = (NO_TURN, 0.0)) -> None:
        """One step with these chunks, and all that follows from them."""
        inputs = []
        for call, pcm in chunks:
            if call not in self._next:
                self.engine.open(call, SPEC)
            index = self._next[call] = self._next.get(call, -1) + 1
            inputs.append(StepInput(call, index, pcm, playback_s))
        self._step(inputs)
        while self.engine.busy:
            self._step([])

    def close(self) -> None:
        for call in self._next:
            self.engine.close(call)

    def told(self, call: CallId = A) -> list[object]:
        """All that the gateway gets, without the numbers that may differ in their last digits."""
        return [(o.index, o.decision, o.turn, o.turn_done, o.said, o.fault) for o in self.outputs[call]]

    def p_speak(self, call: CallId = A) -> list[float | None]:
        return [output.p_speak for output in self.outputs[call] if output.decision is not None]

    def turns(self, call: CallId = A) -> int:
        return max(output.turn for output in self.outputs[call])

    def _step(self, inputs: Sequence[StepInput]) -> None:
        for output in self.engine.step(inputs):
            assert output.fault is None, output.fault
            self.outputs.setdefault(output.call, []).append(output)


class Both:
    """Our own engine and the one on vLLM, given the same."""

    def __init__(self, model: LoadedModel, hosted: Any, policy: Policy = POLICY) -> None:
        self.own = Served(Device(model, policy), model, policy)
        self.hosted = Served(hosted.nets_for(policy), model, policy)

    def hear(self, *chunks: tuple[CallId, Pcm], playback_s: tuple[TurnId, float] = (NO_TURN, 0.0)) -> None:
        for served in (self.own, self.hosted):
            served.hear(*chunks, playback_s=playback_s)

    def agree(self, call: CallId = A) -> bool:
        same = self.hosted.told(call) == self.own.told(call)
        return same and close(self.hosted.p_speak(call), self.own.p_speak(call))


@pytest.fixture
def both(model: LoadedModel, hosted: Any) -> Iterator[Both]:
    made = Both(model, hosted)
    yield made
    made.hosted.close()


def test_a_call_is_decided_and_answered_as_in_our_own_engine(both: Both, speech: list[Pcm]):
    for pcm in speech:
        both.hear((A, pcm))
    assert both.own.turns() >= 2
    assert both.agree()


def test_calls_at_once_are_what_each_would_be(both: Both, speech: list[Pcm]):
    calls = [CallId(f"c{n}") for n in range(POLICY.sessions)]
    for n in range(12):
        both.hear(*((call, speech[(n + 5 * at) % len(speech)]) for at, call in enumerate(calls)))
    for call in calls:
        assert both.agree(call)


def test_a_call_that_is_behind_is_decided_chunk_by_chunk(both: Both, speech: list[Pcm]):
    """What was fed beyond a decision to speak is taken back: vLLM's keys are made anew from there."""
    for at in range(0, 24, 6):
        both.hear(*((A, pcm) for pcm in speech[at : at + 6]))
    assert both.own.turns() >= 2
    assert both.agree()


def test_an_interrupted_reply_goes_on_from_what_was_heard(both: Both, speech: list[Pcm]):
    turn = NO_TURN
    for n, pcm in enumerate(speech[:24]):
        both.hear((A, pcm), playback_s=(turn, 0.3))
        newest = TurnId(both.own.turns())
        if newest > turn and n % 2:
            turn = newest
            for served in (both.own, both.hosted):
                served.engine.interrupt(A, turn, 0.6)
    assert turn > 1
    assert both.agree()
    assert both.hosted.engine.history(A) == both.own.engine.history(A)


def test_chance_falls_as_in_our_own_engine(model: LoadedModel, hosted: Any, speech: list[Pcm]):
    """Words are drawn here, by place and call, not by vLLM: a call replayed elsewhere says the same."""
    both = Both(model, hosted, replace(POLICY, temperature=0.3, top_k=3))
    for pcm in speech[:16]:
        both.hear((A, pcm))
    both.hosted.close()
    assert both.own.turns() >= 1
    assert both.agree()


def test_a_call_longer_than_the_context_goes_on(both: Both, speech: list[Pcm]):
    """Its oldest chunks are taken out; vLLM reads the rest anew, where our engine turns the keys that it has."""
    for n in range(60):  # 780 positions and the prefix, of 768
        both.hosted.hear((A, speech[n % len(speech)]))
    assert len([o for o in both.hosted.outputs[A] if o.decision is not None]) == 60
    used, room = both.hosted.engine.context_positions
    assert 0 < used <= POLICY.capacity <= room


def test_a_call_that_ends_leaves_nothing_in_vllm(both: Both, hosted: Any, speech: list[Pcm]):
    both.hosted.hear((A, speech[0]))
    assert hosted.open_requests() == 1
    both.hosted.close()
    assert hosted.open_requests() == 0


def test_keys_in_vllm_make_no_snapshot(both: Both, speech: list[Pcm]):
    both.hosted.hear((A, speech[-1]))
    assert both.hosted.engine.snapshot(A) is None
    with pytest.raises(BadSnapshotError):
        both.hosted.engine.restore(A, SPEC, b"")


def test_the_engine_is_lost_with_the_processes_of_vllm(both: Both, hosted: Any, speech: list[Pcm]):
    """Stands last, since it ends them."""
    both.hosted.hear((A, speech[0]))
    (core,) = multiprocessing.active_children()
    core.kill()
    core.join(60)
    with pytest.raises(EngineLostError):
        both.hosted.hear((A, speech[1]))
