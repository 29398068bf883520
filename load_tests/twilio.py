"""``python -m load_tests.twilio``: many calls at once through the Twilio door, over Valkey."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import aiohttp
import click

from load_tests.command import CONTEXT, check_answer, end_cleanly_when_told, load_options, look_around, publish
from load_tests.command import measure as measure_door
from load_tests.generator import Observed, Plan
from load_tests.procfs import Process
from load_tests.report import Report
from load_tests.stack import Stack, StackError
from load_tests.twilio_door import TwilioDoor
from wire.bus.embedded import EmbeddedValkeyError

AUTH_TOKEN_VARIABLE = "TWOWIRE_TWILIO_AUTH_TOKEN"


def measure(
    plan: Plan, auth_token: str, processes: Sequence[Process], at_window: Callable[[], None] = lambda: None
) -> Observed:
    """One run of Twilio calls against a gateway that is up."""
    observed = Observed()
    return measure_door(plan, TwilioDoor(plan, auth_token, observed.tally), observed, processes, at_window)


@click.command(context_settings=CONTEXT)
@load_options
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
    check_answer(answer_ms, every_chunks, 10)
    if gateway_url is not None and AUTH_TOKEN_VARIABLE not in os.environ:
        raise click.UsageError(f"--gateway needs {AUTH_TOKEN_VARIABLE} in the environment")
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a lost call is counted, not told line by line
    machine = look_around()
    stack = Stack(calls, answer_ms) if gateway_url is None else None
    try:
        with stack or nullcontext():
            url = stack.gateway_url if stack else (gateway_url or "").rstrip("/")
            auth_token = stack.auth_token if stack else os.environ[AUTH_TOKEN_VARIABLE]
            plan = Plan(url, calls, seconds, every_chunks, answer_ms)
            report = Report(plan, measure(plan, auth_token, stack.processes if stack else watch), machine)
    except (StackError, EmbeddedValkeyError, aiohttp.ClientError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    publish(report, as_json)


if __name__ == "__main__":
    main()
