"""More callers than there is room for, and so many that whatever leaks shows."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from load_tests.chaos.callers import NUMBER, Crowd, Heard, listen
from load_tests.chaos.fleet import Fleet, FleetPlan
from load_tests.chaos.metrics import Page, look_at
from load_tests.chaos.worker_faults import SCRIPT
from load_tests.duplex.measures import percentile
from twowire.caller.addresses import Addresses
from twowire.caller.session import VOICE_PATH

_CALM_S, _CROWDED_S = 8.0, 8.0
_TIMES = 3
_AGAIN_S = 2.0
_SHORT_CALL_S = 0.3
SHORT_CALLS_A_ROUND = 2_500
_AT_ONCE = 20
_SETTLE_S = 4.0


async def overload(calls: int, rounds: int) -> dict[str, Any]:
    """Every slot is taken; twice as many callers more dial, and dial again, as long as it lasts."""
    del rounds
    with Fleet(FleetPlan(SCRIPT, workers=2, slots=calls // 2)) as fleet:
        crowd = Crowd(fleet, calls // 2 * 2, seconds=_CALM_S + _CROWDED_S + 3.0)
        await crowd.dial()
        calm_from = time.time()
        await asyncio.sleep(_CALM_S)
        crowded_from = time.time()
        refusals: list[Refusal] = []
        async with aiohttp.ClientSession() as http:
            outside = [
                _dial_again(fleet, http, number, refusals, crowded_from + _CROWDED_S)
                for number in range((_TIMES - 1) * calls)
            ]
            await asyncio.gather(*outside)
        heard = await crowd.end()
    calm, crowded = _ages(heard, calm_from, crowded_from), _ages(heard, crowded_from, crowded_from + _CROWDED_S)
    calm_s, crowded_s = percentile(calm, 0.99), percentile(crowded, 0.99)
    return {
        "calls": len(heard),
        "lost_calls": [one.trouble for one in heard if not one.live_to_the_end],
        "refusals": len(refusals),
        "not_refused": sum(not one.refused for one in refusals),
        "refusal_p50_s": percentile([one.took_s for one in refusals], 0.50),
        "refusal_p99_s": percentile([one.took_s for one in refusals], 0.99),
        "refusal_max_s": max(one.took_s for one in refusals),
        "decision_p50_s": [percentile(calm, 0.50), percentile(crowded, 0.50)],
        "decision_p99_s": [calm_s, crowded_s],
        "decision_p99_ratio": round(crowded_s / calm_s, 2) if calm_s and crowded_s else None,
    }


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the webhook answered to a call that there was no room for."""

    refused: bool
    took_s: float


async def _dial_again(
    fleet: Fleet, http: aiohttp.ClientSession, number: int, refusals: list[Refusal], until: float
) -> None:
    """One caller who does not give up: a call every two seconds, each a webhook request of Twilio's."""
    addresses = Addresses(fleet.gateway.url, None, fleet.auth_token)
    await asyncio.sleep(number * _AGAIN_S / ((_TIMES - 1) * 50))
    while time.time() < until:
        params = {"CallSid": "CA" + secrets.token_hex(16), "From": NUMBER, "To": "+15550199", "CallStatus": "ringing"}
        url = addresses.public(VOICE_PATH)
        asked_at = asyncio.get_running_loop().time()
        async with http.post(url, data=params, headers=addresses.signed(url, params)) as response:
            text = await response.text()
        refusals.append(Refusal("<Reject" in text, asyncio.get_running_loop().time() - asked_at))
        await asyncio.sleep(_AGAIN_S)


def _ages(calls: Sequence[Heard], begin: float, end: float) -> list[float]:
    """How long decisions took that came between two moments (Unix seconds)."""
    return [
        decision["age_s"]
        for heard in calls
        for decision in heard.record.get("decisions", ())
        if begin <= heard.record["started_unix_s"] + decision["at_s"] < end
    ]


async def soak(calls: int, rounds: int) -> dict[str, Any]:
    """Short calls, one after the other, 2,500 a round; what is left of them in processes and in Redis."""
    del calls
    with Fleet(FleetPlan(SCRIPT, workers=1, slots=4 * _AT_ONCE)) as fleet:
        await _short_calls(fleet, 500)  # what is made once, and caches
        await asyncio.sleep(_SETTLE_S)
        before = [await asyncio.to_thread(look_at, member) for member in (fleet.gateway, *fleet.workers)]
        keys_before = _keys(fleet)
        troubles = await _short_calls(fleet, rounds * SHORT_CALLS_A_ROUND)
        await asyncio.sleep(_SETTLE_S)
        after = [await asyncio.to_thread(look_at, member) for member in (fleet.gateway, *fleet.workers)]
        keys_after = _keys(fleet)
    return {
        "calls": rounds * SHORT_CALLS_A_ROUND,
        "troubles": sorted(set(troubles)),
        **{f"gateway_{name}": change for name, change in _grown(before[0], after[0], "gateway").items()},
        **{f"worker_{name}": change for name, change in _grown(before[1], after[1], "worker").items()},
        "keys_before": keys_before,
        "keys_after": keys_after,
    }


async def _short_calls(fleet: Fleet, count: int) -> list[str]:
    gate, troubles = asyncio.Semaphore(_AT_ONCE), []

    async def one() -> None:
        async with gate:
            heard = await listen(fleet, fleet.gateway, _SHORT_CALL_S)
            if not heard.live_to_the_end:
                troubles.append(heard.trouble)

    await asyncio.gather(*(one() for _ in range(count)))
    return troubles


def _grown(before: Page, after: Page, side: str) -> dict[str, Any]:
    tasks = f"twowire_{side}_tasks"
    return {
        "memory_grew_mib": round(after.resident_mib - before.resident_mib, 1),
        "open_files": [before.open_files, after.open_files],
        "tasks": [before.families.get(tasks), after.families.get(tasks)],
    }


def _keys(fleet: Fleet) -> dict[str, int]:
    """Keys in Redis by what they are for; those of calls that are over expire by themselves."""
    counts: dict[str, int] = {}
    with fleet.redis.client() as client:
        for key in client.scan_iter(count=1_000):
            kind = key.decode().split(":")[1]
            counts[kind] = counts.get(kind, 0) + 1
        counts["leased"] = client.hlen("{twowire}:calls")
    return counts
