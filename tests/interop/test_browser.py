"""A real browser on the talk page of ``twowire demo``: what it sends, plays and shows."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.interop.audio import Samples, Second, compare, describe
from tests.interop.chromium import RATE_HZ, Heard, Span, browsing
from tests.interop.gateways import GatewayUnderTest
from tests.interop.network_cut import cut_off, may_cut
from tests.interop.talk_page import TalkPage, talking
from tests.interop.voices import microphone
from wire.audio.resample import Resampler

pytestmark = pytest.mark.interop

QUESTION, SECOND_QUESTION = "What are your opening hours?", "What is your address?"
UNDERSTOOD = "opening hours"
ANSWER, SECOND_ANSWER = "eight in the morning until six in the evening", "twelve Mill Lane"
GREETING_RATE_HZ = 8_000
LOWERED_WITHIN_S, STOPS_WITHIN_S = 0.4, 1.3  # longer than any "mhm": what a shorter sound was, the agent cannot know
LOWERED_RMS, QUIET_RMS = 400.0, 100.0  # the agent's voice is at 3,000, 20 dB below it when lowered


def beside_greeting(heard: Heard, greeting: Samples) -> list[Second]:
    """Each second of what the page played, beside the greeting as it left the gateway in PCMU."""
    resampler = Resampler(RATE_HZ, GREETING_RATE_HZ)
    played = np.concatenate((resampler.push(heard.agent), resampler.flush()))
    return compare(played, greeting, GREETING_RATE_HZ)


def first_after(spans: list[Span], at_s: float) -> Span:
    found = next((span for span in spans if span.start_s >= at_s), None)
    assert found is not None, f"expected a voice after {at_s:.2f} s, got {spans}"
    return found


async def test_a_question_that_is_asked_in_the_page_is_answered(
    gateway: GatewayUnderTest, greeting: Samples, tmp_path: Path
):
    async with talking(tmp_path, gateway.url, microphone(7.0, QUESTION, 60.0)) as talk:
        await talk.until_caption("automated assistant")
        await talk.until_caption(UNDERSTOOD)
        await talk.until_caption(ANSWER)
        await talk.until_speaking(2)
        await asyncio.sleep(3)
        (reply,) = await talk.events("reply")
        newest = await talk.last_decision()
        heard = await talk.heard()
        call = await talk.call()
    asked, answered = heard.utterances(heard.microphone), heard.utterances(heard.agent)
    assert len(asked) == 1
    answer = first_after(answered, asked[0].end_s)
    assert answer.length_s > 2.0
    assert answer.start_s - asked[0].end_s < 2.5, f"asked {asked}, answered {answered}"
    table = beside_greeting(heard, greeting)
    assert sum(second.correlation > 0.85 for second in table) >= 4, describe(table)
    assert "speak" in newest
    assert "worker" in newest
    assert sum(seconds for _, seconds in reply["parts"]) == pytest.approx(reply["total_s"], rel=0.05)
    assert call in await gateway.calls()


async def test_speaking_over_the_agent_stops_it(gateway: GatewayUnderTest, tmp_path: Path):
    async with talking(tmp_path, gateway.url, microphone(4.0, SECOND_QUESTION, 60.0)) as talk:
        await talk.until_caption("You interrupted")
        await talk.until_caption(SECOND_ANSWER)
        struck = await talk.captions.locator("s").first.inner_text()
        turn = next(turn for turn in await talk.events("turn") if turn["end"] == "barged_in")
        heard = await talk.heard()
    (onset, *_), agent = heard.utterances(heard.microphone), heard.utterances(heard.agent)
    greeting = agent[0]
    lowered_s, stopped_s = onset.start_s + LOWERED_WITHIN_S, onset.start_s + STOPS_WITHIN_S
    assert greeting.start_s < onset.start_s - 1
    assert greeting.end_s < stopped_s, f"onset {onset}, agent {agent}"
    assert heard.rms(heard.agent, lowered_s, stopped_s) < LOWERED_RMS
    assert heard.rms(heard.agent, stopped_s, stopped_s + 0.3) < QUIET_RMS
    assert turn["stop_s"] < STOPS_WITHIN_S
    assert struck.strip(), "what the caller did not hear is struck through"


async def test_a_page_that_is_loaded_anew_goes_on_with_its_call(gateway: GatewayUnderTest, tmp_path: Path):
    async with talking(tmp_path, gateway.url, microphone(4.0, QUESTION, 60.0)) as talk:
        call = await talk.call()
        await talk.until_caption("automated assistant")
        before = await gateway.calls()
        await talk.page.reload()
        await talk.until_talking()
        assert await talk.call() == call
        await talk.until_caption("automated assistant")  # it remembers what was said
        await talk.until_caption(ANSWER)  # the microphone begins anew as well: this question was asked after it
        await asyncio.sleep(2)
        heard = await talk.heard()
        assert await gateway.calls() == before
    assert first_after(heard.utterances(heard.agent), heard.utterances(heard.microphone)[0].end_s).length_s > 1.0


@pytest.mark.skipif(not may_cut(), reason="only root can cut the network")
@pytest.mark.parametrize("seconds", [3.0, 8.0], ids=["shorter_than_anyone_notices", "long_enough_to_connect_anew"])
async def test_a_call_outlives_a_cut_of_the_network(gateway: GatewayUnderTest, tmp_path: Path, seconds: float):
    sound = microphone(4.0, QUESTION, seconds + 12.0, SECOND_QUESTION, 60.0)
    async with talking(tmp_path, gateway.url, sound) as talk:
        call = await talk.call()
        await talk.until_caption(ANSWER)
        before = await gateway.calls()
        async with cut_off(gateway.pid, gateway.http_port):
            await asyncio.sleep(seconds)
        await talk.until_talking()
        await talk.until_caption(SECOND_ANSWER, within_s=40.0)
        await asyncio.sleep(2)
        assert await talk.call() == call
        assert await gateway.calls() == before
        heard = await talk.heard()
    asked = heard.utterances(heard.microphone)
    assert first_after(heard.utterances(heard.agent), asked[-1].end_s).length_s > 1.0


async def test_a_refused_microphone_is_told_in_plain_words(gateway: GatewayUnderTest, tmp_path: Path):
    async with browsing(tmp_path, microphone(1.0), allowed=False) as page:
        await page.goto(gateway.url)
        await page.get_by_role("button", name="Talk", exact=True).click()
        advice = page.get_by_role("alert")
        await advice.get_by_role("heading", name="The microphone is not allowed").wait_for()
        assert "allow the microphone" in await advice.inner_text()
        assert await TalkPage(page).state() == "failed"


async def test_a_missing_microphone_is_told_in_plain_words(gateway: GatewayUnderTest, tmp_path: Path):
    async with browsing(tmp_path, None) as page:
        await page.goto(gateway.url)
        await page.get_by_role("button", name="Talk", exact=True).click()
        advice = page.get_by_role("alert")
        await advice.get_by_role("heading", name="No microphone was found").wait_for()
        assert "Then press Talk again" in await advice.inner_text()


async def test_whoever_hangs_up_ends_the_call(gateway: GatewayUnderTest, tmp_path: Path):
    async with talking(tmp_path, gateway.url, microphone(30.0)) as talk:
        await talk.until_speaking()
        await talk.hang_up()
        assert "You hung up." in await talk.page.locator("main").inner_text()
        await talk.page.get_by_role("button", name="Talk again").wait_for()
