"""The model as this project keeps it: a plain folder of transformers, and what has to hold before it answers a call.

::

    config.json, model*.safetensors              Qwen2ForCausalLM.from_pretrained(folder)
    audio_tower/config.json, model*.safetensors  Qwen2_5OmniAudioEncoder.from_pretrained(folder / "audio_tower")
    tokenizer.json
    LICENCE_NOTE.txt

A folder is written beside its place and moved there whole: one that is there is complete. Writing keeps one shard in
memory, not the model.
"""

import json
import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder
from transformers.utils import logging as transformers_logging

from model_worker.duplex.audio_interaction.published import (
    RANDOM_MARK,
    TOKENIZER,
    Published,
    Weight,
    is_published,
    read_published,
)
from model_worker.duplex.audio_interaction.published import CheckpointError as CheckpointError
from model_worker.duplex.audio_interaction.tokens import AUDIO_BEGIN, TEXT_BEGIN, TEXT_END

TOWER = "audio_tower"
NOTE = "LICENCE_NOTE.txt"
OURS = "twowire_model"
"""Key of ``config.json`` by which a folder is known as one of ours."""
MEL_BINS = 128
MEL_FRAMES = 40  # of a chunk; the tower must take them in one window
SHARD_BYTES = 4 * 2**30  # few files, and a worker's spare memory holds one

LICENCE_TEXT = (
    "Audio-Interaction derives from Qwen2.5-Omni-3B, whose weights are under the Qwen Research License: "
    "not for commercial use without a licence from Alibaba Cloud."
)
RANDOM_TEXT = "The weights in this folder are random numbers: they understand nothing, and no licence holds for them."


class LicenceError(RuntimeError):
    """The licence of the weights was not acknowledged."""


@dataclass(frozen=True)
class LoadedModel:
    """Both nets in eval mode, without gradients."""

    decoder: Qwen2ForCausalLM
    tower: Qwen2_5OmniAudioEncoder
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Ear:
    """The model without its decoder, which somebody else loads: the tower on its device, and the decoder's config."""

    tower: Qwen2_5OmniAudioEncoder
    tokenizer: Tokenizer
    decoder_config: Qwen2Config


@dataclass(frozen=True, slots=True)
class Description:
    """A folder at a glance. ``dtype``: as safetensors names it. Bytes of keys and values are for that dtype."""

    decoder_parameters: int
    tower_parameters: int
    dtype: str
    layers: int
    hidden: int
    vocabulary: int
    max_positions: int
    kv_bytes_per_token: int
    random: bool
    licence: str


def convert(published: Path, folder: Path, dtype: torch.dtype, *, overwrite: bool = False) -> None:
    """Write the published checkpoint as a folder of ours. Raises CheckpointError; OSError when the disk is full."""
    _check_target(folder, overwrite)
    source = read_published(published)
    tokenizer = _tokenizer(published / TOKENIZER)
    _check_fit(published, source.decoder, source.tower, tokenizer)
    _write(folder, source, tokenizer, dtype)


def save(model: LoadedModel, folder: Path, *, overwrite: bool = False) -> None:
    """Write a model from memory as a folder of ours. Raises CheckpointError and OSError."""
    _check_target(folder, overwrite)
    source = Published(model.decoder.config, _weights(model.decoder), model.tower.config, _weights(model.tower))
    _write(folder, source, model.tokenizer, model.decoder.lm_head.weight.dtype)


def load(folder: Path, *, device: str, dtype: torch.dtype, licence_accepted: bool) -> LoadedModel:
    """Read a folder of ours. Nothing but the folder is asked, and no code in it is run.

    Raises CheckpointError when it is not one or does not fit together, LicenceError when its licence was not accepted.
    """
    ear = load_ear(folder, device=device, dtype=dtype, licence_accepted=licence_accepted)
    decoder = _net(Qwen2ForCausalLM, folder, dtype)
    return LoadedModel(resting(decoder, device), ear.tower, ear.tokenizer)


