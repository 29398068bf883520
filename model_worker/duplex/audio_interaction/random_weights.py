"""A model of the same make that understands nothing: for tests, trials and load, where no weights are at hand.

Architecture, vocabulary and layout are the real ones; the numbers are drawn from a seed. It is *lively*: whether it
speaks hangs on what it hears, what it says hangs on the sound too, and it comes to an end. How, stands at ``Tuning``.
"tiny" and "small" are the same on every machine and with every version of torch; golden files hang on that.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

from model_worker.duplex.audio_interaction import published
from model_worker.duplex.audio_interaction.model_folder import LoadedModel, resting
from model_worker.duplex.audio_interaction.tokens import (
    ASSISTANT,
    AUDIO_BEGIN,
    AUDIO_TOKENS,
    KEEP_SILENCE,
    LISTEN_TOKENS,
    PAD,
    SYSTEM_PROMPT,
    TEXT_BEGIN,
    TEXT_END,
    USER,
    VOCABULARY,
    Emotion,
    prefix,
)


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of a decoder and its tower. A head of the decoder has hidden / heads numbers."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    max_positions: int
    tower_layers: int
    tower_hidden: int
    tower_heads: int
    tower_inner: int


SIZES = {
    "tiny": Size(2, 64, 4, 2, 128, 32_768, 2, 64, 4, 128),
    "small": Size(2, 128, 4, 2, 256, 32_768, 2, 64, 4, 128),  # heads of 32: vLLM has no smaller ones on a CPU
    "3b": Size(36, 2_048, 16, 2, 11_008, 32_768, 32, 1_280, 20, 5_120),
}


@dataclass(frozen=True, slots=True)
class Tuning:
    """Scales at which the model is lively; measured with telephone speech (see ``test_random_weights``).

    A linear layer's numbers have the std gain / sqrt(inputs), so that what comes out has about the scale of what went
    in. Above that:

    * ``attention``: queries and keys are larger, so that attention picks a few tokens, rather than a mean over the
      call in which the last chunk drowns;
    * ``mixing``: what attention brings into the stream, against the token's own embedding, which at the place of a
      decision is always that of ASSISTANT;
    * ``hearing``: the same for the vectors of the tower;
    * ``speak``: std of the decision, as logit(TEXT_BEGIN) - logit(KEEP_SILENCE), over sounds that vary;
    * ``reticence``: how many of these stds its mean lies on the side of silence;
    * ``ending``: length of TEXT_END's row in that of a word's: at 1 it would come once in 150,000 tokens;
    * ``emotion``: how far the emotions' rows lie in the direction of TEXT_BEGIN, so that one of them comes first; at
      this they make up a third of a reply, and what reads it has to pass over tokens that are no words.
    """

    attention: float = 12.0
    mixing: float = 1.5
    hearing: float = 2.0
    speak: float = 0.8
    reticence: float = 0.55
    ending: float = 5.0
    emotion: float = 6.0


TUNING = Tuning()
SOUNDS = 64  # chunks by which the decision is fitted

Draw = Callable[[str, Tensor, float], None]
"""Fill a tensor, known by its name, with even chance around 0, of a std."""


def random_model(
    size: str, *, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32, tuning: Tuning = TUNING
) -> LoadedModel:
    """A model in memory, built where it is used. ``size``: a key of ``SIZES``."""
    sizes = SIZES[size]
    draw = _drawn_on(device, seed) if size == "3b" else _drawn_by_name(seed)
    with torch.device(device), torch.no_grad():
        decoder: Any = _bare(Qwen2ForCausalLM, decoder_config(sizes), dtype)
        tower: Any = _bare(Qwen2_5OmniAudioEncoder, tower_config(sizes), dtype)
        _fill_decoder(decoder, draw, tuning)
        _fill_tower(tower, draw, tuning)
        _fit_decision(decoder, tower, draw, tuning)
    return LoadedModel(resting(decoder, device), resting(tower, device), random_tokenizer())


def decoder_config(size: Size) -> Qwen2Config:
    marked: Any = {published.RANDOM_MARK: True, "head_dim": size.hidden // size.heads}
    return Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=size.max_positions,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        **marked,
    )


def tower_config(size: Size) -> Qwen2_5OmniAudioEncoderConfig:
    return Qwen2_5OmniAudioEncoderConfig(
        num_mel_bins=128,
        encoder_layers=size.tower_layers,
        encoder_attention_heads=size.tower_heads,
        encoder_ffn_dim=size.tower_inner,
        d_model=size.tower_hidden,
        max_source_positions=1_500,
        n_window=100,
        output_dim=size.hidden,
    )


def _bare(kind: Any, config: Any, dtype: torch.dtype) -> Any:
    """The net before its weights are drawn."""
    return kind._from_config(config, dtype=dtype, attn_implementation="sdpa")


def _fill_decoder(decoder: Any, draw: Draw, tuning: Tuning) -> None:
    depth = (2 * decoder.config.num_hidden_layers) ** -0.5  # so that all layers together weigh as much as one alone
    gains = {
        "q_proj": tuning.attention**0.5,
        "k_proj": tuning.attention**0.5,
        "o_proj": 2 * tuning.mixing * depth,
        "down_proj": 2 * depth,
    }
    for name, tensor in decoder.named_parameters():
        layer = name.split(".")[-2]
        if layer.endswith("norm"):
            tensor.fill_(1)
        elif name.endswith(".bias"):
            draw(name, tensor, 0.1)
        elif layer == "embed_tokens":
            draw(name, tensor, 1.0)
        elif layer == "lm_head":
            draw(name, tensor, tensor.shape[1] ** -0.5)
        else:
            draw(name, tensor, gains.get(layer, 1.0) * tensor.shape[1] ** -0.5)
    _fit_head(decoder.lm_head.weight, decoder.get_input_embeddings().weight, tuning)


def _fit_head(head: Tensor, embedding: Tensor, tuning: Tuning) -> None:
    """Rows (vocabulary, hidden) of the special tokens: those that are no answer get none, the others their part."""
    unit = embedding.shape[1] ** -0.5
    rows = {token: head[token].clone() for token in (TEXT_BEGIN, TEXT_END, *Emotion)}
    head[:256] = 0  # single bytes: halves of characters
    head[USER : USER + 19] = 0
    head[TEXT_END:] = 0
    head[TEXT_BEGIN] = rows[TEXT_BEGIN]
    head[TEXT_END] = rows[TEXT_END] * tuning.ending
    for emotion in Emotion:
        head[emotion] = rows[emotion] + tuning.emotion * unit * _direction(embedding[TEXT_BEGIN])


def _direction(row: Tensor) -> Tensor:
    """Of length sqrt(n), as a row of n numbers with a std of 1."""
    direction: Tensor = row * (row.shape[0] ** 0.5 / float(row.double().norm()))
    return direction


def _fit_decision(decoder: Any, tower: Any, draw: Draw, tuning: Tuning) -> None:
    """Turn TEXT_BEGIN's row so that, KEEP_SILENCE's being nought, the decision varies with sound around its mean."""
    head, embed = decoder.lm_head.weight, decoder.get_input_embeddings()
    loudness = torch.empty(SOUNDS, 1, 1, device=head.device)
    detail = torch.empty(SOUNDS, 128, 40, device=head.device)
    draw("loudness", loudness, 0.4)
    draw("detail", detail, 0.2)
    mel = (loudness + detail).to(head.dtype).transpose(0, 1).reshape(128, SOUNDS * 40)
    frames = torch.full((SOUNDS,), 40, device=head.device)
    heard = tower(mel, feature_lens=frames, aftercnn_lens=frames // 2).last_hidden_state.view(SOUNDS, AUDIO_TOKENS, -1)
    begin = prefix(list(SYSTEM_PROMPT.encode()))  # as ``random_tokenizer`` has it
    block = [AUDIO_BEGIN, *[PAD] * AUDIO_TOKENS, ASSISTANT, KEEP_SILENCE]
    call = embed(torch.tensor(begin + block * SOUNDS, device=head.device))
    call[len(begin) :].view(SOUNDS, LISTEN_TOKENS, -1)[:, 1 : 1 + AUDIO_TOKENS] = heard
    hidden = decoder.model(inputs_embeds=call[None]).last_hidden_state[0, len(begin) :].double()
    deciding = hidden.view(SOUNDS, LISTEN_TOKENS, -1)[:, LISTEN_TOKENS - 2]
    mean, row = deciding.mean(dim=0), head[TEXT_BEGIN].double()
    decisions = deciding @ row
    row = row - (decisions.mean() + tuning.reticence * decisions.std()) / mean.square().sum() * mean
    head[TEXT_BEGIN] = (row * tuning.speak / (deciding @ row).std()).to(head.dtype)


def _fill_tower(tower: Any, draw: Draw, tuning: Tuning) -> None:
    gains = {"proj": tuning.hearing, "conv1": 2.0, "conv2": 2.0}
    for name, tensor in tower.named_parameters():
        layer = name.split(".")[-2]
        if layer.endswith("norm") or layer == "ln_post":
            tensor.fill_(1 if name.endswith(".weight") else 0)
        elif name.endswith(".bias"):
            draw(name, tensor, 0.1)
        else:
            draw(name, tensor, gains.get(layer, 1.0) * (tensor[0].numel()) ** -0.5)


def _drawn_by_name(seed: int) -> Draw:
    """The raw bits of PCG64, which numpy promises to keep, seeded by the tensor's name; no order to keep to."""

    def draw(name: str, tensor: Tensor, std: float) -> None:
        count = tensor.numel()
        bits = np.random.PCG64([seed, crc32(name.encode())]).random_raw((count + 1) // 2)
        even = bits.astype("<u8", copy=False).view("<i4")[:count].astype(np.float32)
        even *= np.float32(std * 3**0.5 / 2**31)
        tensor.copy_(torch.from_numpy(even).view(tensor.shape))

    return draw


def _drawn_on(device: str, seed: int) -> Draw:
    generator = torch.Generator(device).manual_seed(seed)

    def draw(name: str, tensor: Tensor, std: float) -> None:
        half = std * 3**0.5
        tensor.uniform_(-half, half, generator=generator)

    return draw


_SYLLABLES = [consonant + vowel for consonant in "bdfklmnprstvz" for vowel in "aeiou"]


def random_tokenizer() -> Tokenizer:
    """Ids up to 255 are the bytes, those up to 151,642 words that mean nothing, the rest special tokens.

    Text encodes to bytes: words have no merges. Any word can be said.
    """
    vocabulary = {character: byte for byte, character in enumerate(_byte_characters())}
    vocabulary |= {f"Ġ{_word(token - 256)}": token for token in range(256, TEXT_END)}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


def _word(number: int) -> str:
    """Syllables, as a number of base 65 that has no zero: every number another word."""
    word = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, len(_SYLLABLES))
        word = _SYLLABLES[digit] + word
    return word


