"""An hour of one call costs in its last minutes what it cost in its first: in work, and in memory.

Counted, not timed: the tokens that are fed, the keys they look at, the positions that move, the objects that are held.
"""

import gc
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from model_worker.duplex.audio_interaction.device import Device
from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
from model_worker.duplex.audio_interaction.model_call import ModelCall
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.random_weights import random_model
from model_worker.duplex.audio_interaction.tokens import LISTEN_TOKENS, TEXT_END, Emotion
from model_worker.duplex.audio_interaction.work import Decided, Work, Write, Written
from model_worker.duplex.history import MAX_ENTRIES
from model_worker.nets.ragged_decoder import Row
from model_worker.seams import CallSpec, StepInput
from tests.model_worker.audio_interaction.fakes import CALL, PREFIX, SILENT, SPEAK, decode, render
from tests.speech import jfk_ulaw
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler
from wire.ids import NO_TURN, TurnId

CHUNKS = 9_000
MINUTE = 150
HOUR = 60
CHUNK_S = 0.4
_NOT_HELD = (type, ModuleType, FunctionType, MethodType, torch.nn.Module, int)


@dataclass
class Minute:
    """What was done in it, and what was held at its end."""

    works: int = 0
    tokens: int = 0
    """Fed, of the caller and of replies."""
    keys: int = 0
    """Looked at: the context of every work, summed."""
    longest: int = 0
    """Context of a single work."""
    moved: int = 0
    """Positions that went down because others were evicted."""
    objects: int = 0
    held_bytes: int = 0
    entries: int = 0
    turns: int = 0
    decisions: Counter[str] = field(default_factory=Counter)

    def fed(self, start: int, tokens: int) -> None:
        self.works += 1
        self.tokens += tokens
        self.keys += start + tokens
        self.longest = max(self.longest, start + tokens)


def held(*roots: object) -> tuple[int, int]:
    """Objects that can be reached from here, and their bytes; not code, nor numbers, of which Python has some once."""
    seen: dict[int, object] = {}
    ahead = list(roots)
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, _NOT_HELD):
            continue
        seen[id(one)] = one
        if isinstance(one, np.ndarray) and one.base is not None:
            ahead.append(one.base)
        ahead.extend(gc.get_referents(one))
    storages = {one.untyped_storage().data_ptr(): one for one in seen.values() if isinstance(one, torch.Tensor)}
    tensors = sum(one.untyped_storage().nbytes() for one in storages.values())
    return len(seen), tensors + sum(sys.getsizeof(one) for one in seen.values() if not isinstance(one, torch.Tensor))


class Scripted:
    """A ``ModelCall`` through an hour in which every minute goes as the one before.

    Six turns a minute: heard to the end, interrupted, replaced by another, as long as any may be; and once a minute
    the call is behind, so that eight chunks come at once.
    """

    SPEAKS = (5, 30, 55, 80, 84, 130)
    WORDS = (8, 30, 20, 40, 6, 1_000)
    INTERRUPTED_AT = (34, 58)
    BEHIND = range(110, 118)

    def __init__(self, policy: Policy) -> None:
        self.call = ModelCall(CALL, 0, PREFIX, policy, decode, render)
        self.minutes: list[Minute] = []
        self._playing = (NO_TURN, 0.0)

    def run(self, chunks: int) -> list[Minute]:
        for index in range(chunks):
            at = index % MINUTE
            if at == 0:
                self.minutes.append(Minute())
            turn, heard_s = self._playing
            self._playing = (turn, heard_s + CHUNK_S)
            vectors = np.full((10, 8), at, np.float32)
            self.call.hear(StepInput(CALL, index, np.zeros(6_400, np.int16), self._playing), vectors)
            if at not in self.BEHIND[:-1]:
                self._work()
            if at in self.INTERRUPTED_AT:
                self.call.interrupt(*self._playing)
                self._work()
            if at == MINUTE - 1:
                self._weigh()
        return self.minutes

    def _work(self) -> None:
        minute = self.minutes[-1]
        while True:
            length = self.call.context.length
            if dropped := self.call.make_room():
                minute.moved += length - dropped - self.call.context.pinned
            work = self.call.next_work()
            if work is None:
                break
            minute.fed(work.start, len(work.tokens))
            self.call.take(self._outcome(work))
        for output in self.call.take_outputs():
            if output.decision is not None:
                minute.decisions[output.decision.name] += 1
            if output.turn not in (NO_TURN, self._playing[0]):
                self._playing = (output.turn, 0.0)
                minute.turns += 1

    def _outcome(self, work: Work) -> Decided | Written:
        if not isinstance(work, Write):
            asked = [int(vectors[0, 0]) for _, vectors in work.vectors[-len(work.read) :]]
            return Decided([SPEAK if at in self.SPEAKS else SILENT for at in asked])
        reply = self.call._reply
        assert reply is not None
        said = len(reply.tokens) - 1
        if said == 0:
            return Written(int(Emotion.NORMAL))
        return Written(TEXT_END if said > self.WORDS[(reply.turn - 1) % 6] else 100 + said)

    def _weigh(self) -> None:
        minute, history = self.minutes[-1], self.call.history
        minute.objects, minute.held_bytes = held(self.call)
        minute.entries = len(history.as_dicts())


