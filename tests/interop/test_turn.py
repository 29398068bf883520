"""Calls whose only way leads over a TURN server, over UDP and TCP, with credentials that expire."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.webrtc.turn_credentials import mint
from model_worker.tts.espeak import EspeakTts
from tests.interop.aiortc_caller import RATE_HZ, AiortcCaller, calling
from tests.interop.audio import Samples
from tests.interop.browser_line import page_token, running_line
from tests.interop.chromium import spans
from tests.interop.coturn import Coturn, start_coturn
from tests.interop.gateways import GatewayUnderTest
from tests.interop.peers import Bench
from wire.audio.resample import Resampler

pytestmark = pytest.mark.interop

WITHIN_S = 20.0


@pytest.fixture(scope="module")
def microphone() -> Samples:
    """Listens to the greeting's first words, asks for the opening hours, and listens; 48 kHz."""
    tts = EspeakTts()
    try:
        spoken = tts.synthesize("What are your opening hours?")
    finally:
        tts.close()
    resampler = Resampler(spoken.sample_rate_hz, RATE_HZ)
    words = np.concatenate((resampler.push(spoken.pcm), resampler.flush()))
    return np.concatenate((np.zeros(2 * RATE_HZ, np.int16), words))


@pytest.fixture
async def coturn(bench: Bench) -> Coturn:
    return await start_coturn(bench)


@pytest.fixture
def line_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "line"
    folder.mkdir()
    return folder


async def until_it_answers(gateway: GatewayUnderTest, caller: AiortcCaller) -> None:
    """The question arrived and was understood, and the answer is heard to its first words."""
    await gateway.agent_said(set(), "eight in the morning")
    async with asyncio.timeout(WITHIN_S):
        while len(spans(caller.heard, RATE_HZ)) < 1:
            await asyncio.sleep(0.1)
