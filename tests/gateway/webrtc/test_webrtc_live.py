"""Calls with a browser over a whole gateway: heard both ways, lost and found again, refused, given up."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import numpy as np
import pytest

import gateway.transports.webrtc_path as webrtc_path
from gateway.config.webrtc import WebRtcConfig
from gateway.events import OperatorEnded
from gateway.runner.ticker import TICK_S
from gateway.transports.webrtc_call import DEAD_S
from gateway.transports.webrtc_door import WATCH_EVERY_TICKS
from gateway.transports.webrtc_path import BrowserPath
from tests.gateway.live import API_TOKEN, Line, line
from tests.gateway.webrtc.browser import RATE_HZ, Browser, browsing
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode_ulaw
from wire.audio.resample import Resampler
from wire.messages import AudioChunk, CallClosed, CallOpened, TurnCancelled

CHUNK_S = 0.4


def speech(seconds: float, after_s: float = 2.0):
    """A man speaks, at 48 kHz; from 5.4 s of the recording on without a pause."""
    whole = Resampler(8_000, RATE_HZ).push(decode_ulaw(jfk_ulaw()))
    return whole[round(after_s * RATE_HZ) : round((after_s + seconds) * RATE_HZ)]


@asynccontextmanager
async def browser_line(slots: int = 8, **changes: Any) -> AsyncIterator[Line]:
    config = WebRtcConfig.model_validate({"open_page": True} | changes)
    async with line(slots, webrtc=config) as it:
        yield it


async def token_of(line: Line) -> str:
    url = f"{line.gateway.base_url}/api/page-tokens"
    async with line.http.post(url, json={}, headers={"Authorization": f"Bearer {API_TOKEN}"}) as response:
        assert response.status == 201
        return str((await response.json())["token"])


@asynccontextmanager
async def browser_of(line: Line) -> AsyncIterator[Browser]:
    async with browsing(line.gateway.base_url, await token_of(line)) as browser:
        yield browser


def loud(pcm: Any) -> bool:
    """Louder than comfort noise somewhere in the last 0.2 s."""
    return bool(len(pcm) and np.abs(pcm[-9_600:].astype(int)).max() > 1_000)


async def until_loud(browser: Browser) -> None:
    async with asyncio.timeout(10):
        while not loud(browser.pcm):  # noqa: ASYNC110 - the ear keeps what it hears and tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("codecs", "codec", "chunk_bytes"), [(["opus"], Codec.L16_16K, 12_800), (["PCMU"], Codec.PCMU, 3_200)]
)
async def test_a_browser_and_the_agent_hear_each_other(codecs, codec, chunk_bytes):
    async with browser_line(codecs=codecs) as line, browser_of(line) as browser:
        await browser.dial()
        browser.voice.say(speech(2.0))
        await until_loud(browser)
        await browser.said()
        (opened,) = line.worker.of(CallOpened)
        assert opened.codec is codec
        chunks = line.worker.of(AudioChunk)
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        assert {len(chunk.payload) for chunk in chunks} == {chunk_bytes}
        decision = await browser.until("decision", kind="speak")
        assert decision["call"] == opened.call
        await browser.hang_up()
        await line.worker.until(lambda received: any(isinstance(message, CallClosed) for message in received))
        assert line.worker.of(CallClosed)[0].reason == "caller_hung_up"


async def test_the_agent_is_stopped_by_the_callers_word_and_the_page_is_told():
    async with browser_line() as line, browser_of(line) as browser:
        await browser.dial()
        await until_loud(browser)
        browser.voice.say(speech(2.0, after_s=5.4))
        ended = await browser.until("turn", state="ended")
        assert ended["end"] == "barged_in"
        (cancelled,) = line.worker.of(TurnCancelled)
        assert cancelled.heard_samples / 16_000 == pytest.approx(ended["heard_s"], abs=0.001)
        await browser.said()
        assert not loud(browser.pcm)


async def test_a_page_that_is_loaded_anew_gets_its_call_back():
    async with browser_line() as line:
        async with browser_of(line) as first:
            await first.dial()
            await until_loud(first)
            session = first.session
        async with browser_of(line) as second:
            await second.dial(again=session)
            before = len(line.worker.of(AudioChunk))
            await line.worker.until(
                lambda received: sum(isinstance(message, AudioChunk) for message in received) > before + 2
            )
            assert second.session == session
            await second.until("decision")
            chunks = line.worker.of(AudioChunk)
            assert len(line.worker.of(CallOpened)) == 1, "one call"
            assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
            (cancelled,) = line.worker.of(TurnCancelled)
            assert cancelled.cause == "leg_lost", "what was said to nobody was not heard"
            await second.hang_up()


async def test_a_call_whose_browser_does_not_come_back_ends():
    async with browser_line(reattach_s=0.2) as line:
        async with browser_of(line) as browser:
            await browser.dial()
            await until_loud(browser)
        await line.worker.until(lambda received: any(isinstance(message, CallClosed) for message in received))
        assert line.worker.of(CallClosed)[0].reason == "media_timeout"
        assert line.hub.placement is not None


@pytest.mark.slow
async def test_a_browser_that_vanishes_is_missed_within_five_seconds():
    assert DEAD_S + WATCH_EVERY_TICKS * TICK_S < 5.0
    async with browser_line(reattach_s=0.0) as line, browser_of(line) as browser:
        await browser.dial()
        await until_loud(browser)
        browser.vanish()
        vanished_at = monotonic()
        await line.worker.until(lambda received: any(isinstance(message, TurnCancelled) for message in received))
        assert line.worker.of(TurnCancelled)[0].cause == "leg_lost"
        print(f"\nmissed after {monotonic() - vanished_at:.2f} s")
        await line.worker.until(lambda received: any(isinstance(message, CallClosed) for message in received))


async def test_the_page_is_told_why_the_call_ended():
    async with browser_line() as line, browser_of(line) as browser:
        await browser.dial()
        await line.worker.until(lambda received: any(isinstance(message, CallOpened) for message in received))
        (opened,) = line.worker.of(CallOpened)
        assert line.gateway.post(opened.call, OperatorEnded("hangup"))
        await browser.until("ended", outcome="operator_hangup")


async def test_a_page_that_takes_no_messages_disturbs_no_other():
    async with browser_line() as line, browser_of(line) as deaf, browser_of(line) as other:
        deaf.change_offer = lambda sdp: re.sub(r"max-message-size:\d+", "max-message-size:1", sdp)
        await deaf.dial()
        await other.dial()
        await until_loud(other)
        await until_loud(deaf)
        await other.until("decision", kind="speak")
        assert deaf.events == []
        await other.hang_up()
        await deaf.hang_up()


async def test_a_fault_while_connecting_frees_the_session(monkeypatch: pytest.MonkeyPatch):
    async def broken(self: BrowserPath, offer: object) -> None:
        raise RuntimeError("a certificate of version 7")

    monkeypatch.setattr(BrowserPath, "_connect", broken)
    async with browser_line(max_half_open=1) as line, browser_of(line) as browser:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {await token_of(line)}"}
        offer = await browser.offer()
        door = line.gateway.webrtc
        assert door is not None
        for _ in range(3):
            async with line.http.post(f"{line.gateway.base_url}/whip", data=offer, headers=headers) as response:
                assert response.status == 201
            async with asyncio.timeout(10):
                while door.sessions:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)


async def test_a_page_loaded_anew_before_its_first_path_stood_gets_what_its_own_answer_says():
    async with browser_line() as line, browser_of(line) as first, browser_of(line) as second:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {await token_of(line)}"}
        offer = (await first.offer()).replace("96 9 0 8", "0").replace("a=rtpmap:96 opus/48000/2\r\n", "")
        async with line.http.post(f"{line.gateway.base_url}/whip", data=offer, headers=headers) as response:
            assert response.status == 201
            session = response.headers["Location"]
        await second.dial(again=session)
        await until_loud(second)
        (opened,) = line.worker.of(CallOpened)
        assert opened.codec is Codec.L16_16K
        await second.hang_up()


async def test_no_slot_is_a_503_and_a_session_of_nobody_a_404():
    async with browser_line(slots=0) as line, browser_of(line) as browser:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {await token_of(line)}"}
        offer = await browser.offer()
        async with line.http.post(f"{line.gateway.base_url}/whip", data=offer, headers=headers) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        async with line.http.post(f"{line.gateway.base_url}/whip/nobody", data=offer, headers=headers) as response:
            assert response.status == 404


async def test_a_hundred_offers_that_nobody_follows_up_are_bounded_and_leave_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webrtc_path, "CONNECT_S", 4.0)
    async with browser_line(slots=200, max_half_open=64) as line, browser_of(line) as browser:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {await token_of(line)}"}
        offer = await browser.offer()
        before = asyncio.all_tasks()

        async def post() -> int:
            async with line.http.post(f"{line.gateway.base_url}/whip", data=offer, headers=headers) as response:
                return response.status

        statuses = await asyncio.gather(*(post() for _ in range(100)))
        assert statuses.count(201) == 64
        assert statuses.count(429) == 36
        door = line.gateway.webrtc
        assert door is not None
        async with asyncio.timeout(20):
            while door.sessions:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        assert await post() == 201, "there is room again"
        async with asyncio.timeout(20):
            while door.sessions or asyncio.all_tasks() - before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert line.worker.of(CallOpened) == [], "no call ever began"
