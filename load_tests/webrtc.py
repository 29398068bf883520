"""``python -m load_tests.webrtc``: many calls at once through the browser door, over Valkey, and on bare aiortc."""

import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import aiohttp
import click

from load_tests.bare_aiortc import WHIP_PATH
from load_tests.command import (
    CONTEXT,
    check_answer,
    end_cleanly_when_told,
    load_options,
    look_around,
    measure,
    publish,
)
from load_tests.generator import Observed, Plan
from load_tests.open_files import allow_open_files
from load_tests.procfs import Process
from load_tests.schedule import FRAME_MS
from load_tests.stack import READY_WITHIN_S, Stack, StackError, free_ports, is_ready
from load_tests.webrtc_door import Line, WebRtcDoor
from load_tests.webrtc_report import BARE, BareRun, WebRtcReport
from load_tests.webrtc_sound import voice
from wire.bus.embedded import HOST, EmbeddedValkeyError

API_TOKEN_VARIABLE = "TWOWIRE_API_TOKEN"
BARE_CALLS = 5  # on two cores bare aiortc keeps pace with as many, and with ten no more (measured 2026-11)
_TOKEN_LIFE_S = 3_600
_ROOT = Path(__file__).resolve().parents[1]


def page_token(gateway_url: str, api_token: str) -> str:
    """A token that lets the calls of a run in. Raises StackError."""
    request = urllib.request.Request(
        gateway_url + "/api/page-tokens",
        data=json.dumps({"ttl_s": _TOKEN_LIFE_S}).encode(),
        headers={"Authorization": f"Bearer {api_token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(json.load(response)["token"])
    except (urllib.error.URLError, OSError, KeyError, ValueError) as error:
        raise StackError(f"the gateway gave no page token: {error}") from None


def bare_beside(plan: Plan, line: Line) -> BareRun:
    """The same callers against bare aiortc, in a fresh process. Raises StackError."""
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "load_tests.bare_aiortc", "--port", str(port)]
    server = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not is_ready(url):
            if server.poll() is not None or time.monotonic() > give_up_at:
                raise StackError("bare aiortc did not start")
            time.sleep(0.05)
        # Of a question it echoes the one loud frame, and no events.
        plan = replace(plan, gateway_url="", answer_ms=FRAME_MS)
        observed = Observed()
        door = WebRtcDoor(plan, replace(line, whip_url=url + WHIP_PATH, token="", events=False), observed.tally)
        measure(plan, door, observed, [Process(BARE, server.pid)])
        return BareRun(plan, observed, door.figures())
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@click.command(context_settings=CONTEXT)
@load_options
@click.option("--codec", type=click.Choice(["opus", "pcmu"]), default="opus", show_default=True, help="What is spoken.")
@click.option(
    "--loss", type=click.FloatRange(0, 50), default=0.0, show_default=True, help="Percent of callers' packets to lose."
)
@click.option("--events/--no-events", default=True, show_default=True, help="Read the call's events, as the page does.")
@click.option("--bare/--no-bare", "with_bare", default=True, show_default=True, help="Measure bare aiortc, too.")
@click.option(
    "--bare-calls",
    type=click.IntRange(1, 100),
    default=BARE_CALLS,
    show_default=True,
    help="Calls at once on bare aiortc, at most --calls.",
)
def main(
    calls: int,
    seconds: float,
    every_chunks: int,
    answer_ms: int,
    gateway_url: str | None,
    watch: list[Process],
    as_json: bool,
    codec: str,
    loss: float,
    events: bool,
    with_bare: bool,
    bare_calls: int,
) -> None:
    """Load the browser door: open loop, in a process of its own, on this machine only.

    Starts Valkey, a worker with the scripted engine and a gateway, places the calls, and measures what a
    caller notices, how evenly packets come, and what it costs; then the same callers against an echo on
    bare aiortc. load_tests/README.md explains the figures.

    A running gateway (--gateway) needs a worker whose script answers markers, and its API token in
    TWOWIRE_API_TOKEN.

    Exit code 1: calls were refused or lost. 4: the generator was too slow for the figures to count.
    """
    check_answer(answer_ms, every_chunks, FRAME_MS)
    if gateway_url is not None and API_TOKEN_VARIABLE not in os.environ:
        raise click.UsageError(f"--gateway needs {API_TOKEN_VARIABLE} in the environment")
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a lost call is counted, not told line by line
    allow_open_files(calls)
    stack = Stack(calls, answer_ms, webrtc=True) if gateway_url is None else None
    try:
        machine = look_around()
        with stack or nullcontext():
            url = stack.gateway_url if stack else (gateway_url or "").rstrip("/")
            token = page_token(url, stack.api_token if stack else os.environ[API_TOKEN_VARIABLE])
            plan = Plan(url, calls, seconds, every_chunks, answer_ms)
            line = Line(url + WHIP_PATH, voice(codec), token, events, loss / 100)
            observed = Observed()
            door = WebRtcDoor(plan, line, observed.tally)
            measure(plan, door, observed, stack.processes if stack else watch)
        bare = bare_beside(replace(plan, calls=min(calls, bare_calls)), line) if with_bare else None
    except (StackError, EmbeddedValkeyError, aiohttp.ClientError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    publish(WebRtcReport(plan, observed, machine, line, door.figures(), bare), as_json)


if __name__ == "__main__":
    main()
