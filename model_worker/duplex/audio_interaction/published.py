"""Read the checkpoint of Audio-Interaction as its authors publish it, under the names of transformers.

A folder of theirs holds a decoder in the layout of litgpt, in shards, and an audio tower of Qwen2.5-Omni::

    model_config.yaml                        sizes and switches of the decoder
    model.safetensors.index.json             which shard holds which tensor
    model-0000n-of-0000m.safetensors
    audiointeraction_ChunkwisedEncoder.pth   weights of the tower
    qwen25OmniConfig/config.json             its sizes: thinker_config.audio_config
    tokenizer.json

The decoder is a Qwen2: a row of litgpt's fused qkv is a row of q, of k or of v, and the rest only has other names.
Nothing is read into memory until a tensor is asked for, and nothing is executed: weights come through safetensors,
and the one pickle through torch's reader of tensors only.
"""

import json
import pickle
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import Qwen2Config
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

DECODER_CONFIG = "model_config.yaml"
INDEX = "model.safetensors.index.json"
TOWER_WEIGHTS = "audiointeraction_ChunkwisedEncoder.pth"
TOWER_CONFIG = "qwen25OmniConfig/config.json"
TOKENIZER = "tokenizer.json"
RANDOM_MARK = "twowire_random_weights"
"""Key of a configuration (of ``hf_config`` in ``model_config.yaml``): the weights were drawn, they are nobody's."""

MAX_NAMED = 10

Shape = tuple[int, ...]


class CheckpointError(ValueError):
    """Files of a model are not what they should be; the text says which, what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor that is read when it is needed, in the numbers it was written in."""

    shape: Shape
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class Published:
    """The two nets by transformers' names, in the order of their ``state_dict``."""

    decoder: Qwen2Config
    decoder_weights: Mapping[str, Weight]
    tower: Qwen2_5OmniAudioEncoderConfig
    tower_weights: Mapping[str, Weight]


def is_published(folder: Path) -> bool:
    """Whether it looks like the authors' layout, rather than a converted one."""
    return (folder / DECODER_CONFIG).exists()


def read_published(root: Path) -> Published:
    """Look at every file and every tensor's name and shape. Raises CheckpointError, with all that is wrong."""
    decoder = decoder_config(root / DECODER_CONFIG)
    tower = _tower_config(root / TOWER_CONFIG)
    problems: list[str] = []
    stored = _shards(root, problems)
    legacy = frozenset(name for name in stored if ".attn.attn." in name)
    sources = _decoder_sources(decoder, legacy)
    expected = {part.source: part.source_shape for part in sources.values()}
    problems += _differences(INDEX, expected, {name: tensor.shape for name, tensor in stored.items()})
    tower_stored = _tower_tensors(root / TOWER_WEIGHTS)
    tower_expected = _tower_shapes(tower)
    problems += _differences(
        TOWER_WEIGHTS, tower_expected, {name: tuple(tensor.shape) for name, tensor in tower_stored.items()}
    )
    if problems:
        raise CheckpointError(f"{root}: not the published checkpoint of this model:\n" + "\n".join(problems))
    return Published(
        decoder,
        {name: Weight(part.shape, _reader(stored[part.source], part.rows)) for name, part in sources.items()},
        tower,
        {name: Weight(shape, _held(tower_stored[name])) for name, shape in tower_expected.items()},
    )