@pytest.fixture(scope="module", params=[512, 2_048], ids=["512 positions", "2,048 positions"])
def scripted(request: pytest.FixtureRequest) -> list[Minute]:
    capacity: int = request.param
    minutes = Scripted(Policy(capacity=capacity, temperature=0, loop_repeats=0)).run(CHUNKS)
    assert len(minutes) == HOUR
    assert max(minute.longest for minute in minutes) <= capacity
    return minutes


class TestTheCallAlone:
    """Any hour of a call, without a model."""

    def test_every_minute_feeds_the_same(self, scripted: list[Minute]):
        assert len({(minute.works, minute.tokens, minute.turns) for minute in scripted[2:]}) == 1
        assert scripted[2].turns == 6
        assert {sum(minute.decisions.values()) for minute in scripted} == {MINUTE}

    def test_what_a_minute_looks_at_and_moves_stays(self, scripted: list[Minute]):
        first, last = scripted[2:12], scripted[-10:]  # the window of 2,048 positions is full within a minute and a half
        assert sum(minute.moved for minute in first) > 0
        for what in ("keys", "moved"):
            before, after = (sum(getattr(minute, what) for minute in ten) for ten in (first, last))
            assert after == pytest.approx(before, rel=0.02), what

    def test_what_is_held_stays_and_history_has_an_end(self, scripted: list[Minute]):
        full = next(n for n, minute in enumerate(scripted) if minute.entries == MAX_ENTRIES)
        assert 20 < full < 45
        assert all(minute.entries == MAX_ENTRIES for minute in scripted[full:])
        first, last = scripted[full + 1 : full + 11], scripted[-10:]
        assert max(minute.objects for minute in last) <= max(minute.objects for minute in first)
        assert max(minute.held_bytes for minute in last) <= 1.01 * max(minute.held_bytes for minute in first)
        grown = scripted[full].objects - scripted[10].objects
        assert grown <= 3 * (MAX_ENTRIES - scripted[10].entries), "until then only history grows"

    def test_the_weighing_finds_what_grows(self):
        hour = Scripted(Policy(capacity=512, temperature=0, loop_repeats=0))
        before = hour.run(MINUTE)[-1]
        hour.call._queue = [np.zeros((10, 8), np.float32) for _ in range(100)]
        hour._weigh()
        assert hour.minutes[-1] is before
        objects, held_bytes = before.objects, before.held_bytes
        hour.call._queue = []
        hour._weigh()
        assert objects - before.objects >= 100
        assert held_bytes - before.held_bytes >= 100 * 10 * 8 * 4


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small nets on a busy machine lose more by waiting for a second thread than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loop_of_speech() -> list[Any]:
    """11 s from the telephone, 16 kHz, in chunks, again and again."""
    resampler = Resampler(8_000, 16_000)
    narrow = g711.decode(Codec.PCMU, np.frombuffer(jfk_ulaw(), np.uint8))
    wide = np.concatenate((resampler.push(narrow), resampler.flush()))
    return [wide[at : at + 6_400] for at in range(0, len(wide) - 6_400, 6_400)]


