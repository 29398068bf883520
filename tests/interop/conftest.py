"""The gateway as a process, and the bench of foreign peers around it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_worker.tts.espeak import EspeakTts
from tests.interop.audio import Samples
from tests.interop.baresip import host_address
from tests.interop.gateways import GatewayUnderTest, running_demo, running_trunks
from tests.interop.greeting import agreed_greeting
from tests.interop.peers import Bench
from twowire.caller.speech import speak
from wire.audio.g711 import decode_ulaw

GREETING_S = 10.0

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
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayUnderTest]:
    """``twowire demo``, one for all tests."""
    with running_demo(tmp_path_factory.mktemp("gateway")) as target:
        yield target


@pytest.fixture(scope="module")
def second_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayUnderTest]:
    """Another one, for messages that the first would rightly take for repetitions."""
    with running_demo(tmp_path_factory.mktemp("second-gateway")) as target:
        yield target


@pytest.fixture(scope="session")
def trunks(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[GatewayUnderTest]:
    """``twowire serve`` with TLS, passwords and SRTP; see ``running_trunks`` for who may call how."""
    with running_trunks(tmp_path_factory.mktemp("trunks"), valkey_url, host_address()) as target:
        yield target


@pytest.fixture(scope="session")
def greeting(gateway: GatewayUnderTest) -> Samples:
    """The agent's first words, as they leave the gateway in PCMU at 8 kHz."""
    return asyncio.run(agreed_greeting(gateway, GREETING_S))


@pytest.fixture(scope="session")
def question() -> Samples:
    """A caller who listens for a while, asks for the opening hours, and listens again; 8 kHz."""
    tts = EspeakTts()
    try:
        words = decode_ulaw(speak("What are your opening hours?", tts))
    finally:
        tts.close()
    return np.concatenate((np.zeros(2 * 8_000, np.int16), words, np.zeros(30 * 8_000, np.int16)))
