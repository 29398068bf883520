"""No container engine runs in the tests: what the images install is installed here, step by step."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))


def instructions(path: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", path.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def copied(path: Path) -> list[str]:
    """What the first stage takes of the tree."""
    found: list[str] = []
    for name, rest in instructions(path):
        if name == "COPY" and not rest.startswith("--from"):
            found += rest.split()[:-1]
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_takes_what_is_there_and_what_the_build_context_lets_through(path: Path) -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for name in copied(path):
        assert (ROOT / name).exists(), name
        assert name in allowed


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_runs_as_nobody_in_particular_and_says_how_it_is(path: Path) -> None:
    steps = instructions(path)
    last = max(place for place, (name, _) in enumerate(steps) if name == "FROM")
    names = dict(steps[last:])
    assert names["USER"] == "10001:10001"
    assert "/healthz" in names["HEALTHCHECK"]
    assert names["ENTRYPOINT"] == '["twowire"]'
    images = [rest for name, rest in steps if name == "ARG" and rest.startswith("PYTHON_IMAGE")]
    assert all(re.fullmatch(r"PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+", image) for image in images)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_the_steps_of_an_image_install_a_command_that_starts(path: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "venv"
    source.mkdir()
    for name in copied(path):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "pages_src"))
        else:
            shutil.copy(ROOT / name, source / name)
    steps = instructions(path)
    defaults = dict(rest.split("=", 1) for name, rest in steps if name == "ARG" and "=" in rest)
    (run,) = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    for name, value in defaults.items():
        run = run.replace(f"${{{name}}}", value)
    run = run.replace("/opt/twowire", str(target)).replace("python -m venv", f"{sys.executable} -m venv")
    subprocess.run(run, shell=True, cwd=source, check=True, capture_output=True, timeout=500)
    (command,) = [rest for name, rest in steps if name == "CMD"]
    arguments = re.findall(r'"([^"]+)"', command)
    done = subprocess.run(
        [target / "bin" / "twowire", *arguments, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Usage: twowire" in done.stdout
    installed = {place.name.split("-")[0].lower() for place in target.glob("lib/python*/site-packages/*.dist-info")}
    assert "torch" not in installed, "neither image carries gigabytes unless it is asked to"
    assert ("aiortc" in installed) == (path.stem == "gateway")
