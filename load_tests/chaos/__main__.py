"""``python -m load_tests.chaos``: break what can break, and say what callers heard."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click

from load_tests.chaos import crowds, gateway_faults, hours, redis_faults, worker_faults
from load_tests.command import CONTEXT, end_cleanly_when_told

FAULTS: dict[str, Callable[[int, int], Coroutine[Any, Any, dict[str, Any]]]] = {
    "worker-killed": worker_faults.kill,
    "worker-frozen": worker_faults.freeze,
    "workers-replaced": worker_faults.rolling,
    "worker-slow": worker_faults.slow,
    "worker-slow-alone": worker_faults.slow_alone,
    "redis-killed": redis_faults.killed,
    "redis-killed-chunk-by-chunk": redis_faults.killed_chunk_by_chunk,
    "redis-master-killed": redis_faults.master_killed,
    "redis-master-frozen": redis_faults.master_frozen,
    "redis-paused": redis_faults.paused,
    "redis-frozen": redis_faults.frozen,
    "redis-full": redis_faults.full,
    "gateway-told-to-leave": gateway_faults.told_to_leave,
    "gateway-killed": gateway_faults.killed,
    "overload": crowds.overload,
    "soak": crowds.soak,
    "hour-of-silence": hours.of_silence,
    "hour-of-speech": hours.of_speech,
}


@click.command(context_settings=CONTEXT)
@click.argument("faults", nargs=-1, type=click.Choice(sorted(FAULTS)))
@click.option("--calls", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 50), default=4, show_default=True, help="How often a worker is hit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(faults: tuple[str, ...], calls: int, rounds: int, as_json: bool) -> None:
    """FAULTS, or all of them, one after the other; each on a fleet of its own."""
    end_cleanly_when_told()
    figures = {}
    for name in faults or FAULTS:
        began = time.monotonic()
        figures[name] = asyncio.run(FAULTS[name](calls, rounds)) | {"took_s": round(time.monotonic() - began, 1)}
        if not as_json:
            click.echo(f"{name}: {json.dumps(figures[name], default=str)}")
    if as_json:
        click.echo(json.dumps(figures, indent=1, default=str))


if __name__ == "__main__":
    main()
