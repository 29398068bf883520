"""``twowire model``, as somebody types it."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twowire.model_command import model


def run(*words: object) -> Result:
    result = CliRunner().invoke(model, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_random_convert_show(tmp_path: Path):
    published, folder = tmp_path / "published", tmp_path / "model"
    assert run("random", published, "--published", "--seed", 3).exit_code == 0
    converted = run("convert", published, folder, "--dtype", "float32")
    assert converted.exit_code == 0
    shown = run("show", folder)
    assert shown.output == converted.output
    assert "random weights, F32" in shown.output
    assert "19.5 M parameters: 2 layers of 64, vocabulary 151,936" in shown.output
    assert "512 bytes per token" in shown.output
    assert "no licence" in shown.output

    again = run("convert", published, folder)
    assert again.exit_code == 1
    assert "holds a model already" in again.output
    assert "BF16" in run("convert", published, folder, "--overwrite").output

    assert "not empty" in run("random", published, "--published").output
    assert "twowire model convert" in run("show", published).output


def test_a_random_model_is_a_folder_at_once(tmp_path: Path):
    assert run("random", tmp_path / "model").exit_code == 0
    assert json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))["twowire_random_weights"] is True
    assert "holds a model already" in run("random", tmp_path / "model").output


def test_faults_are_told_without_a_traceback(tmp_path: Path):
    empty = run("convert", tmp_path, tmp_path / "model")
    assert empty.exit_code == 1
    assert empty.output.startswith("Error: ")
    assert "model_config.yaml" in empty.output


def test_without_torch_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "model_worker.duplex.audio_interaction.model_folder", None)
    result = run("show", tmp_path)
    assert result.exit_code == 1
    assert "pip install 'twowire[gpu]'" in result.output