# litgpt's switches: what it takes for granted, and the only value under which its decoder is a Qwen2.
_SWITCHES: dict[str, tuple[Any, Any]] = {
    "norm_class_name": ("LayerNorm", "RMSNorm"),
    "mlp_class_name": ("GptNeoxMLP", "LLaMAMLP"),
    "parallel_residual": (True, False),
    "shared_attention_norm": (False, False),
    "bias": (True, False),
    "attn_bias": (False, True),
    "lm_head_bias": (False, False),
    "rotary_percentage": (0.25, 1.0),
    "rope_condense_ratio": (1, 1),
    "norm_1": (True, True),
    "norm_2": (True, True),
}
_SIZES = ("n_layer", "n_embd", "n_head", "intermediate_size", "block_size", "padded_vocab_size")
# Read below, or without a meaning once the switches are as they must be. Any other key must be switched off.
_READ = {*_SIZES, "n_query_groups", "head_size", "norm_eps", "rope_base", "attention_scores_scalar"}
_IDLE = {"name", "hf_config", "vocab_size", "padding_multiple", "gelu_approximate", "norm_qk_type"}
_IDLE |= {"sliding_window_layer_placing", "use_flash_attention"}
_OFF: tuple[Any, ...] = (None, False, 0, [], {})


def decoder_config(path: Path) -> Qwen2Config:
    """Raises CheckpointError for what a Qwen2 cannot do, by name and with the value found."""
    given = _mapping(path, yaml.safe_load, yaml.YAMLError)
    wrong = [
        f"{name}: expected {wanted!r}, found {given.get(name, default)!r}"
        for name, (default, wanted) in _SWITCHES.items()
        if given.get(name, default) != wanted
    ]
    wrong += [
        f"{name}: expected it to be off, found {value!r}"
        for name, value in given.items()
        if name not in _SWITCHES and name not in _READ and name not in _IDLE and value not in _OFF
    ]
    sizes: dict[str, Any] = {name: given.get(name) for name in (*_SIZES, "n_query_groups", "head_size")}
    if not sizes["n_query_groups"]:
        sizes["n_query_groups"] = sizes["n_head"]
    if not sizes["head_size"] and _whole(sizes["n_embd"]) and _whole(sizes["n_head"]):
        sizes["head_size"] = sizes["n_embd"] // sizes["n_head"]
    wrong += [f"{name}: expected a whole number, found {size!r}" for name, size in sizes.items() if not _whole(size)]
    numbers = {"norm_eps": given.get("norm_eps", 1e-5), "rope_base": given.get("rope_base", 10_000)}
    for name, value in numbers.items():
        try:
            numbers[name] = float(value)  # YAML takes 1e-06 for a text
        except (TypeError, ValueError):
            wrong.append(f"{name}: expected a number, found {value!r}")
    if not wrong and sizes["n_head"] % sizes["n_query_groups"]:
        wrong.append(f"n_query_groups: expected a divisor of {sizes['n_head']}, found {sizes['n_query_groups']}")
    if given.get("attention_scores_scalar") not in (None, sizes["head_size"]):
        wrong.append(f"attention_scores_scalar: expected the head size, found {given['attention_scores_scalar']!r}")
    if "gemma" in str(given.get("name")).lower():
        wrong.append(f"name: expected no Gemma, whose norms count from one, found {given['name']!r}")
    if wrong:
        raise CheckpointError(f"{path}: not a decoder that this engine knows:\n" + "\n".join(wrong))
    extra: Any = {"head_dim": sizes["head_size"]}
    marks = given.get("hf_config")
    if isinstance(marks, dict) and marks.get(RANDOM_MARK):
        extra[RANDOM_MARK] = True
    return Qwen2Config(
        vocab_size=sizes["padded_vocab_size"],
        hidden_size=sizes["n_embd"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["n_layer"],
        num_attention_heads=sizes["n_head"],
        num_key_value_heads=sizes["n_query_groups"],
        max_position_embeddings=sizes["block_size"],
        rms_norm_eps=numbers["norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": numbers["rope_base"]},
        tie_word_embeddings=False,
        **extra,
    )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a tensor of transformers' stands: these rows of that tensor; all of it where ``rows`` is None."""

    shape: Shape
    source: str
    source_shape: Shape
    rows: tuple[tuple[int, int], ...] | None = None


def _decoder_sources(config: Qwen2Config, legacy: Iterable[str]) -> dict[str, _Part]:
    """By transformers' name. ``legacy``: the names of fused tensors that are interleaved, of older litgpt."""
    hidden, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    assert groups is not None, "decoder_config gives it"
    size: int = config.head_dim
    fused = (heads + 2 * groups) * size
    legacy = frozenset(legacy)
    parts = {"model.embed_tokens.weight": _whole_of("transformer.wte.weight", vocabulary, hidden)}
    for layer in range(config.num_hidden_layers):
        ours, theirs = f"model.layers.{layer}", f"transformer.h.{layer}"
        for kind, width in (("weight", (hidden,)), ("bias", ())):
            source = f"{theirs}.attn.attn.{kind}"
            interleaved = source in legacy
            if not interleaved:
                source = f"{theirs}.attn.qkv.{kind}"
            for name, rows in _qkv_rows(heads, groups, size, interleaved=interleaved).items():
                shape = (sum(stop - start for start, stop in rows), *width)
                parts[f"{ours}.self_attn.{name}_proj.{kind}"] = _Part(shape, source, (fused, *width), rows)
        parts |= {
            f"{ours}.self_attn.o_proj.weight": _whole_of(f"{theirs}.attn.proj.weight", hidden, heads * size),
            f"{ours}.mlp.gate_proj.weight": _whole_of(f"{theirs}.mlp.fc_1.weight", inner, hidden),
            f"{ours}.mlp.up_proj.weight": _whole_of(f"{theirs}.mlp.fc_2.weight", inner, hidden),
            f"{ours}.mlp.down_proj.weight": _whole_of(f"{theirs}.mlp.proj.weight", hidden, inner),
            f"{ours}.input_layernorm.weight": _whole_of(f"{theirs}.norm_1.weight", hidden),
            f"{ours}.post_attention_layernorm.weight": _whole_of(f"{theirs}.norm_2.weight", hidden),
        }
    parts["model.norm.weight"] = _whole_of("transformer.ln_f.weight", hidden)
    parts["lm_head.weight"] = _whole_of("lm_head.weight", vocabulary, hidden)
    return parts


def _whole_of(source: str, *shape: int) -> _Part:
    return _Part(shape, source, shape)


def _qkv_rows(heads: int, groups: int, size: int, *, interleaved: bool) -> dict[str, tuple[tuple[int, int], ...]]:
    """Rows of q, k and v in the fused tensor: one after the other, or so in each group of heads that share a key."""
    if not interleaved:
        q, k, v = heads * size, (heads + groups) * size, (heads + 2 * groups) * size
        return {"q": ((0, q),), "k": ((q, k),), "v": ((k, v),)}
    own = heads // groups * size
    starts = range(0, (heads + 2 * groups) * size, own + 2 * size)
    return {
        "q": tuple((at, at + own) for at in starts),
        "k": tuple((at + own, at + own + size) for at in starts),
        "v": tuple((at + own + size, at + own + 2 * size) for at in starts),
    }


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor in a shard; of a shard that cannot be read, no shape is known."""

    file: Path
    name: str
    shape: Shape | None


def _shards(root: Path, problems: list[str]) -> dict[str, _Stored]:
    """All tensors of all shards that the index names."""
    index = _mapping(root / INDEX, json.loads, ValueError)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not all(_plain(file) for file in places.values()):
        raise CheckpointError(f"{root / INDEX}: expected a weight_map of tensors to files beside it")
    stored: dict[str, _Stored] = {}
    for file in sorted(set(places.values())):
        try:
            with safe_open(root / file, framework="pt") as shard:
                for name in shard.keys():  # noqa: SIM118 - no mapping
                    tensor = shard.get_slice(name)
                    if name in stored:
                        problems.append(f"{file}: holds {name}, which {stored[name].file.name} holds too")
                    if tensor.get_dtype() not in ("F64", "F32", "F16", "BF16"):
                        problems.append(f"{file}: expected {name} in floating point, found {tensor.get_dtype()}")
                    stored[name] = _Stored(root / file, name, tuple(tensor.get_shape()))
        except (OSError, SafetensorError) as error:
            lost = sum(1 for place in places.values() if place == file)
            problems.append(f"{file}: expected a shard of {lost} tensors, found: {error}")
            stored |= {name: _Stored(root / file, name, None) for name, place in places.items() if place == file}
    return stored


def _plain(file: object) -> bool:
    return isinstance(file, str) and file not in ("", ".", "..") and not set(file) & {"/", "\\", "\0"}


def _reader(stored: _Stored, rows: tuple[tuple[int, int], ...] | None) -> Callable[[], Tensor]:
    def read() -> Tensor:
        try:
            with safe_open(stored.file, framework="pt") as shard:
                if rows is None:
                    whole: Tensor = shard.get_tensor(stored.name)
                    return whole
                part = shard.get_slice(stored.name)
                return torch.cat([part[start:stop] for start, stop in rows])
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{stored.file}: {stored.name} cannot be read: {error}") from None

    return read


_TOWER_SIZES = (
    *("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "output_dim"),
    *("num_mel_bins", "max_source_positions", "n_window"),
)


def _tower_config(path: Path) -> Qwen2_5OmniAudioEncoderConfig:
    given: Any = _mapping(path, json.loads, ValueError)
    for key in ("thinker_config", "audio_config"):
        given = given.get(key)
        if not isinstance(given, dict):
            raise CheckpointError(f"{path}: expected thinker_config.audio_config, found no {key}")
    wrong = [f"{n}: expected a whole number, found {given.get(n)!r}" for n in _TOWER_SIZES if not _whole(given.get(n))]
    if given.get("activation_function", "gelu") != "gelu":
        wrong.append(f"activation_function: expected 'gelu', found {given['activation_function']!r}")
    if not wrong and given["d_model"] % given["encoder_attention_heads"]:
        wrong.append(f"encoder_attention_heads: expected a divisor of {given['d_model']}")
    if wrong:
        raise CheckpointError(f"{path}: not a tower that this engine knows:\n" + "\n".join(wrong))
    return Qwen2_5OmniAudioEncoderConfig(**{name: given[name] for name in _TOWER_SIZES})


def _tower_shapes(config: Qwen2_5OmniAudioEncoderConfig) -> dict[str, Shape]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Qwen2_5OmniAudioEncoder(config).state_dict().items()}


def _tower_tensors(path: Path) -> dict[str, Tensor]:
    """By name; the file stays on disk until a tensor is used, where its format allows it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of strange pickles, which end as errors below
            try:
                loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # written by a torch before 1.6, which is no zip and cannot be mapped
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: expected tensors only, found a pickle that wants to run code") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: expected weights of the audio tower, found: {error}") from None
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise CheckpointError(f"{path}: expected tensors by name, found {type(loaded).__name__}")
    return {str(name): tensor for name, tensor in loaded.items()}


def _held(tensor: Tensor) -> Callable[[], Tensor]:
    return lambda: tensor


def _mapping(path: Path, parse: Callable[[str], Any], broken: type[Exception]) -> dict[str, Any]:
    try:
        found = parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    except broken as error:
        raise CheckpointError(f"{path}: broken: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: expected a mapping, found {type(found).__name__}")
    return found


def _differences(file: str, expected: Mapping[str, Shape], found: Mapping[str, Shape | None]) -> list[str]:
    """Lines for a reader. A shape of None is not known, and passes."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [
        f"{name} (expected {shape}, found {found[name]})"
        for name, shape in expected.items()
        if name in found and found[name] not in (shape, None)
    ]
    kinds = {"missing": missing, "not known": unknown, "of another shape": wrong}
    return [f"{file}: {len(names)} {kind}: {_named(names)}" for kind, names in kinds.items() if names]


def _named(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
