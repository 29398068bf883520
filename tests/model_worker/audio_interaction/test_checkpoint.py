"""From the published checkpoint to a model that answers: nothing is lost on the way, and nothing wrong gets through."""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from model_worker.duplex.audio_interaction import model_folder, published
from model_worker.duplex.audio_interaction.model_folder import (
    CheckpointError,
    LicenceError,
    LoadedModel,
    convert,
    describe,
    load,
    save,
)
from model_worker.duplex.audio_interaction.published import read_published
from model_worker.duplex.audio_interaction.random_weights import random_model, write_published
from model_worker.duplex.audio_interaction.tokens import ASSISTANT, AUDIO_BEGIN, ENGLISH, ONLINE, PAD

TOKENS = torch.tensor([[ONLINE, ENGLISH, 300, AUDIO_BEGIN, *[PAD] * 10, ASSISTANT, 40_000, 120_000]])
LAYER = "transformer.h.1"


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
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published checkpoint; not to be written to."""
    folder = tmp_path_factory.mktemp("published")
    write_published(folder, "tiny", seed=0)
    return folder


@pytest.fixture(scope="module")
def converted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder of ours; not to be written to."""
    folder = tmp_path_factory.mktemp("converted") / "model"
    convert(source, folder, torch.float32)
    return folder


@pytest.fixture
def broken(source: Path, tmp_path: Path) -> Path:
    """A copy to break: links, so replace files and never write into them."""
    return _linked(source, tmp_path / "broken")


@pytest.fixture
def spoilt(converted: Path, tmp_path: Path) -> Path:
    """A copy of the converted folder, to break likewise."""
    return _linked(converted, tmp_path / "spoilt")


def _linked(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy, copy_function=os.link)
    return copy


def replace(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text, "utf-8")


def edit_yaml(path: Path, **changes: Any) -> None:
    replace(path, yaml.safe_dump({**yaml.safe_load(path.read_text("utf-8")), **changes}))


