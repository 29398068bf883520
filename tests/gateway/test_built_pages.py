"""The pages in the tree are what their sources build. ``make pages`` builds them."""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "gateway" / "web"
SOURCES = WEB / "pages_src"
STATIC = WEB / "static"
MODULES = "node_modules"
MAX_PAGE_BYTES = 60_000  # gzipped, with all it loads: a phone on a slow line shows it within a second

LOADED = re.compile(r'(?:src|href)="([^"]*)"')


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in a folder of their own, so that nothing depends on where they lie."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("building the pages needs node and npm")
    folder = tmp_path_factory.mktemp("web") / "pages_src"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns(MODULES, ".tests"))
    if (SOURCES / MODULES).is_dir():
        (folder / MODULES).symlink_to(SOURCES / MODULES)
    else:
        installed = npm(folder, "ci", "--no-audit", "--no-fund")
        if installed.returncode != 0:
            pytest.skip(f"npm ci failed, most likely there is no registry: {installed.stderr[-200:]}")
    return folder


def npm(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        ["npm", *command], cwd=folder, env=environment, check=False, text=True, capture_output=True, timeout=100
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_built_pages_are_those_of_their_sources(project: Path):
    built = npm(project, "run", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    fresh, committed = files(project.parent / "static"), files(STATIC)
    assert sorted(fresh) == sorted(committed), "run: make pages"
    assert [name for name in fresh if fresh[name] != committed[name]] == [], "run: make pages"


def test_the_tests_of_the_pages_pass(project: Path):
    for command in ("check", "test"):
        done = npm(project, "run", command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", ["index.html", "console.html"])
def test_a_page_loads_only_files_of_its_own_and_has_nothing_inline(page: str):
    html = (STATIC / page).read_text()
    loaded = LOADED.findall(html)
    assert loaded
    assert all(url.startswith("/assets/") or url == "data:," for url in loaded)
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script[^>]*>[^<]", html) == []


def test_no_script_does_what_the_policy_forbids_or_tells_where_its_source_is():
    for path in STATIC.rglob("*.*"):
        text = path.read_text()
        assert path.suffix != ".map"
        assert re.findall(r"sourceMappingURL|\beval\(|new Function\(|setAttribute\([\"'`]style", text) == [], path.name


@pytest.mark.parametrize("page", ["index.html", "console.html"])
def test_a_page_is_small(page: str):
    html = (STATIC / page).read_bytes()
    loaded = [STATIC / url.lstrip("/") for url in LOADED.findall(html.decode()) if url.startswith("/")]
    assert (
        sum(len(gzip.compress(content)) for content in (html, *(file.read_bytes() for file in loaded))) < MAX_PAGE_BYTES
    )
