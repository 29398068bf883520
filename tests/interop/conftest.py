"""The gateway as a process, and the bench of foreign peers around it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import LOOPBACK, ROOT, Bench, free_port
from tests.interop.sipp import Target

TARGET_VARIABLE = "TWOWIRE_INTEROP_TARGET"  # host:port of another system, to compare with
START_S = 60.0

_bench = pytest.StashKey[Bench]()


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Peers of one test; all ended after it. Their logs stay in the test's folder and are shown when it fails."""
    made = Bench(tmp_path)
    request.node.stash[_bench] = made
    yield made
    made.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    made = item.stash.get(_bench, None)
    if report.failed and made is not None:
        report.sections.append((f"peers (logs in {made.folder})", made.report()))
    return report


@contextmanager
def running_gateway(folder: Path, *arguments: str) -> Iterator[Target]:
    """``twowire demo`` as a process of its own, or the system that TWOWIRE_INTEROP_TARGET names."""
    if TARGET_VARIABLE in os.environ:
        host, _, number = os.environ[TARGET_VARIABLE].rpartition(":")
        yield Target(host, int(number))
        return
    made = Bench(folder)
    port = free_port()
    command = [str(ROOT / ".venv" / "bin" / "twowire"), "demo", "--port", "0", "--sip-port", str(port), *arguments]
    peer = made.start("gateway", *command, cwd=ROOT, environment={"PYTHONUNBUFFERED": "1"})
    try:
        asyncio.run(peer.until("Ctrl-C ends it", START_S))
        yield Target(LOOPBACK, port)
        assert peer.running, f"the gateway ended by itself\n{peer.tail()}"
    finally:
        made.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The system under test, one for all tests."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as target:
        yield target


@pytest.fixture(scope="module")
def second_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Another one, for messages that the first would rightly take for repetitions."""
    with running_gateway(tmp_path_factory.mktemp("second-gateway")) as target:
        yield target
