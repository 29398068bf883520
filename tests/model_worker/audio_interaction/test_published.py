"""The engine does what the published code did with the same weights: see ``make_golden`` and tests/data/README.md."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, TEXT_BEGIN, TEXT_END
from model_worker.duplex.audio_interaction.work import Decided, Outcome, Work, Written
from model_worker.seams import CallSpec, StepInput
from tests.model_worker.audio_interaction.fakes import render
from wire.ids import CallId

GOLDEN = Path(__file__).parents[2] / "data" / "audio_interaction_golden.npz"
CALL = CallId("golden")


class Watched(Device):
    """Keeps every decision and token of the device."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.logits: list[tuple[float, float]] = []
        self.replies: list[list[int]] = []

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        outcomes = super().run(works)
        for outcome in outcomes:
            if isinstance(outcome, Decided):
                assert len(outcome.logits) == 1, "chunks are given one by one here"
                self.logits += outcome.logits
                if outcome.logits[0][1] >= outcome.logits[0][0]:
                    self.replies.append([])
            elif isinstance(outcome, Written):
                self.replies[-1].append(outcome.token)
        return outcomes


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as saved:
        return dict(saved)


@pytest.fixture(scope="module")
def found(golden: dict[str, Any]) -> Watched:
    """The engine after all chunks; each reply is written before the next chunk, as the published code does."""
    limit = int(golden["reply_limit"])
    policy = Policy(sessions=1, capacity=4_096, temperature=0, reply_pace=limit + 2, reply_tokens=limit, loop_repeats=0)
    model = random_model("tiny", seed=int(golden["seed"]))
    device = Watched(model, policy)
    engine = AudioInteractionEngine(device, model.tokenizer, policy, render)
    engine.open(CALL, CallSpec("anybody"))
    for index, pcm in enumerate(golden["pcm"]):
        outputs = engine.step([StepInput(CALL, index, pcm)])
        while engine.busy:
            outputs += engine.step([])
        assert not [output.fault for output in outputs if output.fault]
    return device


def test_the_vectors_of_the_audio_tower_are_those_of_the_whole_history(golden: dict[str, Any]):
    model = random_model("tiny", seed=int(golden["seed"]))
    device = Device(model, Policy(sessions=1, capacity=512))
    for pcm, wanted in zip(golden["pcm"], golden["vectors"], strict=True):
        (vectors,) = device.encode([(0, pcm)])
        np.testing.assert_allclose(vectors.numpy(), wanted, atol=1e-4)


def test_every_decision_is_the_published_one(golden: dict[str, Any], found: Watched):
    np.testing.assert_allclose(np.array(found.logits), golden["decision_logits"], atol=1e-4)
    decisions = [TEXT_BEGIN if speak >= silence else KEEP_SILENCE for silence, speak in found.logits]
    assert decisions == golden["decisions"].tolist()
    assert 5 < decisions.count(TEXT_BEGIN) < 40, "it has to speak, and to listen, for this to mean anything"


def test_every_word_of_every_reply_is_the_published_one(golden: dict[str, Any], found: Watched):
    offsets = golden["reply_offsets"]
    wanted = [golden["reply_tokens"][a:b].tolist() for a, b in pairwise(offsets)]
    assert len(wanted) == len(found.replies)
    for reply, tokens in zip(found.replies, wanted, strict=True):
        assert reply == tokens or [*reply, TEXT_END] == tokens
