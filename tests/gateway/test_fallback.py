"""Callers for whom there is no slot: the ladder's file, and what Twilio is told step by step."""

import asyncio
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NoReturn

import pytest
from twilio.request_validator import RequestValidator

from gateway.config.fallback import load_ladder
from gateway.config.webrtc import WebRtcConfig
from gateway.fallback import Greeting, Ladder, Queue, SmallerEngine, Transfer, Voicemail
from gateway.twilio import twiml
from tests.gateway.live import AUTH_TOKEN, Line, Phone, line
from wire.bus.seam import BusUnavailableError, WorkerAdvert
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


def after(text: str, verb: str) -> str:
    """Where Twilio asks when this verb is done."""
    element = ET.fromstring(text).find(verb)
    assert element is not None, text
    return element.get("action") or ""


def too_late() -> str:
    """The question of somebody who has waited for longer than a minute."""
    return f"/twilio/queue?since={time.time() - 61:.0f}&told=3"


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
        ("steps: [{transfer: {to: 'sip:@'}}]", "expected a sip: or sips: URI"),
        ("steps: [{queue: {announce_every_s: 1}}]", "queue.announce_every_s"),
        ("steps: [{queue: {max_wait_s: .inf}}]", "queue.max_wait_s"),
        ("steps: [{engine: {name: ''}}]", "engine.name"),
        ("steps: [{voicemail: {max_s: soon}}]", "voicemail.max_s"),
        ("steps: [{greeting: {say: 2026-13-45}}]", "not YAML"),
        ("", "steps: Field required"),
        ("- queue", "file: "),
        ("steps: {", "not YAML"),
        ("#" * 70_000, "larger than"),
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


def test_engines_before_anybody_waits_are_asked_at_once_and_later_ones_in_their_turn():
    hello, queue, human = Greeting("hello", ""), Queue(1.0, 5.0, "", ""), Transfer("+1555")
    small, tiny = SmallerEngine("small"), SmallerEngine("tiny")
    ladder = Ladder((small, hello, queue, tiny, human))
    assert ladder.engines == ("small", "tiny")
    assert ladder.engines_at_once == ("small",)
    assert ladder.in_turn == (hello, queue, tiny, human)
    assert ladder.in_turn[ladder.after_queue() :] == (tiny, human)
    assert Ladder((hello, small)).engines_at_once == ("small",), "who can be served needs no excuse"
    assert Ladder((human, small)).engines_at_once == ()


def test_without_steps_there_is_nothing_to_take():
    assert Ladder().in_turn == ()
    assert Ladder((SmallerEngine("small"),)).in_turn == ()
    assert Ladder((Transfer("+1555"),)).after_queue() == 0


def test_words_are_escaped():
    text = twiml.wait((), Queue(60.0, 5.0, "<Hangup/> {place} & {other}", ""), 3, "http://g/queue?since=1&told=0")
    assert words(text) == ["<Hangup/> 3 & {other}"]


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
        _, text = await phone.post(too_late())
        assert verbs(text) == ["Dial"]
        assert ET.fromstring(text).findtext("Dial/Number") == "+15550123"
        assert await it.hub.line.length() == 0
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="transfer"}') == 1


async def test_whom_nobody_answers_leaves_a_message_and_whom_somebody_did_does_not(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        phone, _ = await turned_away(it)
        _, text = await phone.post(too_late())
        ended = path_of(it, after(text, "Dial"))
        _, text = await phone.post(ended, DialCallStatus="completed", CallStatus="in-progress")
        assert verbs(text) == ["Hangup"]
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="voicemail"}') == 0
        _, text = await phone.post(ended, DialCallStatus="no-answer", CallStatus="in-progress")
        assert verbs(text) == ["Say", "Record", "Hangup"]
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="voicemail"}') == 1