def load_ear(folder: Path, *, device: str, dtype: torch.dtype, licence_accepted: bool) -> Ear:
    """As ``load``, without the decoder."""
    config = _config(folder, "qwen2")
    if not config.get(RANDOM_MARK) and not licence_accepted:
        raise LicenceError(
            f"{folder}: {LICENCE_TEXT} If that covers your use, set TWOWIRE_ACCEPT_MODEL_LICENCE=qwen-research"
        )
    _config(folder / TOWER, "qwen2_5_omni_audio_encoder")  # without one, transformers would build the tower it knows
    tokenizer = _tokenizer(folder / TOKENIZER)
    try:
        decoder_config = Qwen2Config(**config)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: no config of a decoder: {error}") from None
    tower = _net(Qwen2_5OmniAudioEncoder, folder / TOWER, dtype)
    _check_fit(folder, decoder_config, tower.config, tokenizer)
    return Ear(resting(tower, device), tokenizer, decoder_config)


def resting(net: Any, device: str) -> Any:
    """The net on its device, as it is used: no dropout, no gradients."""
    return net.to(device).eval().requires_grad_(False)


def describe(folder: Path) -> Description:
    """What is in a folder, without reading its weights. Raises CheckpointError."""
    config = _config(folder, "qwen2")
    decoder, dtypes = _headers(folder)
    tower, _ = _headers(folder / TOWER)
    try:
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        numbers = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_dim
        return Description(
            decoder_parameters=decoder,
            tower_parameters=tower,
            dtype="+".join(sorted(dtypes)),
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            vocabulary=config["vocab_size"],
            max_positions=config["max_position_embeddings"],
            kv_bytes_per_token=numbers * (4 if "F32" in dtypes else 2),
            random=bool(config.get(RANDOM_MARK)),
            licence=RANDOM_TEXT if config.get(RANDOM_MARK) else LICENCE_TEXT,
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: a size is missing or wrong: {error}") from None


def _config(folder: Path, wanted: str) -> dict[str, Any]:
    """A net's configuration as it stands in its folder. ``wanted``: its model_type."""
    if is_published(folder):
        raise CheckpointError(f"{folder}: the checkpoint as it was published; run `twowire model convert` on it first")
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a folder from `twowire model convert`, found: {error}") from None
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind != wanted:
        raise CheckpointError(f"{path}: expected model_type {wanted!r}, found {kind!r}")
    return dict(found)


def _net(kind: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    """transformers fills what it misses with chance, and says so in its log only: here that is an error."""
    try:
        with _quietly():
            net, told = kind.from_pretrained(
                folder,
                dtype=dtype,
                attn_implementation="sdpa",
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they come back by name
                output_loading_info=True,
            )
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder}: cannot be loaded as {kind.__name__}: {error}") from None
    wrong = {
        "missing": told["missing_keys"],
        "not known": told["unexpected_keys"],
        "of another shape": [name for name, *_ in told["mismatched_keys"]],
    }
    if any(wrong.values()):
        lines = [f"{len(names)} {what}: {', '.join(sorted(names)[:10])}" for what, names in wrong.items() if names]
        raise CheckpointError(f"{folder}: tensors do not fit its config.json:\n" + "\n".join(lines))
    return net


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' progress bar and its advice, both of which go to stderr."""
    log: Any = transformers_logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises no narrower one
        raise CheckpointError(f"{path}: expected a tokenizer, found: {error}") from None


def _check_fit(where: Path, decoder: Any, tower: Any, tokenizer: Tokenizer) -> None:
    """Whether the parts are of one model, and of this one."""
    special = {"<|endoftext|>": TEXT_END, "<|im_start|>": TEXT_BEGIN}
    wrong = [
        f"{TOKENIZER}: expected {token} to be {wanted}, found {tokenizer.token_to_id(token)}"
        for token, wanted in special.items()
        if tokenizer.token_to_id(token) != wanted
    ]
    if decoder.vocab_size <= AUDIO_BEGIN:
        wrong.append(f"vocabulary: expected more than {AUDIO_BEGIN} tokens, found {decoder.vocab_size}")
    if tower.output_dim != decoder.hidden_size:
        wrong.append(f"tower: expected vectors of the decoder's {decoder.hidden_size}, found {tower.output_dim}")
    if tower.num_mel_bins != MEL_BINS:
        wrong.append(f"tower: expected {MEL_BINS} mel bins, found {tower.num_mel_bins}")
    if 2 * tower.n_window < MEL_FRAMES or 2 * tower.max_source_positions < MEL_FRAMES:
        wrong.append(f"tower: expected windows of {MEL_FRAMES} frames or more, found {2 * tower.n_window}")
    if wrong:
        raise CheckpointError(f"{where}: not a model of Audio-Interaction:\n" + "\n".join(wrong))


def _check_target(folder: Path, overwrite: bool) -> None:
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        ours = OURS in json.loads((folder / "config.json").read_text("utf-8"))
    except NotADirectoryError:
        raise CheckpointError(f"{folder}: expected a folder, found a file") from None
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise CheckpointError(f"{folder}: is not empty, and not a model of twowire: name another folder")
    if not overwrite:
        raise CheckpointError(f"{folder}: holds a model already: name another folder, or overwrite it")


def _write(folder: Path, source: Published, tokenizer: Tokenizer, dtype: torch.dtype) -> None:
    random = bool(getattr(source.decoder, RANDOM_MARK, False))
    note = RANDOM_TEXT if random else LICENCE_TEXT
    with _moved_whole(folder) as place:
        extra = {OURS: "audio-interaction", RANDOM_MARK: random, "eos_token_id": TEXT_END}
        _write_net(place, Qwen2ForCausalLM, source.decoder, source.decoder_weights, dtype, extra)
        _write_net(place / TOWER, Qwen2_5OmniAudioEncoder, source.tower, source.tower_weights, dtype, {})
        tokenizer.save(str(place / TOKENIZER), pretty=False)
        (place / NOTE).write_text(f"{note}\n", "utf-8")


@contextmanager
def _moved_whole(folder: Path) -> Iterator[Path]:
    """A folder beside the one wanted, that takes its place at the end and is gone after a failure."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    old = folder.with_name(f"{place.name}.old")
    try:
        place.mkdir()
        yield place
        if folder.exists():
            folder.rename(old)
        place.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(place, ignore_errors=True)
        raise
    with suppress(FileNotFoundError):
        shutil.rmtree(old)


def _write_net(
    folder: Path,
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    weights: Mapping[str, Weight],
    dtype: torch.dtype,
    extra: Mapping[str, Any],
) -> None:
    folder.mkdir(exist_ok=True)
    written = {
        **config.to_dict(),
        **extra,
        "architectures": [kind.__name__],
        "dtype": str(dtype).removeprefix("torch."),
    }
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", "utf-8")
    shards = _split(weights, dtype.itemsize)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {name: weights[name].read().to(dtype).contiguous() for name in names}
        try:
            save_file(tensors, folder / file, metadata={"format": "pt"})
        except SafetensorError as error:  # what the disk says comes wrapped
            raise OSError(f"{folder / file}: {error}") from None
        places |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(prod(weight.shape) for weight in weights.values()) * dtype.itemsize
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), "utf-8")


def _split(weights: Mapping[str, Weight], itemsize: int) -> list[list[str]]:
    """Names by shard, in order, each shard as full as it may be."""
    shards: list[list[str]] = [[]]
    held = 0
    for name, weight in weights.items():
        size = prod(weight.shape) * itemsize
        if shards[-1] and held + size > SHARD_BYTES:
            shards.append([])
            held = 0
        shards[-1].append(name)
        held += size
    return shards


def _weights(net: Any) -> dict[str, Weight]:
    return {name: Weight(tuple(tensor.shape), tensor.cpu) for name, tensor in net.state_dict().items()}


def _headers(folder: Path) -> tuple[int, set[str]]:
    """Numbers in all shards of a folder, and their types."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: expected weights, found no .safetensors file")
    numbers, dtypes = 0, set[str]()
    for file in files:
        try:
            with safe_open(file, framework="pt") as shard:
                for name in shard.keys():  # noqa: SIM118 - no mapping
                    tensor = shard.get_slice(name)
                    numbers += prod(tensor.get_shape())
                    dtypes.add(tensor.get_dtype())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file}: cannot be read: {error}") from None
    return numbers, dtypes
