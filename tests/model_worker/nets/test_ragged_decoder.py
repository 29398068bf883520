"""Rows of several calls in one forward give what the library gives for each call alone."""

import random

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from model_worker.nets.ragged_decoder import RaggedDecoder, Row
from model_worker.nets.slot_cache import Rotary

CALLS, LENGTH, VOCABULARY = 5, 120, 500


def a_model(dtype: torch.dtype = torch.float32) -> Qwen2ForCausalLM:
    torch.manual_seed(7)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        max_position_embeddings=1_024,
        rope_parameters={"rope_theta": 1e6, "rope_type": "default"},
    )
    model = Qwen2ForCausalLM(config)
    torch.nn.Module.to(model, dtype)
    model.train(False)
    return model


@torch.inference_mode()
def alone(model: Qwen2ForCausalLM, tokens: list[int]) -> torch.Tensor:
    """Logits (tokens, vocabulary) by the library, without any cache."""
    logits: torch.Tensor = model(torch.tensor([tokens])).logits[0]
    return logits


def sentences(seed: int) -> list[list[int]]:
    chance = random.Random(seed)
    return [[chance.randrange(VOCABULARY) for _ in range(LENGTH)] for _ in range(CALLS)]


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_of_rows_gives_what_each_call_gives_alone(seed: int):
    model, said, chance = a_model(), sentences(seed), random.Random(seed)
    wanted = [alone(model, tokens) for tokens in said]
    decoder = RaggedDecoder(model, CALLS, 128)
    fed = [0] * CALLS
    while min(fed) < LENGTH:
        rows, parts = [], []
        for call in chance.sample(range(CALLS), chance.randint(1, CALLS)):
            count = min(chance.choice([1, 1, 2, 13, 30]), LENGTH - fed[call])
            if count:
                rows.append(Row(call, fed[call], said[call][fed[call] : fed[call] + count], read=range(count)))
                parts.append(wanted[call][fed[call] : fed[call] + count])
                fed[call] += count
        if rows:
            torch.testing.assert_close(decoder.logits(decoder.forward(rows)), torch.cat(parts), atol=1e-5, rtol=0)


def test_only_the_hidden_states_asked_for_come_back():
    model, (said, *_) = a_model(), sentences(1)
    decoder = RaggedDecoder(model, 2, 64)
    hidden = decoder.forward([Row(0, 0, said[:20], read=(4, 19)), Row(1, 0, said[:3])])
    assert hidden.shape == (2, decoder.hidden_size)
    torch.testing.assert_close(decoder.logits(hidden), alone(model, said[:20])[[4, 19]], atol=1e-5, rtol=0)
    some = torch.tensor([3, 77])
    torch.testing.assert_close(decoder.logits_of(hidden, some), decoder.logits(hidden)[:, some], atol=1e-6, rtol=0)


def test_a_row_fed_again_replaces_what_it_wrote():
    model, (said, other, *_) = a_model(), sentences(2)
    decoder = RaggedDecoder(model, 1, 64)
    decoder.forward([Row(0, 0, said[:30], read=(29,))])
    hidden = decoder.forward([Row(0, 10, other[:5], read=(4,))])
    wanted = alone(model, [*said[:10], *other[:5]])[-1:]
    torch.testing.assert_close(decoder.logits(hidden), wanted, atol=1e-5, rtol=0)


def test_vectors_stand_in_for_the_embeddings_of_their_tokens():
    model, (said, *_) = a_model(), sentences(3)
    decoder = RaggedDecoder(model, 1, 64)
    vectors = model.model.embed_tokens.weight[said[4:9]].detach()
    padded = [*said[:4], *[0] * 5, *said[9:12]]
    hidden = decoder.forward([Row(0, 0, padded, embedded=[(4, vectors)], read=(11,))])
    torch.testing.assert_close(decoder.logits(hidden), alone(model, said[:12])[-1:], atol=1e-5, rtol=0)


