"""Callers for whom there is no slot: the ladder's file, and what Twilio is told step by step."""

import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gateway.config.fallback import load_ladder
from gateway.fallback import Greeting, Ladder, Queue, SmallerEngine, Transfer, Voicemail
from gateway.twilio import twiml
from tests.gateway.live import Line, Phone, line
from wire.bus.seam import WorkerAdvert
from wire.ids import CallId, WorkerId
from wire.settings import ConfigError

KEPT: list[Phone] = []
"""Who talks: a socket that nobody holds is closed."""
LADDER = """\
steps:
  - greeting: {say: "All our lines are busy."}
  - queue: {max_wait_s: 60, announce_every_s: 5, say: "You are number {place}."}
  - transfer: {to: "+15550123"}
  - voicemail: {max_s: 30}
"""


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    file = tmp_path / "fallback.yaml"
    file.write_text(LADDER)
    return file


def verbs(text: str) -> list[str]:
    return [element.tag for element in ET.fromstring(text)]


def words(text: str) -> list[str | None]:
    return [say.text for say in ET.fromstring(text).findall("Say")]


def redirect(text: str) -> str:
    return ET.fromstring(text).findtext("Redirect") or ""


def path_of(it: Line, url: str) -> str:
    return url.removeprefix(it.gateway.base_url)


async def talking(it: Line) -> None:
    """A caller who has the only slot."""
    phone = it.phone()
    await phone.dial()
    KEPT.append(phone)


async def turned_away(it: Line, call: str = "CA2") -> tuple[Phone, str]:
    """A second caller at a line with one slot, and what Twilio is told."""
    phone = it.phone(call)
    status, text = await phone.post("/twilio/voice")
    assert status == 200
    return phone, text


def test_a_file_gives_its_steps_in_order(ladder: Path):
    assert load_ladder(ladder).steps == (
        Greeting("All our lines are busy.", ""),
        Queue(60.0, 5.0, "You are number {place}.", ""),
        Transfer("+15550123"),
        Voicemail("Please leave a message after the tone.", 30),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("steps: []", "steps"),
        ("steps: [{queue: {}, transfer: {to: '+1555'}}]", "expected one of"),
        ("steps: [{}]", "got none"),
        ("steps: [{greeting: {}}]", "expected words to say"),
        ("steps: [{transfer: {to: 'call me'}}]", "transfer.to"),
        ("steps: [{queue: {}}, {queue: {}}]", "expected one queue"),
        ("steps: [{voicemail: {}}, {transfer: {to: '+1555'}}]", "expected it last"),
        ("steps: [{greeting: {play: 'file:///etc/passwd'}}]", "greeting.play"),
        ("steps: [{pray: {}}]", "steps.0.pray"),
        ("steps: {", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, fault: str):
    file = tmp_path / "fallback.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load_ladder(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_ladder(tmp_path / "nowhere.yaml")


def test_the_queue_divides_a_ladder():
    steps = (SmallerEngine("small"), Greeting("hello", ""), Queue(1.0, 5.0, "", ""), Transfer("+1555"))
    ladder = Ladder(steps)
    assert ladder.engines == ("small",)
    assert ladder.before_queue().steps == steps[:2]
    assert ladder.after_queue().steps == steps[3:]
    assert Ladder(steps[:2]).after_queue() == Ladder()


def test_a_ladder_that_says_nothing_is_the_busy_tone():
    assert verbs(twiml.fall_back(Ladder())) == ["Reject"]
    assert verbs(twiml.fall_back(Ladder((SmallerEngine("small"),)))) == ["Reject"]


async def test_who_finds_no_slot_is_greeted_and_told_his_place(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        _, text = await turned_away(it)
        assert verbs(text) == ["Say", "Say", "Pause", "Redirect"]
        assert [say.text for say in ET.fromstring(text).findall("Say")] == [
            "All our lines are busy.",
            "You are number 1.",
        ]
        _, text = await turned_away(it, "CA3")
        assert words(text)[-1] == "You are number 2."
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="queue"}') == 2
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="greeting"}') == 2


async def test_who_waits_is_connected_when_a_slot_is_free(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        phone, text = await turned_away(it)
        status, again = await phone.post(path_of(it, redirect(text)))
        assert (status, verbs(again)) == (200, ["Pause", "Redirect"])
        await it.hub.placement.release(CallId("CA1"))
        _, connected = await phone.post(path_of(it, redirect(again)))
        assert verbs(connected) == ["Connect"]
        assert await it.hub.line.length() == 0


async def test_a_newcomer_does_not_take_the_slot_that_another_waits_for(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        await turned_away(it)
        await it.hub.placement.release(CallId("CA1"))
        _, text = await turned_away(it, "CA3")
        assert words(text)[-1] == "You are number 2."


async def test_who_has_waited_long_enough_comes_to_the_next_steps(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        phone, _ = await turned_away(it)
        _, text = await phone.post(f"/twilio/queue?since={time.time() - 61:.0f}&told=3")
        assert verbs(text) == ["Dial", "Say", "Record", "Hangup"]
        assert await it.hub.line.length() == 0
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="voicemail"}') == 1


async def test_a_queue_address_that_is_none_of_ours_is_a_bad_request(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        assert (await it.phone().post("/twilio/queue?since=soon&told=0"))[0] == 400
        assert (await it.phone().post("/twilio/queue"))[0] == 400
        assert (await it.phone().post("/twilio/queue?since=1&told=0", signature="A" * 28))[0] == 403


async def test_a_smaller_engine_stands_in_where_the_lines_own_is_full(tmp_path: Path):
    file = tmp_path / "fallback.yaml"
    file.write_text("steps: [{engine: {name: small}}]")
    async with line(slots=1, fallback_file=file, line_engine="rule") as it:
        await talking(it)
        _, text = await turned_away(it)
        assert verbs(text) == ["Reject"]
        await it.hub.placement.advertise(WorkerAdvert(WorkerId("w2"), "small", 1, 400, 400), ttl_s=60)
        _, text = await turned_away(it, "CA3")
        assert verbs(text) == ["Connect"]
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="engine"}') == 1


async def test_an_engine_that_stands_in_needs_one_to_stand_in_for(tmp_path: Path):
    file = tmp_path / "fallback.yaml"
    file.write_text("steps: [{engine: {name: small}}]")
    with pytest.raises(ConfigError, match="TWOWIRE_LINE_ENGINE"):
        async with line(fallback_file=file):
            pass


async def test_without_a_ladder_the_refusal_is_the_busy_tone():
    async with line(slots=1) as it:
        await talking(it)
        _, text = await turned_away(it)
        assert verbs(text) == ["Reject"]