def edit_json(path: Path, **changes: Any) -> None:
    replace(path, json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def edit_shard(folder: Path, name: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of the shard that holds ``name``, and the index with them."""
    index = json.loads((folder / published.INDEX).read_text("utf-8"))
    file = index["weight_map"][name]
    tensors = load_file(folder / file)
    edit(tensors)
    (folder / file).unlink()
    save_file(tensors, folder / file)
    places = {name: place for name, place in index["weight_map"].items() if place != file}
    edit_json(folder / published.INDEX, weight_map=places | dict.fromkeys(tensors, file))


def load_random(folder: Path) -> LoadedModel:
    return load(folder, device="cpu", dtype=torch.float32, licence_accepted=False)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_what_is_published_converted_and_loaded_is_the_model_itself(model: LoadedModel, converted: Path):
    loaded = load_random(converted)
    assert same(loaded.decoder, model.decoder)
    assert same(loaded.tower, model.tower)
    assert loaded.tokenizer.to_str() == model.tokenizer.to_str()
    with torch.inference_mode():
        found, wanted = loaded.decoder(TOKENS).logits, model.decoder(TOKENS).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    for net in (loaded.decoder, loaded.tower):
        assert not net.training
        assert not any(parameter.requires_grad for parameter in net.parameters())
        assert net.config._attn_implementation == "sdpa"


def test_the_converted_decoder_computes_what_litgpt_computes(source: Path, converted: Path):
    """The first layer by hand, from the published tensors and their published meaning."""
    config = yaml.safe_load((source / published.DECODER_CONFIG).read_text("utf-8"))
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(source.glob("model-*.safetensors")):
        tensors |= load_file(shard)
    layer = {name.removeprefix("transformer.h.0."): tensor for name, tensor in tensors.items()}
    x = tensors["transformer.wte.weight"][TOKENS[0]]
    heads, groups, size, count = config["n_head"], config["n_query_groups"], config["head_size"], len(x)

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        mean = x.square().mean(-1, keepdim=True)
        return x / torch.sqrt(mean + float(config["norm_eps"])) * weight

    qkv = norm(x, layer["norm_1.weight"]) @ layer["attn.qkv.weight"].T + layer["attn.qkv.bias"]
    q, k, v = (
        part.view(count, -1, size).transpose(0, 1)
        for part in torch.split(qkv, [heads * size, groups * size, groups * size], dim=-1)
    )
    angles = torch.outer(torch.arange(count), config["rope_base"] ** -(torch.arange(0, size, 2) / size)).repeat(1, 2)

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()

    k, v = (part.repeat_interleave(heads // groups, dim=0) for part in (turned(k), v))
    scores = turned(q) @ k.transpose(1, 2) / size**0.5
    scores = scores.masked_fill(~torch.ones(count, count, dtype=torch.bool).tril(), float("-inf"))
    x = x + (scores.softmax(-1) @ v).transpose(0, 1).reshape(count, -1) @ layer["attn.proj.weight"].T
    inner = norm(x, layer["norm_2.weight"])
    gate = torch.nn.functional.silu(inner @ layer["mlp.fc_1.weight"].T)
    x = x + (gate * (inner @ layer["mlp.fc_2.weight"].T)) @ layer["mlp.proj.weight"].T

    with torch.inference_mode():
        hidden = load_random(converted).decoder(TOKENS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(hidden[1][0], x, rtol=0, atol=1e-4)


def test_older_names_with_interleaved_heads_are_the_same_model(broken: Path, model: LoadedModel):
    config: Any = model.decoder.config
    own, size = config.num_attention_heads // config.num_key_value_heads * config.head_dim, config.head_dim

    def interleave(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(f"{LAYER}.attn.qkv.")]:
            fused = tensors.pop(name)
            key_at, value_at = 2 * own, 2 * own + 2 * size
            groups = [
                part
                for g in range(2)
                for part in (
                    fused[g * own : (g + 1) * own],
                    fused[key_at + g * size : key_at + (g + 1) * size],
                    fused[value_at + g * size : value_at + (g + 1) * size],
                )
            ]
            tensors[name.replace("attn.qkv", "attn.attn")] = torch.cat(groups)

    edit_shard(broken, f"{LAYER}.attn.qkv.weight", interleave)
    state = model.decoder.state_dict()
    for name, weight in read_published(broken).decoder_weights.items():
        assert torch.equal(weight.read(), state[name]), name


def test_bfloat16_is_what_was_asked_for(source: Path, tmp_path: Path, model: LoadedModel):
    convert(source, tmp_path / "half", torch.bfloat16)
    assert describe(tmp_path / "half").dtype == "BF16"
    assert describe(tmp_path / "half").kv_bytes_per_token == 2 * 2 * 2 * 16 * 2
    loaded = load(tmp_path / "half", device="cpu", dtype=torch.bfloat16, licence_accepted=False)
    assert torch.equal(loaded.decoder.lm_head.weight, model.decoder.lm_head.weight.bfloat16())


def test_large_weights_are_written_in_shards(
    source: Path, tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_folder, "SHARD_BYTES", 39_000_000)
    convert(source, tmp_path / "model", torch.float32)
    assert len(list((tmp_path / "model").glob("model-0000?-of-00003.safetensors"))) == 3
    assert same(load_random(tmp_path / "model").decoder, model.decoder)


def test_a_model_from_memory_can_be_saved(tmp_path: Path, model: LoadedModel):
    save(model, tmp_path / "model")
    assert same(load_random(tmp_path / "model").tower, model.tower)
    assert describe(tmp_path / "model").random


def test_every_wrong_tensor_is_named_at_once(broken: Path):
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[f"{LAYER}.norm_2.weight"]
        tensors[f"{LAYER}.attn.norm_q.weight"] = torch.ones(16)
        tensors[f"{LAYER}.mlp.proj.weight"] = torch.ones(128, 64)

    edit_shard(broken, f"{LAYER}.norm_2.weight", spoil)
    tower = torch.load(broken / published.TOWER_WEIGHTS, weights_only=True)
    del tower["ln_post.bias"]
    (broken / published.TOWER_WEIGHTS).unlink()
    torch.save(tower, broken / published.TOWER_WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        read_published(broken)
    text = str(error.value)
    assert f"1 missing: {LAYER}.norm_2.weight" in text
    assert f"1 not known: {LAYER}.attn.norm_q.weight" in text
    assert f"{LAYER}.mlp.proj.weight (expected (64, 128), found (128, 64))" in text
    assert f"{published.TOWER_WEIGHTS}: 1 missing: ln_post.bias" in text


def test_of_many_wrong_tensors_ten_are_named(broken: Path):
    edit_yaml(broken / published.DECODER_CONFIG, n_layer=4)
    with pytest.raises(CheckpointError, match=r"16 missing: .* and 6 more"):
        read_published(broken)


def test_a_scalar_is_no_tensor_of_any_shape(broken: Path):
    edit_shard(
        broken, f"{LAYER}.norm_2.weight", lambda tensors: tensors.update({f"{LAYER}.norm_2.weight": torch.tensor(1.0)})
    )
    with pytest.raises(CheckpointError, match=r"norm_2.weight \(expected \(64,\), found \(\)\)"):
        read_published(broken)


def test_whole_numbers_are_no_weights(broken: Path):
    ones = torch.ones(64, dtype=torch.int8)
    edit_shard(broken, f"{LAYER}.norm_2.weight", lambda tensors: tensors.update({f"{LAYER}.norm_2.weight": ones}))
    with pytest.raises(CheckpointError, match=r"norm_2\.weight in floating point, found I8"):
        read_published(broken)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parallel_residual": True}, "parallel_residual: expected False, found True"),
        ({"shared_attention_norm": True}, "shared_attention_norm: expected False, found True"),
        ({"norm_class_name": "LayerNorm"}, "norm_class_name: expected 'RMSNorm', found 'LayerNorm'"),
        ({"mlp_class_name": "GemmaMLP"}, "mlp_class_name: expected 'LLaMAMLP', found 'GemmaMLP'"),
        ({"mlp_class_name": "LLaMAMoE", "n_expert": 8}, "n_expert: expected it to be off, found 8"),
        ({"norm_qk": True}, "norm_qk: expected it to be off, found True"),
        ({"sliding_window_size": 4_096}, "sliding_window_size: expected it to be off, found 4096"),
        ({"attention_logit_softcapping": 50.0}, "attention_logit_softcapping: expected it to be off, found 50.0"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping: expected it to be off, found 30.0"),
        ({"attention_scores_scalar": 32}, "attention_scores_scalar: expected the head size, found 32"),
        ({"rope_adjustments": {"factor": 8.0}}, "rope_adjustments: expected it to be off, found {'factor': 8.0}"),
        ({"rope_condense_ratio": 2}, "rope_condense_ratio: expected 1, found 2"),
        ({"rotary_percentage": 0.25}, "rotary_percentage: expected 1.0, found 0.25"),
        ({"scale_embeddings": True}, "scale_embeddings: expected it to be off, found True"),
        ({"post_mlp_norm": True}, "post_mlp_norm: expected it to be off, found True"),
        ({"bias": True}, "bias: expected False, found True"),
        ({"attn_bias": False}, "attn_bias: expected True, found False"),
        ({"lm_head_bias": True}, "lm_head_bias: expected False, found True"),
        ({"invented_switch": "on"}, "invented_switch: expected it to be off, found 'on'"),
        ({"name": "Gemma-2-2b"}, "name: expected no Gemma"),
        ({"n_layer": "two"}, "n_layer: expected a whole number, found 'two'"),
        ({"n_query_groups": 3}, "n_query_groups: expected a divisor of 4, found 3"),
        ({"norm_eps": "small"}, "norm_eps: expected a number, found 'small'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_decoder_does_not_do_is_refused_by_name(broken: Path, changes: dict[str, Any], text: str):
    edit_yaml(broken / published.DECODER_CONFIG, **changes)
    with pytest.raises(CheckpointError) as error:
        read_published(broken)
    assert text in str(error.value)


def test_a_switch_that_is_not_named_stands_as_litgpt_has_it(broken: Path):
    given = yaml.safe_load((broken / published.DECODER_CONFIG).read_text("utf-8"))
    del given["parallel_residual"]
    replace(broken / published.DECODER_CONFIG, yaml.safe_dump(given))
    with pytest.raises(CheckpointError, match="parallel_residual: expected False, found True"):
        read_published(broken)


@pytest.mark.parametrize(
    "file",
    [published.DECODER_CONFIG, published.INDEX, published.TOWER_CONFIG, published.TOWER_WEIGHTS, "tokenizer.json"],
)
@pytest.mark.parametrize("content", [None, "{[", "7"], ids=["absent", "broken", "of another kind"])
def test_a_file_that_is_absent_or_broken_is_named(broken: Path, tmp_path: Path, file: str, content: str | None):
    (broken / file).unlink()
    if content is not None:
        (broken / file).write_text(content, "utf-8")
    with pytest.raises(CheckpointError, match=file):
        convert(broken, tmp_path / "model", torch.float32)
    assert not (tmp_path / "model").exists()


def test_a_missing_and_a_truncated_shard_are_named(broken: Path):
    (broken / "model-00002-of-00004.safetensors").unlink()
    whole = (broken / "model-00003-of-00004.safetensors").read_bytes()
    (broken / "model-00003-of-00004.safetensors").unlink()
    (broken / "model-00003-of-00004.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError) as error:
        read_published(broken)
    assert "model-00002-of-00004.safetensors: expected a shard of" in str(error.value)
    assert "model-00003-of-00004.safetensors: expected a shard of" in str(error.value)
    assert "not known" not in str(error.value)
    assert "5 missing" not in str(error.value)


def test_an_index_leads_to_no_other_folder(broken: Path):
    edit_json(broken / published.INDEX, weight_map={"lm_head.weight": "../../secret.safetensors"})
    with pytest.raises(CheckpointError, match="files beside it"):
        read_published(broken)


class Thief:
    """What a pickle of it would do when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False], ids=["a zip", "a bare pickle"])
