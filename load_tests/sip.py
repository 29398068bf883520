"""``python -m load_tests.sip``: many calls at once through the SIP door, over Valkey."""

import json
import logging
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import aiohttp
import click

from load_tests.command import (
    CONTEXT,
    check_answer,
    end_cleanly_when_told,
    load_options,
    look_around,
    measure,
    parse_address,
    publish,
)
from load_tests.generator import Observed, Plan
from load_tests.open_files import allow_open_files
from load_tests.procfs import Process
from load_tests.schedule import FRAME_MS
from load_tests.sip_door import SipDoor
from load_tests.sip_report import SipReport
from load_tests.sip_text import Address
from load_tests.stack import Stack, StackError
from load_tests.udp_floor import Floor
from wire.bus.embedded import EmbeddedValkeyError

FLOOR_SECONDS = 5.0
_ROOT = Path(__file__).resolve().parents[1]


def floor_beside(calls: int, seconds: float = FLOOR_SECONDS) -> Floor:
    """The floor, measured in a fresh process. Raises StackError."""
    command = [sys.executable, "-m", "load_tests.udp_floor", "--calls", str(calls), "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True, cwd=_ROOT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise StackError(f"the floor could not be measured: {error}") from None
    return Floor(**json.loads(done.stdout))


@click.command(context_settings=CONTEXT)
@load_options
@click.option("--sip", "target", callback=parse_address, metavar="HOST:PORT", help="Call here instead of starting all.")
@click.option(
    "--floor/--no-floor", "with_floor", default=True, show_default=True, help="Measure the syscall floor too."
)
@click.option("--floor-only", is_flag=True, help="Measure the syscall floor and nothing else.")
def main(
    calls: int,
    seconds: float,
    every_chunks: int,
    answer_ms: int,
    gateway_url: str | None,
    watch: list[Process],
    as_json: bool,
    target: Address | None,
    with_floor: bool,
    floor_only: bool,
) -> None:
    """Load the SIP door: open loop, in a process of its own, on this machine only.

    Starts Valkey, a worker with the scripted engine and a gateway, places the calls, and measures what a
    caller notices, how evenly packets come, and what it costs. load_tests/README.md explains the figures.

    What runs already (--sip) must take calls from 127.0.0.1; with --gateway its metrics are read as well.

    Exit code 1: calls were refused or lost. 4: the generator was too slow for the figures to count.
    """
    check_answer(answer_ms, every_chunks, FRAME_MS)
    if gateway_url is not None and target is None:
        raise click.UsageError("--gateway needs --sip: where does it listen for SIP?")
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a lost call is counted, not told line by line
    allow_open_files(calls)
    stack = None if target is not None else Stack(calls, answer_ms, sip=True)
    try:
        if floor_only:
            print(json.dumps(asdict(floor_beside(calls, seconds)), indent=2))
            return
        machine = look_around()
        with stack or nullcontext():
            url = stack.gateway_url if stack else (gateway_url or "").rstrip("/")
            plan = Plan(url, calls, seconds, every_chunks, answer_ms)
            observed = Observed()
            door = SipDoor(plan, target or (stack.sip_address if stack else ("", 0)), observed.tally)
            measure(plan, door, observed, stack.processes if stack else watch)
        floor = floor_beside(calls) if with_floor else None
    except (StackError, EmbeddedValkeyError, aiohttp.ClientError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    publish(SipReport(plan, observed, machine, door.figures(), floor), as_json)


if __name__ == "__main__":
    main()
