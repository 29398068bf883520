"""The gateway as a process, and the bench of foreign peers around it."""

import asyncio
import os
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """``twowire demo`` as a process of its own, or the system that TWOWIRE_INTEROP_TARGET names."""
    if TARGET_VARIABLE in os.environ:
        host, _, port = os.environ[TARGET_VARIABLE].rpartition(":")
        yield Target(host, int(port))
        return
    free = free_port()
    made = Bench(tmp_path_factory.mktemp("gateway"))
    command = [str(ROOT / ".venv" / "bin" / "twowire"), "demo", "--port", "0", "--sip-port", str(free)]
    settings = {"PYTHONUNBUFFERED": "1"}
    peer = made.start("gateway", *command, cwd=ROOT, environment=settings)
    try:
        asyncio.run(peer.until("Ctrl-C ends it", START_S))
        yield Target(LOOPBACK, free)
        assert peer.running, f"the gateway ended by itself\n{peer.tail()}"
    finally:
        made.stop()