def test_code_in_a_pickle_is_not_run(broken: Path, tmp_path: Path, zipped: bool):
    file, mark = broken / published.TOWER_WEIGHTS, tmp_path / "stolen"
    file.unlink()
    if zipped:
        torch.save({"conv1.weight": Thief(mark)}, file)
    else:
        file.write_bytes(pickle.dumps({"conv1.weight": Thief(mark)}))
    with pytest.raises(CheckpointError, match=published.TOWER_WEIGHTS):
        read_published(broken)
    assert not mark.exists()


def test_a_tower_for_another_decoder_is_refused(broken: Path, tmp_path: Path, converted: Path):
    config = json.loads((broken / published.TOWER_CONFIG).read_text("utf-8"))
    config["thinker_config"]["audio_config"]["output_dim"] = 32
    replace(broken / published.TOWER_CONFIG, json.dumps(config))
    tower = torch.load(broken / published.TOWER_WEIGHTS, weights_only=True)
    cut = {name: t[..., :32] if name == "audio_bos_eos_token.weight" else t for name, t in tower.items()}
    cut |= {"proj.weight": tower["proj.weight"][:32], "proj.bias": tower["proj.bias"][:32]}
    (broken / published.TOWER_WEIGHTS).unlink()
    torch.save(cut, broken / published.TOWER_WEIGHTS)
    with pytest.raises(CheckpointError, match="tower: expected vectors of the decoder's 64, found 32"):
        convert(broken, tmp_path / "model", torch.float32)


