"""Leases and one-time tokens: the same promises in one process and over Redis."""

import asyncio

from tests.wire.bus.conftest import Carrier
from wire.bus.seam import Lease, Placement, Wish, WorkerAdvert
from wire.ids import CallId, WorkerId

TTL_S = 30.0


def advert(worker: str, slots: int, agents: tuple[str, ...] = ()) -> WorkerAdvert:
    return WorkerAdvert(WorkerId(worker), "scripted", slots, 400, 1035, agents=agents)


async def lease(placement: Placement, call: str, agent: str = "") -> str | None:
    held = await placement.lease(CallId(call), TTL_S, Wish(agent=agent))
    return held.worker if held else None


async def test_a_lease_tells_what_the_worker_offers(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 1), TTL_S)
    assert await placement.lease(CallId("c1"), TTL_S) == Lease(CallId("c1"), WorkerId("w1"), "scripted", 400, 1035)


async def test_no_worker_means_no_lease(carrier: Carrier):
    assert await lease(carrier.gateway("g1").placement, "c1") is None


async def test_gateways_that_lease_at_once_never_fill_a_slot_twice(carrier: Carrier):
    placements = [carrier.gateway("g1").placement, carrier.gateway("g2").placement]
    for name, slots in (("w1", 5), ("w2", 3), ("w3", 2)):
        await carrier.worker(name).placement.advertise(advert(name, slots), TTL_S)
    held = await asyncio.gather(*(lease(placements[n % 2], f"c{n}") for n in range(40)))
    assert sorted(worker for worker in held if worker) == ["w1"] * 5 + ["w2"] * 3 + ["w3"] * 2


async def test_the_worker_with_the_most_free_slots_is_taken(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 2), TTL_S)
    await placement.advertise(advert("w2", 4), TTL_S)
    assert [await lease(placement, f"c{n}") for n in range(2)] == ["w2", "w2"]
    assert {await lease(placement, f"c{n}") for n in (2, 3)} == {"w1", "w2"}


async def test_a_call_that_asks_again_gets_the_same_slot(carrier: Carrier):
    first, second = carrier.gateway("g1").placement, carrier.gateway("g2").placement
    await first.advertise(advert("w1", 1), TTL_S)
    assert await lease(first, "c1") == "w1"
    await first.advertise(advert("w2", 9), TTL_S)
    assert await lease(second, "c1") == "w1"
    assert await lease(second, "c2") == "w2"


async def test_a_slot_given_back_is_free_at_once(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 1), TTL_S)
    assert await lease(placement, "c1") == "w1"
    assert await lease(placement, "c2") is None
    await placement.release(CallId("c1"))
    await placement.release(CallId("unknown"))
    assert await lease(placement, "c2") == "w1"


async def test_a_lease_that_is_not_renewed_ends(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 2), 100)
    await lease(placement, "c1")
    await lease(placement, "c2")
    await carrier.pass_time(20)
    await placement.renew([CallId("c1"), CallId("unknown")], TTL_S)
    await carrier.pass_time(20)
    assert await lease(placement, "c3") == "w1"
    assert await lease(placement, "c4") is None


async def test_a_worker_without_a_heartbeat_gets_no_call_and_its_calls_another_worker(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 5), 10)
    assert await lease(placement, "c1") == "w1"
    await carrier.pass_time(11)
    assert await lease(placement, "c2") is None
    await placement.advertise(advert("w2", 5), 10)
    assert await lease(placement, "c1") == "w2"


async def test_a_worker_that_missed_heartbeats_comes_back_with_its_calls(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 2), 5)
    await lease(placement, "c1")
    await carrier.pass_time(6)
    assert await lease(placement, "c2") is None
    await placement.advertise(advert("w1", 2), 5)
    assert await lease(placement, "c2") == "w1"
    assert await lease(placement, "c3") is None


async def test_a_withdrawn_worker_gets_no_call_and_keeps_those_it_has(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 2), TTL_S)
    await lease(placement, "c1")
    await placement.withdraw(WorkerId("w1"))
    assert await lease(placement, "c2") is None
    await placement.renew([CallId("c1")], TTL_S)
    await placement.advertise(advert("w1", 2), TTL_S)  # it changed its mind: the lease still counts
    assert await lease(placement, "c2") == "w1"
    assert await lease(placement, "c3") is None


async def test_a_call_goes_to_a_worker_that_plays_its_agent(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("any", 1), TTL_S)
    await placement.advertise(advert("clinic", 5, agents=("clinic", "dentist")), TTL_S)
    assert await lease(placement, "c1", "dentist") == "clinic"
    assert await lease(placement, "c2", "bakery") == "any"
    assert await lease(placement, "c3", "bakery") is None
    assert await lease(placement, "c4") == "clinic"


async def test_a_token_is_good_for_one_caller_across_gateways(carrier: Carrier):
    first, second = carrier.gateway("g1").tokens, carrier.gateway("g2").tokens
    tried = await asyncio.gather(*(tokens.spend("nonce", 60) for tokens in (first, second) * 5))
    assert sorted(tried) == [False] * 9 + [True]
    await carrier.pass_time(59)
    assert not await second.spend("nonce", 60)
    assert await second.spend("another", 60)


async def test_a_spent_token_is_forgotten_after_its_time(carrier: Carrier):
    tokens = carrier.gateway("g1").tokens
    await tokens.spend("nonce", 60)
    await carrier.pass_time(61)
    assert await tokens.spend("nonce", 60)
