"""The chaos suite, shortened: real processes are killed, frozen and replaced under live calls.

Bounds are wide, for the machine has other work; docs/RELIABILITY.md has the figures of a quiet one.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 110.0
GAP_S = 3.0

pytestmark = [pytest.mark.redis, pytest.mark.slow]


async def chaos(*faults: str) -> dict[str, Any]:
    """The figures of some faults, each with four calls and one round."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load_tests.chaos", *faults, "--calls", "4", "--rounds", "1", "--json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, trouble = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, trouble.decode()[-2_000:]
    figures: dict[str, Any] = json.loads(out)
    return figures


def unharmed(figures: dict[str, Any]) -> None:
    """Every call lives, nothing is heard twice, nothing left out, nothing of the caller lost."""
    assert figures["lost_calls"] == []
    assert figures["repeated_words"] == figures["lost_words"] == 0
    assert figures["undecided_chunks_worst_call"] <= 1


async def test_calls_outlive_their_workers_their_redis_and_their_gateway():
    figures: dict[str, Any] = {}
    for part in await asyncio.gather(
        chaos("worker-killed", "workers-replaced"),
        chaos("worker-frozen", "redis-killed"),
        chaos("redis-paused", "gateway-killed", "gateway-told-to-leave"),
    ):
        figures |= part
    for name in ("worker-killed", "worker-frozen", "workers-replaced"):
        unharmed(figures[name])
        assert figures[name]["trials"] >= 1, name
        assert figures[name]["gap_max_s"] <= GAP_S, name
    for name in ("redis-killed", "redis-paused"):
        unharmed(figures[name])
        assert figures[name]["gap_max_s"] <= 0.4, name
        assert figures[name]["newcomers_refused"] == [], name
    killed, told = figures["gateway-killed"], figures["gateway-told-to-leave"]
    assert (killed["back"], killed["went_on_where_it_broke"]) == (4, 4), killed
    assert told["cut_calls"] == []
    assert told["refused"] == told["asked"]
    assert told["exit_code"] == 0
