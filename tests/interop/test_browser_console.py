"""The operator console in a real browser, beside the talk page whose call it shows."""

import asyncio
import json
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.interop.gateways import CONSOLE_TOKEN, GatewayUnderTest
from tests.interop.talk_page import TalkPage, talking
from tests.interop.voices import microphone

pytestmark = pytest.mark.interop

QUESTION, ANSWER = "What are your opening hours?", "eight in the morning until six in the evening"
SAID = "Please hold the line for a moment."


async def log_in(page: Page, token: str) -> None:
    await page.get_by_label("Console token").fill(token)
    await page.get_by_role("button", name="Open the console").click()


@pytest.fixture
async def talk(gateway: GatewayUnderTest, tmp_path: Path) -> AsyncIterator[TalkPage]:
    """A caller who interrupts the greeting with a question, and then listens."""
    async with talking(tmp_path, gateway.url, microphone(3.0, QUESTION, 90.0)) as page:
        yield page


@pytest.fixture
async def console(gateway: GatewayUnderTest, talk: TalkPage) -> Page:
    """The console, logged in, with the page of that call, which it came to by its list."""
    page = await talk.page.context.new_page()
    await page.goto(f"{gateway.url}/console")
    await log_in(page, CONSOLE_TOKEN)
    call = await talk.call()
    await page.get_by_label("Filter the calls").fill(call)
    row = page.get_by_role("table", name="Live calls").get_by_role("row").filter(has_text="Browser")
    await expect(row).to_have_count(1)
    await row.click()
    await expect(page).to_have_url(f"{gateway.url}/console/calls/{call}")
    return page


async def test_only_the_token_opens_the_console(gateway: GatewayUnderTest, talk: TalkPage):
    page = await talk.page.context.new_page()
    await page.goto(f"{gateway.url}/console")
    await log_in(page, "not the token")
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await expect(page.get_by_role("table")).to_have_count(0)
    await log_in(page, CONSOLE_TOKEN)
    await expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    await page.reload()  # the session is a cookie
    await expect(page.get_by_role("heading", name="Calls")).to_be_visible()


async def test_the_console_shows_what_was_heard_decided_and_said(talk: TalkPage, console: Page):
    await talk.until_caption(ANSWER)
    transcript = console.get_by_role("list", name="Transcript")
    await expect(transcript).to_contain_text("opening hours", timeout=15_000)
    await expect(transcript).to_contain_text(ANSWER)
    await expect(transcript.locator("s").first).not_to_be_empty()  # the rest of the greeting
    strip = console.get_by_role("slider", name="Decisions")
    await strip.focus()
    await strip.press("End")
    said_of_cell = await strip.get_attribute("aria-valuetext") or ""
    assert "chunk" in said_of_cell
    assert "worker" in said_of_cell
    replies = console.get_by_role("region", name="Latency of each reply")
    await expect(replies.get_by_role("button").first).to_have_accessible_name(re.compile("Endpoint .* ms"))
    await console.get_by_role("button", name="Table").click()
    cells = await replies.get_by_role("row").last.get_by_role("cell").all_inner_texts()
    *parts_ms, total_ms, _ = [float(cell.split("(")[0].replace(",", "")) for cell in cells[1:]]
    assert sum(parts_ms) == pytest.approx(total_ms, rel=0.05, abs=1.0)


async def test_an_operator_speaks_mutes_and_hangs_up(talk: TalkPage, console: Page):
    await talk.until_caption(ANSWER)
    await console.get_by_role("button", name="Mute agent").click()
    await expect(console.get_by_role("button", name="Unmute agent")).to_be_visible()
    muted_s = await spoken_s(talk)
    await asyncio.sleep(1.5)
    assert await spoken_s(talk) - muted_s < 0.5, "a muted agent is not heard"
    await console.get_by_role("button", name="Unmute agent").click()
    await expect(console.get_by_role("button", name="Mute agent")).to_be_visible()
    await console.get_by_label("What the agent shall say").fill(SAID)
    await console.get_by_role("button", name="Say", exact=True).click()
    await talk.until_caption(SAID)
    await asyncio.sleep(2)
    assert await spoken_s(talk) - muted_s > 1.0
    await console.get_by_role("button", name="Hang up…").click()
    await console.get_by_role("dialog").get_by_role("button", name="Hang up").click()
    await expect(talk.page.locator("main")).to_contain_text("The operator ended the call.")


async def test_a_call_that_is_over_stays_to_be_looked_at_and_saved(
    gateway: GatewayUnderTest, talk: TalkPage, console: Page
):
    await talk.until_caption(ANSWER)
    call = await talk.call()
    await talk.hang_up()
    await expect(console.get_by_role("button", name="Hang up…")).to_be_hidden()
    await console.goto(f"{gateway.url}/console/past")
    row = console.get_by_role("table", name="Past calls").get_by_role("row")
    await console.get_by_label("Filter the calls").fill(call)
    await expect(row).to_have_count(2)  # its head, and the call
    await row.last.click()
    await expect(console.get_by_role("list", name="Transcript")).to_contain_text("We are")
    async with console.expect_download() as download:
        await console.get_by_role("link", name="Save as test case").click()
    saved = zipfile.ZipFile(await (await download.value).path())
    assert {"call.json", "events.json", "decisions.jsonl"} <= set(saved.namelist())
    record = json.loads(saved.read("call.json"))
    assert record["call"]["call"] == record["detail"]["call"] == call
    assert "what are your opening hours" in saved.read("events.json").decode()


async def spoken_s(talk: TalkPage) -> float:
    """How long the agent has sounded so far, at the caller's ear."""
    heard = await talk.heard()
    return sum(span.length_s for span in heard.utterances(heard.agent))
