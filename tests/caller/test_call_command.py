"""``twowire call`` on real sockets, against an application that checks every message."""

import asyncio
import json
import socket
import struct
import wave
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.caller.application import API_TOKEN, AUTH_TOKEN, Application, serving
from twowire.call_command import call
from twowire.demo import DEMO_API_TOKEN, DEMO_AUTH_TOKEN

TOKENS = ("--auth-token", AUTH_TOKEN, "--api-token", API_TOKEN)


async def twowire_call(*arguments: str, tokens: tuple[str, ...] = TOKENS) -> Result:
    """The command in a thread with an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, call, [*arguments, *tokens])


@pytest.fixture
def question(tmp_path: Path) -> str:
    """0.3 s of tone, µ-law."""
    path = tmp_path / "question.wav"
    layout = struct.pack("<HHIIHH", 7, 1, 8_000, 8_000, 1, 8)
    body = b"\x10" * 2_400
    path.write_bytes(b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + layout + b"data\x60\x09\0\0" + body)
    return str(path)


async def test_a_call_is_answered_recorded_and_reported(question: str, tmp_path: Path):
    saved = tmp_path / "call.wav"
    async with serving(Application(records_until_ended=2)) as application:
        result = await twowire_call("--play", question, "--json", "--record", str(saved), "--url", application.base_url)
    assert result.exit_code == 0, result.output
    assert application.faults == []
    assert application.events() == ["connected", "start", "mark", "mark", "stop"]
    assert application.webhooks == [("/twilio/voice", "ringing"), ("/twilio/after", "completed")]
    report = json.loads(result.stdout)
    assert report["ok"]
    assert report["after"] == ["Hangup"]
    assert report["ended_by"] == "done"
    assert [reply["by"] for reply in report["replies"]] == ["speech"]
    assert report["record"]["state"] == "ended"
    assert report["violations"] == []
    with wave.open(str(saved), "rb") as file:
        frames = sum(text["event"] == "media" for text in application.received)
        assert file.getnframes() == frames * 160


async def test_steps_are_taken_in_the_order_given_and_the_report_is_readable(question: str):
    async with serving(Application()) as application:
        steps = ("--dtmf", "1", "--play", question, "--dtmf", "#")
        result = await twowire_call(*steps, "--url", application.base_url)
    assert result.exit_code == 0, result.output
    assert application.faults == []
    lines = [line for line in result.stdout.splitlines() if "caller" in line]
    order = ["presses 1", "speaks: question.wav", "presses #"]
    assert [wanted for line in lines for wanted in order if wanted in line] == order
    assert "key pressed at" in result.stdout
    assert "beep [not heard: beep]" in result.stdout
    assert "1: 800 of 800 played, –: – of – –" in result.stdout  # missing keys are shown, not fatal
    assert "Twilio would go on with: Hangup" in result.stdout


async def test_a_barge_in_is_cleared_and_timed(question: str):
    async with serving(Application(greeting_ms=20_000)) as application:
        arguments = ("--play", question, "--barge-in-at", "0.4", "--json", "--url", application.base_url)
        result = await twowire_call(*arguments)
    assert result.exit_code == 0, result.output
    assert application.faults == []
    [barge_in] = json.loads(result.stdout)["barge_ins"]
    assert 0 <= barge_in["to_clear_s"] <= barge_in["to_silence_s"] + 0.02
    assert application.events()[:3] == ["connected", "start", "mark"]  # the greeting's mark came back at the clear


async def test_when_the_agent_leaves_the_next_verb_is_told():
    dial = "<Response><Redirect>/twilio/after</Redirect></Response>"
    application = Application(hang_up_after_answers=1, after_twiml=dial)
    async with serving(application):
        result = await twowire_call("--dtmf", "0", "--json", "--url", application.base_url)
    report = json.loads(result.stdout)
    assert report["ended_by"] == "agent"
    assert application.webhooks[1] == ("/twilio/after", "in-progress")
    assert report["after_trouble"] == "more than 5 redirects"
    assert "stop" not in application.events()


async def test_a_refused_call_exits_with_1_and_says_why():
    busy = Application(voice_twiml='<Response><Reject reason="busy"/></Response>')
    async with serving(busy):
        result = await twowire_call("--url", busy.base_url)
        assert result.exit_code == 1
        assert "not connected: Reject reason=busy (is a worker up, with a free slot?)" in result.stderr
        result = await twowire_call("--url", busy.base_url, tokens=("--auth-token", "another-token-than-this"))
        assert result.exit_code == 1
        assert "TWOWIRE_TWILIO_AUTH_TOKEN" in result.stderr
        result = await twowire_call("--url", busy.base_url.replace("127.0.0.1", "localhost"))
        assert result.exit_code == 1
        assert "--public-url" in result.stderr
        result = await twowire_call("--url", busy.base_url + "/elsewhere")
        assert result.exit_code == 1
        assert "HTTP 404" in result.stderr


async def test_an_agent_that_does_not_answer_exits_with_1(question: str):
    async with serving(Application(greeting_ms=0)) as application:
        result = await twowire_call("--hang-up-after", "0.3", "--play", question, "--url", application.base_url)
    assert result.exit_code == 1
    assert "The agent was not heard." in result.stdout


async def test_a_refused_api_token_costs_the_record_only():
    async with serving(Application(api_token="another-api-token")) as application:
        result = await twowire_call("--url", application.base_url)
    assert result.exit_code == 0, result.output
    assert "set --api-token or TWOWIRE_API_TOKEN" in result.stdout


def test_no_gateway_exits_with_3_and_names_the_address_and_the_remedy():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        result = CliRunner().invoke(call, ["--url", url])
    assert result.exit_code == 3
    assert f"cannot reach a gateway at {url}/twilio/voice" in result.stderr
    assert "start one with `twowire demo`, or give its address with --url" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--play", "gone.wav"], "--play: cannot read gone.wav"),
        (["--dtmf", "1x"], "--dtmf: expected keys out of 0-9 * # A-D"),
        (["--barge-in-at", "1"], "--barge-in-at needs a --say or --play"),
        (["--url", "127.0.0.1:8080"], "--url: expected an address that starts with http://"),
        (["--record", "/nowhere/call.wav"], "--record: cannot write /nowhere/call.wav"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_option(arguments: list[str], why: str):
    result = CliRunner().invoke(call, arguments)
    assert result.exit_code == 2
    assert why in result.stderr


def test_without_options_the_demo_is_called():
    defaults = {option.name: option.default for option in call.params}
    assert (defaults["auth_token"], defaults["api_token"]) == (DEMO_AUTH_TOKEN, DEMO_API_TOKEN)