async def test_a_message_that_was_taken_is_the_end_of_the_call(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        phone, _ = await turned_away(it)
        _, text = await phone.post("/twilio/step?step=3", DialCallStatus="busy", CallStatus="in-progress")
        taken = path_of(it, after(text, "Record"))
        status, text = await phone.post(taken, RecordingUrl="https://api.twilio.com/RE1", CallStatus="in-progress")
        assert (status, verbs(text)) == (200, ["Hangup"])


async def test_who_hung_up_while_it_rang_does_not_join_the_queue(tmp_path: Path):
    file = tmp_path / "fallback.yaml"
    file.write_text("steps: [{transfer: {to: '+15550123'}}, {queue: {}}]")
    async with line(slots=1, fallback_file=file) as it:
        await talking(it)
        phone, text = await turned_away(it)
        assert verbs(text) == ["Dial"]
        ended = path_of(it, after(text, "Dial"))
        _, text = await phone.post(ended, DialCallStatus="no-answer", CallStatus="completed")
        assert (verbs(text), await it.hub.line.length()) == (["Hangup"], 0)
        _, text = await phone.post(ended, DialCallStatus="no-answer", CallStatus="in-progress")
        assert (verbs(text), await it.hub.line.length()) == (["Say", "Pause", "Redirect"], 1)


async def test_an_engine_behind_the_queue_serves_who_has_waited_in_vain(tmp_path: Path):
    file = tmp_path / "fallback.yaml"
    file.write_text("steps: [{queue: {max_wait_s: 60}}, {greeting: {say: 'Our helper:'}}, {engine: {name: small}}]")
    async with line(slots=1, fallback_file=file, line_engine="rule") as it:
        await talking(it)
        await it.hub.placement.advertise(WorkerAdvert(WorkerId("w2"), "small", 1, 400, 400), ttl_s=60)
        phone, text = await turned_away(it)
        assert verbs(text) == ["Say", "Pause", "Redirect"], "it waits for the line's own engine first"
        _, text = await phone.post(too_late())
        assert (verbs(text), words(text)) == (["Say", "Redirect"], ["Our helper:"])
        _, text = await phone.post(path_of(it, redirect(text)))
        assert verbs(text) == ["Connect"]
        assert await it.metric('twowire_gateway_fallbacks_total{door="twilio",step="engine"}') == 1
        assert await it.metric('twowire_gateway_calls_refused_total{door="twilio",reason="no_slot"}') == 1
        late, _ = await turned_away(it, "CA3")
        _, text = await late.post("/twilio/step?step=2")
        assert verbs(text) == ["Hangup"], "a call that was answered is not rejected"


async def test_while_the_bus_is_away_nobody_waits_but_callers_are_sent_on(
    ladder: Path, monkeypatch: pytest.MonkeyPatch
):
    async def away(*_: object) -> NoReturn:
        raise BusUnavailableError("away")

    monkeypatch.setattr("gateway.runner.hub.SETUP_WAIT_S", 0.0)
    async with line(slots=1, fallback_file=ladder) as it:
        monkeypatch.setattr(it.hub.placement, "lease", away)
        for asked in ("ask", "length", "leave"):
            monkeypatch.setattr(it.hub.line, asked, away)
        phone, text = await turned_away(it)
        assert (verbs(text), words(text)) == (["Say", "Dial"], ["All our lines are busy."])
        _, text = await phone.post(f"/twilio/queue?since={time.time() - 10:.0f}&told=0")
        assert verbs(text) == ["Pause", "Redirect"], "who waits already waits on, and is told nothing false"


async def test_a_gateway_that_drains_refuses_though_others_wait(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        await talking(it)
        await turned_away(it)
        drain = asyncio.create_task(it.gateway.drain())
        await asyncio.sleep(0)
        _, text = await turned_away(it, "CA3")
        assert verbs(text) == ["Reject"]
        drain.cancel()


async def test_a_queue_address_that_is_none_of_ours_is_a_bad_request(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        assert (await it.phone().post("/twilio/queue?since=soon&told=0"))[0] == 400
        assert (await it.phone().post("/twilio/queue"))[0] == 400
        assert (await it.phone().post("/twilio/queue?since=1&told=0", signature="A" * 28))[0] == 403
        assert (await it.phone().post("/twilio/step?step=last"))[0] == 400
        assert (await it.phone().post("/twilio/step"))[0] == 400
        assert (await it.phone().post("/twilio/step?step=1", signature="A" * 28))[0] == 403


async def test_a_signature_is_good_for_one_step_only(ladder: Path):
    async with line(slots=1, fallback_file=ladder) as it:
        phone = it.phone()
        url = it.gateway.base_url + "/twilio/step?step=2"
        signature = RequestValidator(AUTH_TOKEN).compute_signature(url, phone.params())
        assert (await phone.post("/twilio/step?step=2", signature=signature))[0] == 200
        assert (await phone.post("/twilio/step?step=3", signature=signature))[0] == 403


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


async def test_a_worker_that_does_not_speak_the_callers_language_is_not_asked():
    async with line(language="de") as it:  # the worker of the tests speaks English
        _, text = await turned_away(it)
        assert verbs(text) == ["Reject"]


async def test_without_a_ladder_the_refusal_is_the_busy_tone_within_a_fifth_of_a_second():
    async with line(slots=1) as it:
        await talking(it)
        took_s = []
        for number in range(5):
            begun = time.perf_counter()
            _, text = await turned_away(it, f"CA{number + 2}")
            took_s.append(time.perf_counter() - begun)
            assert verbs(text) == ["Reject"]
        assert min(took_s) < 0.2, "the best of five: other work on this machine is not the gateway's"


@pytest.mark.parametrize(("engine", "status"), [("small", 201), ("missing", 503)])
async def test_a_browser_gets_the_smaller_engine_wherever_it_stands_or_is_asked_to_come_again(
    tmp_path: Path, engine: str, status: int
):
    pytest.importorskip("aiortc")
    from tests.gateway.webrtc.test_webrtc_live import browser_of, token_of

    file = tmp_path / "fallback.yaml"
    file.write_text(f"steps: [{{queue: {{}}}}, {{engine: {{name: {engine}}}}}]")
    browsers = WebRtcConfig.model_validate({"open_page": True})
    async with line(slots=0, fallback_file=file, line_engine="rule", webrtc=browsers) as it, browser_of(it) as browser:
        await it.hub.placement.advertise(WorkerAdvert(WorkerId("w2"), "small", 1, 400, 400), ttl_s=60)
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {await token_of(it)}"}
        offer = await browser.offer()
        async with it.http.post(f"{it.gateway.base_url}/whip", data=offer, headers=headers) as response:
            assert response.status == status
            assert ("Retry-After" in response.headers) is (status == 503)
        counted = await it.metric('twowire_gateway_fallbacks_total{door="webrtc",step="engine"}')
        assert counted == (1 if status == 201 else 0)
        assert await it.hub.line.length() == 0