def _byte_characters() -> list[str]:
    """The visible character that byte-level BPE writes for each byte: itself, or one from 256 on."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
    hidden = iter(range(256, 512))
    return [chr(byte if byte in visible else next(hidden)) for byte in range(256)]


def write_published(folder: Path, size: str = "tiny", *, seed: int = 0, shards: int = 4) -> None:
    """Write a random model as the authors of Audio-Interaction publish theirs (see ``published``)."""
    model = random_model(size, seed=seed)
    config: Any = model.decoder.config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / published.DECODER_CONFIG).write_text(yaml.safe_dump(_published_config(config)), "utf-8")
    tensors = published_tensors(model)
    places: dict[str, str] = {}
    names = list(tensors)
    for number in range(shards):
        chosen = names[len(names) * number // shards : len(names) * (number + 1) // shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file({name: tensors[name].contiguous() for name in chosen}, folder / file)
        places |= dict.fromkeys(chosen, file)
    (folder / published.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}), "utf-8")
    torch.save(model.tower.state_dict(), folder / published.TOWER_WEIGHTS)
    tower_config = folder / published.TOWER_CONFIG
    tower_config.parent.mkdir(exist_ok=True)
    audio_config = {name: value for name, value in model.tower.config.to_dict().items() if name != "dtype"}
    tower_config.write_text(
        json.dumps({"model_type": "qwen2_5_omni", "thinker_config": {"audio_config": audio_config}}), "utf-8"
    )
    model.tokenizer.save(str(folder / published.TOKENIZER), pretty=False)


def published_tensors(model: LoadedModel) -> dict[str, Tensor]:
    """The decoder's tensors by litgpt's names, q, k and v in one."""
    state = model.decoder.state_dict()
    tensors = {"lm_head.weight": state["lm_head.weight"], "transformer.wte.weight": state["model.embed_tokens.weight"]}
    for layer in range(model.decoder.config.num_hidden_layers):
        ours, theirs = f"model.layers.{layer}", f"transformer.h.{layer}"
        tensors[f"{theirs}.norm_1.weight"] = state[f"{ours}.input_layernorm.weight"]
        for kind in ("weight", "bias"):
            parts = [state[f"{ours}.self_attn.{name}_proj.{kind}"] for name in "qkv"]
            tensors[f"{theirs}.attn.qkv.{kind}"] = torch.cat(parts)
        tensors[f"{theirs}.attn.proj.weight"] = state[f"{ours}.self_attn.o_proj.weight"]
        tensors[f"{theirs}.norm_2.weight"] = state[f"{ours}.post_attention_layernorm.weight"]
        for name, other in (("fc_1", "gate_proj"), ("fc_2", "up_proj"), ("proj", "down_proj")):
            tensors[f"{theirs}.mlp.{name}.weight"] = state[f"{ours}.mlp.{other}.weight"]
    tensors["transformer.ln_f.weight"] = state["model.norm.weight"]
    return tensors


def _published_config(config: Any) -> dict[str, Any]:
    return {
        "name": "random",
        "hf_config": {"name": "random", published.RANDOM_MARK: True},
        "attn_bias": True,
        "bias": False,
        "block_size": config.max_position_embeddings,
        "head_size": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "lm_head_bias": False,
        "mlp_class_name": "LLaMAMLP",
        "n_embd": config.hidden_size,
        "n_head": config.num_attention_heads,
        "n_layer": config.num_hidden_layers,
        "n_query_groups": config.num_key_value_heads,
        "norm_class_name": "RMSNorm",
        "norm_eps": config.rms_norm_eps,
        "padded_vocab_size": config.vocab_size,
        "parallel_residual": False,
        "rope_base": int(config.rope_parameters["rope_theta"]),
        "rotary_percentage": 1.0,
        "shared_attention_norm": False,
        "vocab_size": TEXT_END,
    }
