"""``log_mel``: chunk by chunk, it is what Whisper makes of the whole call so far."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from model_worker.nets.log_mel import CHUNK_SAMPLES, LogMelPool, MelState
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode
from wire.audio.resample import BatchResampler

WITHIN = 1e-5


@cache
def filters() -> Tensor:
    bank = mel_filter_bank(201, 128, 0.0, 8_000.0, 16_000, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank.T.astype(np.float32))


def encoded_anew(chunks: Sequence[Tensor]) -> Tensor:
    """What Whisper's ``log_mel_spectrogram`` makes of all chunks of one call: the last 40 frames."""
    spectrum = torch.stft(torch.cat(tuple(chunks)), 400, 160, window=torch.hann_window(400), return_complex=True)
    bins = (filters() @ spectrum[..., :-1].abs() ** 2).clamp(min=1e-10).log10()
    return ((torch.maximum(bins, bins.max() - 8.0) + 4.0) / 4.0)[:, -40:]


def push_one(pool: LogMelPool, slot: int, chunk: Tensor) -> Tensor:
    return pool.push(torch.tensor([slot]), chunk[None])[0]


def noise(chunks: int, seed: int = 0, loudness: float = 0.1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [loudness * torch.randn(CHUNK_SAMPLES, generator=generator).clamp(-1, 1) for _ in range(chunks)]


@cache
def speech() -> tuple[Tensor, ...]:
    """11 s of a telephone call, as the worker hears it."""
    resampler = BatchResampler(8_000, 16_000)
    pcm, _ = resampler.push(resampler.new_history()[None], decode(Codec.PCMU, jfk_ulaw())[None])
    sound = torch.from_numpy(pcm[0]).float() / 32_768
    return sound[: len(sound) // CHUNK_SAMPLES * CHUNK_SAMPLES].view(-1, CHUNK_SAMPLES).unbind(0)


def assert_as_anew(chunks: Sequence[Tensor]) -> None:
    pool = LogMelPool(1, "cpu")
    for n, chunk in enumerate(chunks):
        torch.testing.assert_close(push_one(pool, 0, chunk), encoded_anew(chunks[: n + 1]), rtol=0, atol=WITHIN)


def test_speech_is_encoded_as_if_anew_each_time():
    assert len(speech()) == 27
    assert_as_anew(speech())


def test_a_loud_moment_clamps_what_follows_as_long_as_the_call_lasts():
    quiet = [chunk * 1e-4 for chunk in noise(8)]
    assert_as_anew([quiet[0], noise(1, loudness=0.9)[0], *quiet[1:]])
    pool = LogMelPool(1, "cpu")
    push_one(pool, 0, noise(1, loudness=0.9)[0])
    clamped = push_one(pool, 0, torch.zeros(CHUNK_SAMPLES))[:, 5:]
    assert (clamped == clamped[0, 0]).all()
    assert clamped[0, 0] > (-10 + 4) / 4


def test_a_click_that_mirroring_makes_louder_is_forgotten_with_the_mirror():
    """Near the end it stands twice in the last frame, from the next chunk on once: the maximum goes down again."""
    click = torch.zeros(CHUNK_SAMPLES)
    click[-12] = 1.0
    rest = [torch.zeros(CHUNK_SAMPLES), *(chunk * 1e-4 for chunk in noise(2))]
    assert_as_anew([noise(1, loudness=1e-4)[0], click, *rest])
    assert_as_anew([click, *rest])
    alone, anew = LogMelPool(1, "cpu"), encoded_anew([click])
    torch.testing.assert_close(push_one(alone, 0, click), anew, rtol=0, atol=WITHIN)
    assert alone.state(0).maximum < anew.max() * 4 - 4 - 0.05  # the louder frame did not settle


KINDS = ("noise", "tone", "silence", "clipped", "dc", "click", "speech")


@st.composite
def sounds(draw: st.DrawFn) -> Tensor:
    kind = draw(st.sampled_from(KINDS))
    loudness = 10.0 ** -draw(st.integers(0, 5))
    time = torch.arange(CHUNK_SAMPLES, dtype=torch.float64)
    if kind == "noise":
        return noise(1, draw(st.integers(0, 999)), loudness)[0]
    if kind == "tone":
        hz = draw(st.floats(20, 7_990))
        return (loudness * torch.sin(2 * torch.pi * hz / 16_000 * time)).float()
    if kind == "clipped":
        return (20 * noise(1, draw(st.integers(0, 999)))[0]).clamp(-1, 1)
    if kind == "dc":
        return torch.full((CHUNK_SAMPLES,), loudness * draw(st.sampled_from((-1.0, 1.0))))
    if kind == "speech":
        return speech()[draw(st.integers(0, 26))]
    sound = torch.zeros(CHUNK_SAMPLES)
    if kind == "click":  # where frames, mirrors and contexts begin and end, and next to it
        border = draw(st.sampled_from((0, 40, 160, 200, 360, 480)))
        at = draw(st.sampled_from((0, CHUNK_SAMPLES - 1)))
        at += (border + draw(st.integers(-1, 1))) * (1 if at == 0 else -1)
        sound[min(max(at, 0), CHUNK_SAMPLES - 1)] = loudness
    return sound


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_sound_of_any_calls_in_any_batches_is_encoded_as_if_anew(data: st.DataObject):
    slots = 4
    pool = LogMelPool(slots, "cpu")
    heard: list[list[Tensor]] = [[] for _ in range(slots)]
    for _ in range(data.draw(st.integers(1, 5))):
        due = data.draw(st.lists(st.integers(0, slots - 1), min_size=1, max_size=slots, unique=True))
        for slot in due:
            heard[slot].append(data.draw(sounds()))
        found = pool.push(torch.tensor(due), torch.stack([heard[slot][-1] for slot in due]))
        for slot, mel in zip(due, found, strict=True):
            torch.testing.assert_close(mel, encoded_anew(heard[slot]), rtol=0, atol=WITHIN)


def test_who_else_is_in_the_batch_makes_no_difference():
    chunks = noise(40, loudness=0.3)
    together, alone = LogMelPool(8, "cpu"), LogMelPool(8, "cpu")
    for n in range(5):
        batch = together.push(torch.arange(8), torch.stack(chunks[8 * n : 8 * n + 8]))
        for slot in (5, 2):
            torch.testing.assert_close(batch[slot], push_one(alone, slot, chunks[8 * n + slot]), rtol=0, atol=1e-6)


def test_the_shape_is_the_one_the_tower_wants():
    mel = LogMelPool(3, "cpu").push(torch.tensor([2, 0]), torch.stack(noise(2)))
    assert (mel.shape, mel.dtype) == ((2, 128, 40), torch.float32)


def test_a_reset_slot_begins_a_call_and_leaves_the_others_alone():
    pool = LogMelPool(2, "cpu")
    chunks = noise(4)
    pool.push(torch.tensor([0, 1]), torch.stack(chunks[:2]))
    pool.reset(0)
    assert pool.state(0).fresh
    torch.testing.assert_close(push_one(pool, 0, chunks[2]), encoded_anew(chunks[2:3]), rtol=0, atol=WITHIN)
    torch.testing.assert_close(push_one(pool, 1, chunks[3]), encoded_anew([chunks[1], chunks[3]]), rtol=0, atol=WITHIN)


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_copy_goes_its_own_way(before: int):
    pool = LogMelPool(2, "cpu")
    past, (one, other) = noise(before, loudness=0.5), noise(2, seed=1)
    push_one(pool, 1, noise(1, seed=2)[0])
    for chunk in past:
        push_one(pool, 0, chunk)
    pool.copy(0, 1)
    torch.testing.assert_close(push_one(pool, 1, other), encoded_anew([*past, other]), rtol=0, atol=WITHIN)
    torch.testing.assert_close(push_one(pool, 0, one), encoded_anew([*past, one]), rtol=0, atol=WITHIN)


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_state_goes_on_exactly_in_another_pool(before: int):
    pool, other = LogMelPool(1, "cpu"), LogMelPool(3, "cpu")
    push_one(other, 2, noise(1, seed=2)[0])
    for chunk in noise(before):
        push_one(pool, 0, chunk)
    saved = pool.state(0)
    follows = noise(1, seed=3)[0]
    wanted = push_one(pool, 0, follows)  # what was saved is no view of what goes on
    other.load(2, saved)
    assert torch.equal(push_one(other, 2, follows), wanted)


def test_a_fresh_state_is_finite():
    state = LogMelPool(1, "cpu").state(0)
    assert (state.maximum, state.fresh) == (-10.0, True)
    assert (state.context.shape, state.context.dtype) == ((480,), torch.float32)
    assert not state.context.any()


def test_what_has_another_shape_is_refused():
    pool = LogMelPool(1, "cpu")
    for wrong in (torch.zeros(2, 6_400), torch.zeros(1, 6_399), torch.zeros(1, 6_400, dtype=torch.int16)):
        with pytest.raises(ValueError, match=r"expected float32 \(1, 6400\)"):
            pool.push(torch.tensor([0]), wrong)
    with pytest.raises(ValueError, match="expected a context of"):
        pool.load(0, MelState(torch.zeros(360), -10.0, False))