class Watched:
    """The engine with the real nets of the tiny model; every row that it feeds is counted."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        model = random_model("tiny", seed=0)
        self.device = Device(model, policy)
        self.engine = AudioInteractionEngine(self.device, model.tokenizer, policy, render)
        self.engine.open(CALL, CallSpec("anybody"))
        self.minutes: list[Minute] = []
        self._forward, self._evict = self.device.decoder.forward, self.device.decoder.cache.evict
        self.device.decoder.forward = self._count_rows  # type: ignore[method-assign]
        self.device.decoder.cache.evict = self._count_moves  # type: ignore[method-assign]

    def run(self, chunks: int) -> list[Minute]:
        speech, playing = loop_of_speech(), (NO_TURN, 0.0)
        for index in range(chunks):
            if index % MINUTE == 0:
                self.minutes.append(Minute())
            playing = (playing[0], playing[1] + CHUNK_S)
            playing = self._step([StepInput(CALL, index, speech[index % len(speech)], playing)], playing)
            while self.engine.busy:
                playing = self._step([], playing)
            if playing[0] % 2 and 1.0 < playing[1] < 1.5:  # every other turn is talked over
                self.engine.interrupt(CALL, *playing)
            if index % MINUTE == MINUTE - 1:
                self._weigh()
        return self.minutes

    def _step(self, inputs: Sequence[StepInput], playing: tuple[TurnId, float]) -> tuple[TurnId, float]:
        for output in self.engine.step(inputs):
            assert output.fault is None
            if output.decision is not None:
                self.minutes[-1].decisions[output.decision.name] += 1
            if output.turn not in (NO_TURN, playing[0]):
                playing = (output.turn, 0.0)
                self.minutes[-1].turns += 1
        return playing

    def _count_rows(self, rows: Sequence[Row]) -> torch.Tensor:
        for row in rows:
            self.minutes[-1].fed(row.start, len(row.tokens))
        return self._forward(rows)

    def _count_moves(self, slot: int, pinned: int, dropped: int, length: int) -> None:
        self.minutes[-1].moved += length - dropped - pinned
        self._evict(slot, pinned, dropped, length)

    def _weigh(self) -> None:
        minute = self.minutes[-1]
        minute.entries = len(self.engine.history(CALL))
        minute.objects, minute.held_bytes = held(self.engine._calls, self.device.decoder.cache, self.device.mel)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
class TestTheRealNets:
    POLICY = Policy(sessions=1, capacity=512, temperature=0, reply_tokens=12)

    def buffers(self, watched: Watched) -> list[int]:
        cache, mel = watched.device.decoder.cache, watched.device.mel
        return [tensor.data_ptr() for tensor in (cache.keys, cache.values, mel._context, mel._maximum, mel._fresh)]

    def test_an_hour_of_listening_costs_thirteen_tokens_a_chunk_to_its_end(self):
        watched = Watched(replace(self.POLICY, speak_bias=-50.0))
        buffers = self.buffers(watched)
        minutes = watched.run(CHUNKS)
        # The first chunk brings the prefix; the last sampled token of a minute is fed in the next.
        assert {minute.tokens for minute in minutes[1:]} == {LISTEN_TOKENS * MINUTE}
        assert {minute.works for minute in minutes} == {MINUTE}
        assert {minute.decisions["LISTEN"] for minute in minutes} == {MINUTE}
        assert max(minute.longest for minute in minutes) <= self.POLICY.capacity
        first, last = minutes[1:11], minutes[-10:]
        for what in ("keys", "moved"):
            before, after = (sum(getattr(minute, what) for minute in ten) for ten in (first, last))
            assert after == pytest.approx(before, rel=0.02), what
        assert max(minute.held_bytes for minute in last) <= max(minute.held_bytes for minute in first) * 1.001
        assert self.buffers(watched) == buffers, "what the device holds was laid out before the first call"

    def test_minutes_of_talk_stay_within_what_their_turns_cost(self):
        watched = Watched(self.POLICY)
        buffers = self.buffers(watched)
        minutes = watched.run(6 * MINUTE)
        assert {sum(minute.decisions.values()) for minute in minutes} == {MINUTE}
        assert all(minute.turns > 5 for minute in minutes)
        assert max(minute.longest for minute in minutes) <= self.POLICY.capacity
        assert all(minute.moved > 0 for minute in minutes[1:])
        # A turn costs its tokens and, where it is interrupted, what is heard again: that is all there may be.
        per_turn = self.POLICY.reply_tokens + 2 + 5 * LISTEN_TOKENS
        for minute in minutes[1:]:
            assert minute.tokens <= LISTEN_TOKENS * MINUTE + per_turn * (minute.turns + 1)
        assert max(minute.entries for minute in minutes) <= MAX_ENTRIES
        for before, after in pairwise(minutes):
            history = 3 * (after.entries - before.entries)
            assert after.objects <= before.objects + history + 400, "beside history a reply that is under way"
        assert self.buffers(watched) == buffers