def test_a_copy_goes_on_as_the_original():
    model, (said, *_) = a_model(), sentences(4)
    decoder = RaggedDecoder(model, 3, 64)
    decoder.forward([Row(0, 0, said[:20], read=())])
    decoder.cache.copy(0, 2, 20)
    keys, values = decoder.cache.read(0, 20)
    decoder.cache.write(1, keys, values)
    rows = [Row(slot, 20, said[20:24], read=(3,)) for slot in range(3)]
    first, second, third = decoder.forward(rows)
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)
    torch.testing.assert_close(first, third, atol=1e-6, rtol=0)


def test_keys_of_another_decoder_are_refused():
    decoder = RaggedDecoder(a_model(), 1, 64)
    keys, values = decoder.cache.read(0, 20)
    with pytest.raises(ValueError, match="expected keys and values"):
        decoder.cache.write(0, keys[:1], values[:1])
    with pytest.raises(ValueError, match="expected keys and values"):
        RaggedDecoder(a_model(), 1, 16).cache.write(0, keys, values)


def test_one_layer_without_what_was_evicted_is_a_shorter_call():
    """In the first layer keys depend on their own token only: there an eviction is exact, and positions are new."""
    model, (said, *_) = a_model(), sentences(5)
    del model.model.layers[1:]
    model.config.num_hidden_layers = 1
    decoder = RaggedDecoder(model, 1, 64)
    decoder.forward([Row(0, 0, said[:40], read=())])
    decoder.cache.evict(0, 5, 12, 40)
    hidden = decoder.forward([Row(0, 28, said[40:44], read=(3,))])
    wanted = alone(model, [*said[:5], *said[17:44]])[-1:]
    torch.testing.assert_close(decoder.logits(hidden), wanted, atol=1e-5, rtol=0)


def test_more_than_there_is_cannot_be_evicted():
    decoder = RaggedDecoder(a_model(), 1, 64)
    with pytest.raises(ValueError, match="cannot drop 31 of 40"):
        decoder.cache.evict(0, 10, 31, 40)


def test_a_slot_with_nan_is_good_again_after_clearing():
    model, (said, *_) = a_model(), sentences(6)
    decoder = RaggedDecoder(model, 1, 64)
    decoder.cache.keys[:, 0] = float("nan")
    decoder.cache.values[:, 0] = float("nan")
    decoder.cache.clear(0)
    hidden = decoder.forward([Row(0, 0, said[:9], read=(8,))])
    torch.testing.assert_close(decoder.logits(hidden), alone(model, said[:9])[-1:], atol=1e-5, rtol=0)


def test_a_call_with_nan_does_not_touch_its_neighbours():
    model, (said, other, *_) = a_model(), sentences(7)
    decoder = RaggedDecoder(model, 2, 64)
    broken = torch.full((2, decoder.hidden_size), float("nan"))
    hidden = decoder.forward([Row(0, 0, said[:9], [(3, broken)], read=(8,)), Row(1, 0, other[:13], read=(12,))])
    assert not hidden[0].isfinite().any()
    torch.testing.assert_close(decoder.logits(hidden[1:]), alone(model, other[:13])[-1:], atol=1e-5, rtol=0)


def test_a_rotation_back_undoes_one_forward():
    rotary = Rotary(16, 1e6, 100, torch.device("cpu"))
    keys = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    turned = Rotary.turn(keys, *rotary.at(torch.arange(40, 90), torch.float32))
    wanted = Rotary.turn(keys, *rotary.at(torch.arange(10, 60), torch.float32))
    torch.testing.assert_close(rotary.turn_back(turned, 30), wanted, atol=1e-5, rtol=0)


def test_half_the_precision_stays_near():
    model, (said, *_) = a_model(torch.bfloat16), sentences(8)
    decoder = RaggedDecoder(model, 1, 64)
    decoder.forward([Row(0, 0, said[:20], read=())])
    logits = decoder.logits(decoder.forward([Row(0, 20, said[20:33], read=(12,))]))
    torch.testing.assert_close(logits, alone(model, said[:33])[-1:].float(), atol=0.05, rtol=0)
