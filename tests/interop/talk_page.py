"""The talk page in Chromium: what a person does there, sees and hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page

from tests.interop.audio import Samples
from tests.interop.chromium import UNTIL_S, Heard, browsing, heard_by, until

_TALKING = "['listening', 'speaking'].includes(globalThis.twowire?.state)"


class TalkPage:
    """One call from the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def captions(self) -> Locator:
        return self.page.get_by_role("log", name="Captions")

    async def talk(self) -> None:
        """Press the button, and wait for the conversation to begin."""
        await self.page.get_by_role("button", name="Talk", exact=True).click()
        await self.until_talking()

    async def until_talking(self) -> None:
        await until(self.page, _TALKING)

    async def until_caption(self, words: str, within_s: float = UNTIL_S) -> None:
        """Until somebody's caption holds the words."""
        await until(self.page, f"document.querySelector('[role=log]')?.innerText.includes({words!r})", within_s)

    async def until_speaking(self, turns: int = 1) -> None:
        """Until the agent has begun to be audible so many times since the page was loaded."""
        audible = "globalThis.twowire.events.filter((e) => e.event === 'turn' && e.state === 'audible').length"
        await until(self.page, f"{audible} >= {turns}")

    async def call(self) -> str:
        """The id of the call."""
        return str(await until(self.page, "globalThis.twowire?.call"))

    async def state(self) -> str:
        return str(await self.page.evaluate("globalThis.twowire.state"))

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Those the page got since it was loaded."""
        script = "(kind) => globalThis.twowire.events.filter((event) => event.event === kind)"
        found: list[dict[str, Any]] = await self.page.evaluate(script, kind)
        return found

    async def heard(self) -> Heard:
        return await heard_by(self.page)

    async def last_decision(self) -> str:
        """What the strip says of its newest cell to who cannot see it."""
        strip = self.page.get_by_role("slider", name="Decisions")
        await strip.focus()
        await strip.press("End")
        return await strip.get_attribute("aria-valuetext") or ""

    async def hang_up(self) -> None:
        await self.page.get_by_role("button", name="Hang up").click()
        await until(self.page, "globalThis.twowire.state === 'ended'")


@asynccontextmanager
async def talking(folder: Path, url: str, microphone: Samples) -> AsyncIterator[TalkPage]:
    """A page that has a call, which is hung up after the block if nobody did before."""
    async with browsing(folder, microphone) as page:
        await page.goto(url)
        talk = TalkPage(page)
        await talk.talk()
        yield talk
        if await talk.state() != "ended":
            await talk.hang_up()
