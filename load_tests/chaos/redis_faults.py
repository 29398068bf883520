"""What happens to Redis: killed and started again, frozen, paused, full. Calls go on, and new ones wait."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from load_tests.chaos.callers import Crowd, Heard, listen
from load_tests.chaos.fleet import Fleet, FleetPlan
from load_tests.chaos.metrics import Page, look_at, quantile
from load_tests.chaos.server import APPEND_ONLY
from load_tests.chaos.worker_faults import SCRIPT, Fault, look, undecided_chunks
from load_tests.duplex.measures import percentile

AHEAD = SCRIPT.replace("delivery: paced", "delivery: at_once")
"""The same voice from an engine that is ahead of it: what was said once need not pass Redis any more."""
_PAUSE_S = 2.0
_NEWCOMERS, _NEWCOMER_EVERY_S = 10, 0.2
_BETWEEN_S = 6.0
_FAILED_OVER_S = 6.0


async def killed(calls: int, rounds: int) -> dict[str, Any]:
    """SIGKILL and start again, with an append-only file that is written once a second."""

    async def restart(fleet: Fleet) -> None:
        fleet.redis.kill()
        await asyncio.to_thread(fleet.redis.start)

    return await _suffer(calls, rounds, restart, APPEND_ONLY, AHEAD)


async def killed_chunk_by_chunk(calls: int, rounds: int) -> dict[str, Any]:
    """The same with an engine that says each chunk when its time has come."""

    async def restart(fleet: Fleet) -> None:
        fleet.redis.kill()
        await asyncio.to_thread(fleet.redis.start)

    return await _suffer(calls, rounds, restart, APPEND_ONLY, SCRIPT)


async def paused(calls: int, rounds: int) -> dict[str, Any]:
    """The server answers nobody for two seconds."""

    async def pause(fleet: Fleet) -> None:
        with fleet.redis.client() as client:
            client.execute_command("CLIENT", "PAUSE", round(_PAUSE_S * 1_000), "ALL")
        await asyncio.sleep(_PAUSE_S)

    return await _suffer(calls, rounds, pause, (), AHEAD)


async def frozen(calls: int, rounds: int) -> dict[str, Any]:
    """SIGSTOP for two seconds: connections stand, nothing is read."""

    async def freeze(fleet: Fleet) -> None:
        fleet.redis.signal(signal.SIGSTOP)
        await asyncio.sleep(_PAUSE_S)
        fleet.redis.signal(signal.SIGCONT)

    return await _suffer(calls, rounds, freeze, (), AHEAD)


async def full(calls: int, rounds: int) -> dict[str, Any]:
    """For two seconds the server has no memory left, and evicts nothing."""

    async def fill(fleet: Fleet) -> None:
        with fleet.redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            await asyncio.sleep(_PAUSE_S)
            client.config_set("maxmemory", 0)

    return await _suffer(calls, rounds, fill, (), AHEAD)


async def master_killed(calls: int, rounds: int) -> dict[str, Any]:
    """SIGKILL of a master that Sentinels watch; they name another one."""
    del rounds  # a group has one first master

    async def kill(fleet: Fleet) -> None:
        fleet.redis.kill()

    return await _suffer(calls, 1, kill, (), AHEAD, sentinels=True)


async def master_frozen(calls: int, rounds: int) -> dict[str, Any]:
    """SIGSTOP of such a master, who comes back when another one is in his place."""
    del rounds

    async def freeze(fleet: Fleet) -> None:
        fleet.redis.signal(signal.SIGSTOP)
        await asyncio.sleep(_FAILED_OVER_S)
        fleet.redis.signal(signal.SIGCONT)

    return await _suffer(calls, 1, freeze, (), AHEAD, sentinels=True)


async def _suffer(
    calls: int,
    rounds: int,
    fault: Callable[[Fleet], Awaitable[None]],
    options: tuple[str, ...],
    script: str,
    *,
    sentinels: bool = False,
) -> dict[str, Any]:
    """Callers who listen while Redis suffers, and others who dial just then."""
    faults: list[Fault] = []
    newcomers: list[Heard] = []
    plan = FleetPlan(script, workers=2, slots=2 * calls, redis_options=options, sentinels=sentinels)
    with Fleet(plan) as fleet:
        patience_s = _FAILED_OVER_S if sentinels else 0.0
        crowd = Crowd(fleet, calls, seconds=4.0 + rounds * (_BETWEEN_S + _PAUSE_S + 0.5 + patience_s))
        await crowd.dial()
        before = await asyncio.to_thread(look_at, fleet.gateway)
        for _ in range(rounds):
            faults.append(Fault(asyncio.get_running_loop().time(), "redis"))
            arrivals = asyncio.create_task(_dial_in(fleet))
            await fault(fleet)
            newcomers += await arrivals
            await asyncio.sleep(_BETWEEN_S - _NEWCOMERS * _NEWCOMER_EVERY_S)
        after = await asyncio.to_thread(look_at, fleet.gateway)
        heard = await crowd.end()
    return _figures(heard, faults) | _gateway(before, after) | _set_up(newcomers)


async def _dial_in(fleet: Fleet) -> list[Heard]:
    callers = []
    for _ in range(_NEWCOMERS):
        callers.append(asyncio.create_task(listen(fleet, fleet.gateway, 1.0)))
        await asyncio.sleep(_NEWCOMER_EVERY_S)
    return list(await asyncio.gather(*callers))


def _figures(calls: Sequence[Heard], faults: Sequence[Fault]) -> dict[str, Any]:
    looks = [look(heard, fault) for heard in calls if heard.record for fault in faults]
    gaps = [one.gap_s for one in looks]
    return {
        "calls": len(calls),
        "lost_calls": [heard.trouble for heard in calls if not heard.live_to_the_end],
        "gap_p50_s": percentile(gaps, 0.50),
        "gap_p95_s": percentile(gaps, 0.95),
        "gap_max_s": max(gaps, default=None),
        "repeated_words": sum(one.repeated for one in looks),
        "lost_words": sum(one.lost for one in looks),
        "undecided_chunks_worst_call": max(map(undecided_chunks, calls), default=None),
        "decided_twice": sum(map(_decided_twice, calls)),
        "moves": sum(len(heard.record.get("moves", ())) for heard in calls),
    }


def _decided_twice(heard: Heard) -> int:
    """Chunks with more than one decision."""
    indexes = [decision["index"] for decision in heard.record.get("decisions", ())]
    return len(indexes) - len(set(indexes))


def _gateway(before: Page, after: Page) -> dict[str, Any]:
    return {
        "gateway_loop_lag_p99_s": quantile(before, after, "twowire_gateway_event_loop_lag_seconds", 0.99),
        "gateway_memory_grew_mib": round(after.resident_mib - before.resident_mib, 1),
    }


def _set_up(newcomers: Sequence[Heard]) -> dict[str, Any]:
    delays = [heard.set_up_s for heard in newcomers]
    return {
        "newcomers": len(newcomers),
        "newcomers_refused": [heard.trouble for heard in newcomers if not heard.live_to_the_end],
        "set_up_p50_s": percentile(delays, 0.50),
        "set_up_p95_s": percentile(delays, 0.95),
    }
