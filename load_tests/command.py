"""What the commands of the load tests share: their options, their way to end, their output."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import uvloop

from load_tests.generator import CallerT, Door, Generator, Observed, Plan
from load_tests.procfs import Process, machine_ticks
from load_tests.report import Machine, Report
from load_tests.schedule import CHUNK_MS

EXIT_BROKEN = 1
EXIT_INVALID = 4
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_LOOK_AROUND_S = 1.0

Command = TypeVar("Command", bound=Callable[..., Any])


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


def parse_watch(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> list[Process]:
    """``NAME=PID`` of processes to watch."""
    processes = []
    for text in given:
        name, _, pid = text.partition("=")
        if not (name and pid.isdecimal()):
            raise click.BadParameter(f"expected NAME=PID, got {text!r}")
        processes.append(Process(name, int(pid)))
    return processes


def parse_address(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, int] | None:
    """``HOST:PORT`` with an IPv4 address."""
    if given is None:
        return None
    host, _, port = given.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise click.BadParameter(f"expected HOST:PORT, got {given!r}")
    return host, int(port)


def load_options(command: Command) -> Command:
    """The options that every load test has: how many calls, how long, what they ask, whom to watch."""
    options = (
        click.option("--calls", type=click.IntRange(1, 5_000), default=100, show_default=True, help="Calls at once."),
        click.option(
            "--seconds", type=click.FloatRange(3, 3_600), default=20, show_default=True, help="Measured time."
        ),
        click.option(
            "--every-chunks",
            type=click.IntRange(5),
            default=7,
            show_default=True,
            help="A caller asks once in this many chunks of 0.4 s.",
        ),
        click.option(
            "--answer-ms",
            type=click.IntRange(20, 60_000),
            default=1_200,
            show_default=True,
            help="Length of the agent's answers; a multiple of 20, for Twilio of 10.",
        ),
        click.option("--gateway", "gateway_url", help="Use this running gateway instead of starting all."),
        click.option(
            "--watch", multiple=True, callback=parse_watch, metavar="NAME=PID", help="With --gateway: whose CPU."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_answer(answer_ms: int, every_chunks: int, multiple_of_ms: int) -> None:
    """Raises click.UsageError when answers would run into questions, or end within what a caller counts."""
    if answer_ms > (every_chunks - 1) * CHUNK_MS:
        raise click.UsageError("--answer-ms: an answer must end a chunk before the next question")
    if answer_ms % multiple_of_ms:
        raise click.UsageError(f"--answer-ms: expected a multiple of {multiple_of_ms}, got {answer_ms}")


def measure(
    plan: Plan,
    door: Door[CallerT],
    observed: Observed,
    processes: Sequence[Process],
    at_window: Callable[[], None] = lambda: None,
) -> Observed:
    """One run against a gateway that is up."""

    async def run() -> Observed:
        return await Generator(plan, door, observed, processes, at_window).run()

    return uvloop.run(run())


def publish(report: Report, as_json: bool) -> None:
    """Print a report and leave with the exit code that belongs to it."""
    print(json.dumps(report.as_json(), indent=2) if as_json else report.as_table())
    for fault in report.faults:
        print(f"this run does not count: {fault}", file=sys.stderr)
    if report.broken:
        sys.exit(EXIT_BROKEN)
    if report.faults:
        sys.exit(EXIT_INVALID)
