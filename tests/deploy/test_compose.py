"""The compose file without an engine that could run it: its form by the published schema, its sense by ours."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from gateway.config import GatewayConfig
from model_worker.config import WorkerConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
OURS: dict[str, type[BaseSettings]] = {"gateway": GatewayConfig, "worker": WorkerConfig, "worker-gpu": WorkerConfig}


def test_it_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted((DEPLOY / "docker").glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_the_linter_of_dockerfiles_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--format", "json", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("service", OURS)
def test_what_it_sets_are_settings(service: str) -> None:
    names = {name.removeprefix("TWOWIRE_").lower() for name in SERVICES[service]["environment"]}
    assert names <= set(OURS[service].model_fields)


@pytest.mark.parametrize("service", OURS)
def test_callers_are_let_finish(service: str) -> None:
    drain_s = float(SERVICES[service]["environment"]["TWOWIRE_DRAIN_LIMIT_S"])
    assert float(SERVICES[service]["stop_grace_period"].removesuffix("s")) > drain_s


def test_the_gpu_worker_s_drain_is_the_worker_s() -> None:
    assert SERVICES["worker-gpu"]["environment"].items() >= {"TWOWIRE_DRAIN_LIMIT_S": "600"}.items()


def test_every_variable_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    explained = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert used == explained


def test_no_service_runs_as_root_with_all_that_root_may_or_on_an_image_that_changes() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert re.fullmatch(r"[a-z/-]+:(local|v?\d+\.\d+\.\d+(-\w+)?)", service["image"]), name


def test_the_files_that_it_mounts_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_dir(), source


def test_only_the_gateway_is_reached_from_elsewhere() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert name == "gateway" or port.startswith("127.0.0.1:"), name
