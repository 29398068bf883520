"""``python -m load_tests.twilio``: many calls at once through the Twilio door, over Valkey."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import aiohttp
import click
import uvloop

from load_tests.generator import Generator, Observed, Plan
from load_tests.procfs import Process, machine_ticks
from load_tests.report import Machine, Report
from load_tests.schedule import CHUNK_MS
from load_tests.stack import Stack, StackError
from wire.bus.embedded import EmbeddedValkeyError

EXIT_BROKEN = 1
EXIT_INVALID = 4
AUTH_TOKEN_VARIABLE = "TWOWIRE_TWILIO_AUTH_TOKEN"
_LOOK_AROUND_S = 1.0


def end_cleanly_when_told() -> None:
    """Let SIGTERM unwind the stack, so that what was started ends with us; the exit code is the usual 143."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def look_around() -> Machine:
    """How idle the machine is, over a second."""
    idle, total = machine_ticks()
    time.sleep(_LOOK_AROUND_S)
    idle_after, total_after = machine_ticks()
    return Machine((idle_after - idle) / max(1, total_after - total))


def measure(plan: Plan, processes: Sequence[Process], at_window: Callable[[], None] = lambda: None) -> Observed:
    """One run against a gateway that is up."""

    async def run() -> Observed:
        return await Generator(plan, processes, at_window).run()

    return uvloop.run(run())


def parse_watch(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> list[Process]:
    """``NAME=PID`` of processes to watch."""
    processes = []
    for text in given:
        name, _, pid = text.partition("=")
        if not (name and pid.isdecimal()):
            raise click.BadParameter(f"expected NAME=PID, got {text!r}")
        processes.append(Process(name, int(pid)))
    return processes


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--calls", type=click.IntRange(1, 5_000), default=100, show_default=True, help="Calls at once.")
@click.option("--seconds", type=click.FloatRange(3, 3_600), default=20, show_default=True, help="Measured time.")
@click.option(
    "--every-chunks",
    type=click.IntRange(5),
    default=7,
    show_default=True,
    help="A caller asks once in this many chunks of 0.4 s.",
)
@click.option(
    "--answer-ms",
    type=click.IntRange(20, 60_000),
    default=1_200,
    show_default=True,
    help="Length of the agent's answers, a multiple of 10.",
)
@click.option("--gateway", "gateway_url", help="Use this running gateway instead of starting all.")
@click.option("--watch", multiple=True, callback=parse_watch, metavar="NAME=PID", help="With --gateway: whose CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    calls: int,
    seconds: float,
    every_chunks: int,
    answer_ms: int,
    gateway_url: str | None,
    watch: list[Process],
    as_json: bool,
) -> None:
    """Load the Twilio door: open loop, in a process of its own, on this machine only.

    Starts Valkey, a worker with the scripted engine and a gateway, places the calls, and measures what a
    caller notices and what it costs. load_tests/README.md explains the figures.

    A running gateway (--gateway) needs a worker whose script answers markers, and its auth token in
    TWOWIRE_TWILIO_AUTH_TOKEN.

    Exit code 1: calls were refused or lost. 4: the generator was too slow for the figures to count.
    """
    if answer_ms > (every_chunks - 1) * CHUNK_MS:
        raise click.UsageError("--answer-ms: an answer must end a chunk before the next question")
    if gateway_url is not None and AUTH_TOKEN_VARIABLE not in os.environ:
        raise click.UsageError(f"--gateway needs {AUTH_TOKEN_VARIABLE} in the environment")
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a lost call is counted, not told line by line
    machine = look_around()
    stack = Stack(calls, answer_ms) if gateway_url is None else None
    try:
        with stack or nullcontext():
            plan = Plan(
                stack.gateway_url if stack else (gateway_url or "").rstrip("/"),
                stack.auth_token if stack else os.environ[AUTH_TOKEN_VARIABLE],
                calls,
                seconds,
                every_chunks,
                answer_ms,
            )
            report = Report(plan, measure(plan, stack.processes if stack else watch), machine)
    except (StackError, EmbeddedValkeyError, aiohttp.ClientError, OSError) as error:
        raise click.ClickException(str(error)) from None
    print(json.dumps(report.as_json(), indent=2) if as_json else report.as_table())
    for fault in report.faults:
        print(f"this run does not count: {fault}", file=sys.stderr)
    if report.broken:
        sys.exit(EXIT_BROKEN)
    if report.faults:
        sys.exit(EXIT_INVALID)


if __name__ == "__main__":
    main()
