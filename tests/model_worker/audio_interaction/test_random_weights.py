"""A model of random weights does what a model does: it hears, decides, speaks and ends."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, WhisperFeatureExtractor

from model_worker.duplex.audio_interaction.model_folder import LoadedModel
from model_worker.duplex.audio_interaction.random_weights import (
    SIZES,
    decoder_config,
    random_model,
    random_tokenizer,
    tower_config,
)
from model_worker.duplex.audio_interaction.tokens import (
    ASSISTANT,
    AUDIO_BEGIN,
    AUDIO_TOKENS,
    CHUNK_SAMPLES,
    KEEP_SILENCE,
    SYSTEM_PROMPT,
    TEXT_BEGIN,
    TEXT_END,
    Emotion,
    is_word,
    prefix,
)
from tests.speech import jfk_ulaw
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler

MOST = 60  # tokens of a reply here


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small nets on a busy machine lose more by waiting for a second thread than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model("tiny", seed=0)


@pytest.fixture(scope="module")
def speech() -> Any:
    """11 s from the telephone, 16 kHz, in [-1, 1]."""
    resampler = Resampler(8_000, 16_000)
    narrow = g711.decode(Codec.PCMU, np.frombuffer(jfk_ulaw(), np.uint8))
    wide = np.concatenate((resampler.push(narrow), resampler.flush()))
    return wide[: len(wide) // CHUNK_SAMPLES * CHUNK_SAMPLES].astype(np.float32) / 32_768


@torch.inference_mode()
def vectors(model: LoadedModel, pcm: Any) -> Tensor:
    """(chunks, 10, hidden), from a log-mel of the whole recording."""
    extractor: Any = WhisperFeatureExtractor
    features = extractor(feature_size=128)(pcm, sampling_rate=16_000, padding="do_not_pad", return_tensors="pt")
    chunks = len(pcm) // CHUNK_SAMPLES
    frames = torch.full((chunks,), 40)
    mel = features.input_features[0][:, : 40 * chunks]
    heard: Tensor = model.tower(mel, feature_lens=frames, aftercnn_lens=frames // 2).last_hidden_state
    return heard.view(chunks, AUDIO_TOKENS, -1)


@torch.inference_mode()
def converse(model: LoadedModel, heard: Tensor) -> tuple[list[float], list[list[int]]]:
    """Decisions as logit(TEXT_BEGIN) - logit(KEEP_SILENCE), and replies, both greedy, in the published layout."""
    embed: Any = model.decoder.get_input_embeddings()
    cache = DynamicCache()

    def logits(*parts: int | Tensor) -> Tensor:
        rows = [embed(torch.tensor([part])) if isinstance(part, int) else part for part in parts]
        out: Tensor = model.decoder(
            inputs_embeds=torch.cat(rows)[None], past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[0, -1]
        return out

    pending = prefix(model.tokenizer.encode(SYSTEM_PROMPT, add_special_tokens=False).ids)
    decisions: list[float] = []
    replies: list[list[int]] = []
    for chunk in heard:
        found = logits(*pending, AUDIO_BEGIN, chunk, ASSISTANT)
        decisions.append(float(found[TEXT_BEGIN] - found[KEEP_SILENCE]))
        pending = [KEEP_SILENCE]
        if decisions[-1] > 0:
            reply: list[int] = []
            token = TEXT_BEGIN
            while token != TEXT_END and len(reply) < MOST:
                token = int(logits(token).argmax())
                reply.append(token)
            replies.append(reply)
            pending = [TEXT_END]
    return decisions, replies


def test_it_is_lively(model: LoadedModel, speech: Any):
    """Bounds are wide: the last digits of a forward are the machine's, and greedy replies part ways by them."""
    decisions, replies = converse(model, vectors(model, speech))
    assert 0.1 <= np.mean(np.array(decisions) > 0) <= 0.5
    assert np.std(decisions) > 0.5
    assert np.mean([reply[-1] == TEXT_END and 3 <= len(reply) <= 40 for reply in replies]) >= 0.75
    assert np.mean([reply[0] in set(Emotion) for reply in replies]) >= 0.5
    words = [token for reply in replies for token in reply[1:-1]]
    assert len(set(words)) > len(words) / 3
    assert np.mean([is_word(token) for token in words]) > 0.4  # the rest are emotions in the midst of a reply


def test_what_it_decides_hangs_on_what_it_hears(model: LoadedModel, speech: Any):
    decisions, replies = converse(model, vectors(model, speech)[:12])
    quiet, other = converse(model, vectors(model, np.random.default_rng(1).normal(0, 1e-3, len(speech)))[:12])
    assert np.abs(np.array(decisions) - np.array(quiet)).max() > 0.5
    assert replies != other


def test_the_same_seed_is_the_same_model_everywhere(model: LoadedModel):
    """If this fails, all golden files of the tiny model are void."""
    tensors = {name: tensor.data for net in (model.decoder, model.tower) for name, tensor in net.named_parameters()}
    fitted = tensors["lm_head.weight"].clone()
    fitted[TEXT_BEGIN] = 0  # comes out of a forward, so its last digits are the machine's
    tensors["lm_head.weight"] = fitted
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    assert digest.hexdigest() == "d8dc72fab13e27ae6568cb97432439e50070a2a791211379177db9c37e425eec"
    row = model.decoder.lm_head.weight[TEXT_BEGIN]
    torch.testing.assert_close(row[:4], torch.tensor([-0.14521, 0.13251, 0.23124, -0.13785]), rtol=0, atol=1e-4)


def test_another_seed_is_another_model(model: LoadedModel):
    other = random_model("tiny", seed=1)
    assert not torch.equal(other.decoder.lm_head.weight, model.decoder.lm_head.weight)
    assert not torch.equal(other.tower.conv1.weight, model.tower.conv1.weight)


def test_it_comes_in_the_numbers_asked_for():
    half = random_model("tiny", seed=0, dtype=torch.bfloat16)
    assert {parameter.dtype for net in (half.decoder, half.tower) for parameter in net.parameters()} == {torch.bfloat16}


def test_the_large_one_has_the_published_shape():
    decoder, tower = decoder_config(SIZES["3b"]), tower_config(SIZES["3b"])
    assert (decoder.num_hidden_layers, decoder.hidden_size, decoder.num_attention_heads) == (36, 2_048, 16)
    assert (decoder.num_key_value_heads, decoder.head_dim, decoder.intermediate_size) == (2, 128, 11_008)
    assert (tower.d_model, tower.encoder_layers, tower.output_dim, tower.num_mel_bins) == (1_280, 32, 2_048, 128)


def test_every_token_can_be_said():
    tokenizer = random_tokenizer()
    words = [tokenizer.decode([token]) for token in range(256, TEXT_END)]
    assert all(word.startswith(" ") and word[1:].isalpha() and word[1:].islower() for word in words)
    assert len(set(words)) == len(words)
    assert tokenizer.decode([TEXT_BEGIN, 300, 50_000, TEXT_END]) == tokenizer.decode([300, 50_000])


def test_any_text_becomes_its_bytes_and_comes_back():
    tokenizer = random_tokenizer()
    text = "  Ça va?\n你好 <|im_start|>\x00"
    plain = text.replace("<|im_start|>", "")
    assert tokenizer.encode(plain, add_special_tokens=False).ids == list(plain.encode())
    assert tokenizer.decode(list(plain.encode())) == plain
    assert TEXT_BEGIN in tokenizer.encode(text).ids