def test_a_tower_of_another_activation_is_refused(broken: Path):
    config = json.loads((broken / published.TOWER_CONFIG).read_text("utf-8"))
    config["thinker_config"]["audio_config"]["activation_function"] = "relu"
    replace(broken / published.TOWER_CONFIG, json.dumps(config))
    with pytest.raises(CheckpointError, match="activation_function: expected 'gelu', found 'relu'"):
        read_published(broken)


def test_a_folder_with_something_else_in_it_is_left_alone(source: Path, tmp_path: Path):
    (tmp_path / "letters.txt").write_text("Dear", "utf-8")
    with pytest.raises(CheckpointError, match="not empty"):
        convert(source, tmp_path, torch.float32, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["letters.txt"]


def test_a_model_is_replaced_only_when_that_is_asked(source: Path, spoilt: Path):
    with pytest.raises(CheckpointError, match="holds a model already"):
        convert(source, spoilt, torch.bfloat16)
    assert describe(spoilt).dtype == "F32"
    convert(source, spoilt, torch.bfloat16, overwrite=True)
    assert describe(spoilt).dtype == "BF16"
    assert [entry.name for entry in spoilt.parent.iterdir()] == [spoilt.name]


@pytest.mark.parametrize("there", [False, True], ids=["a new folder", "over a model"])
def test_a_full_disk_leaves_nothing_half(
    source: Path, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
):
    folder = tmp_path / "place" / "model"
    folder.parent.mkdir()
    if there:
        _linked(converted, folder)

    def full(tensors: object, file: Path, metadata: object) -> None:
        file.write_bytes(b"half")
        if model_folder.TOWER in file.parts:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        convert(source, folder, torch.bfloat16, overwrite=True)
    assert [entry.name for entry in folder.parent.iterdir()] == (["model"] if there else [])
    if there:
        assert describe(folder).dtype == "F32"


def test_real_weights_ask_for_their_licence_to_be_accepted(spoilt: Path):
    edit_json(spoilt / "config.json", twowire_random_weights=False)
    with pytest.raises(LicenceError, match=r"Qwen Research License.*TWOWIRE_ACCEPT_MODEL_LICENCE=qwen-research"):
        load(spoilt, device="cpu", dtype=torch.float32, licence_accepted=False)
    assert load(spoilt, device="cpu", dtype=torch.float32, licence_accepted=True).decoder.config.hidden_size == 64
    assert "Qwen Research License" in describe(spoilt).licence


def test_weights_that_nobody_marked_are_real(broken: Path, tmp_path: Path):
    edit_yaml(broken / published.DECODER_CONFIG, hf_config={"name": "Qwen2.5-3B"})
    convert(broken, tmp_path / "model", torch.float32)
    with pytest.raises(LicenceError):
        load_random(tmp_path / "model")
    assert "Qwen Research License" in (tmp_path / "model" / "LICENCE_NOTE.txt").read_text("utf-8")


def test_the_published_folder_has_to_be_converted_first(source: Path):
    with pytest.raises(CheckpointError, match="run `twowire model convert`"):
        load_random(source)


def test_a_converted_folder_that_lost_a_tensor_is_refused(spoilt: Path):
    """transformers would fill the gap with chance."""
    file = spoilt / model_folder.TOWER / "model.safetensors"
    tensors = load_file(file)
    del tensors["proj.bias"]
    tensors["proj.weight"] = torch.ones(64, 32)
    tensors["proj.scale"] = torch.ones(1)
    file.unlink()
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as error:
        load_random(spoilt)
    assert "1 missing: proj.bias" in str(error.value)
    assert "1 not known: proj.scale" in str(error.value)
    assert "1 of another shape: proj.weight" in str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", None),
        ("config.json", "{["),
        ("config.json", '{"model_type": "llama"}'),
        ("config.json", "[]"),
        ("tokenizer.json", "{}"),
        ("model.safetensors", None),
        ("model.safetensors", "short"),
        ("audio_tower/config.json", None),
        ("audio_tower/model.safetensors", None),
    ],
)
def test_a_converted_folder_with_a_bad_file_is_refused(spoilt: Path, file: str, content: str | None):
    (spoilt / file).unlink()
    if content is not None:
        (spoilt / file).write_text(content, "utf-8")
    with pytest.raises(CheckpointError, match=str(spoilt)):
        load_random(spoilt)


def test_a_tokenizer_of_another_model_is_refused(spoilt: Path):
    given = json.loads((spoilt / "tokenizer.json").read_text("utf-8"))
    for token in given["added_tokens"]:
        if token["content"] == "<|im_start|>":
            token["content"] = "<|start|>"
    replace(spoilt / "tokenizer.json", json.dumps(given))
    with pytest.raises(CheckpointError, match=r"tokenizer.json: expected <\|im_start\|> to be 151644, found None"):
        load_random(spoilt)


def test_nowhere_is_no_model(tmp_path: Path):
    with pytest.raises(CheckpointError, match="twowire model convert"):
        load_random(tmp_path / "nowhere")
