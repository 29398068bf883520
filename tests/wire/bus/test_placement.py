"""Leases and one-time tokens: the same promises in one process and over Redis."""

import asyncio

import pytest

from tests.wire.bus.conftest import Carrier
from wire.bus.redis_streams import Side, open_redis
from wire.bus.seam import Lease, Placement, Wish, WorkerAdvert
from wire.ids import CallId, GatewayId, WorkerId

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


FULL = WorkerAdvert(WorkerId("w1"), "duplex", 9, 400, 1035, languages=("en", "de"), agents=("desk",), zone="a")


@pytest.mark.parametrize(
    ("wish", "served"),
    [
        (Wish(), True),
        (Wish(engine="duplex"), True),
        (Wish(engine="scripted"), False),
        (Wish(language="de"), True),
        (Wish(language="fr"), False),
        (Wish(agent="desk"), True),
        (Wish(agent="clinic"), False),
        (Wish(chunk_ms=400, first_chunk_ms=1035), True),
        (Wish(chunk_ms=80), False),
        (Wish(first_chunk_ms=400), False),
        (Wish(zone="b"), True),
        (Wish("desk", "duplex", "en", 400, 1035, "a"), True),
        (Wish("desk", "duplex", "en", 400, 400, "a"), False),
    ],
)
async def test_a_worker_is_taken_that_can_do_all_that_is_wished(carrier: Carrier, wish: Wish, served: bool):
    placement = carrier.gateway("g1").placement
    await placement.advertise(FULL, TTL_S)
    assert (await placement.lease(CallId("c1"), TTL_S, wish) is not None) is served


async def wished(placement: Placement, call: str, wish: Wish) -> str | None:
    held = await placement.lease(CallId(call), TTL_S, wish)
    return held.worker if held else None


def zoned(worker: str, slots: int, zone: str) -> WorkerAdvert:
    return WorkerAdvert(WorkerId(worker), "scripted", slots, 400, 400, zone=zone)


async def test_workers_of_the_zone_are_preferred_not_required(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    for offer in (zoned("a1", 1, "a"), zoned("a2", 2, "a"), zoned("b1", 9, "b"), zoned("none", 8, "")):
        await placement.advertise(offer, TTL_S)
    held = [await wished(placement, f"c{n}", Wish(zone="a")) for n in range(5)]
    assert sorted(held[:3], key=str) == ["a1", "a2", "a2"]
    assert held[3:] == ["b1", "b1"]
    assert await wished(placement, "c9", Wish()) == "none"


async def test_a_call_is_moved_at_once_and_its_old_slot_is_free(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 1), TTL_S)
    assert await lease(placement, "c1") == "w1"
    await placement.advertise(advert("w2", 1), TTL_S)
    assert await wished(placement, "c1", Wish(instead_of=WorkerId("w1"))) == "w2"
    assert await lease(placement, "c2") == "w1"
    assert await lease(placement, "c3") is None
    await placement.release(CallId("c1"))
    assert await lease(placement, "c3") == "w2"


async def test_a_call_keeps_its_slot_while_nobody_else_can_have_it(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 1), TTL_S)
    await placement.advertise(advert("other", 9, agents=("clinic",)), TTL_S)
    assert await lease(placement, "c1", "desk") == "w1"
    assert await wished(placement, "c1", Wish(agent="desk", instead_of=WorkerId("w1"))) is None
    assert await lease(placement, "c2", "desk") is None  # the slot is not given away
    await placement.advertise(advert("w2", 1), TTL_S)
    assert await wished(placement, "c1", Wish(agent="desk", instead_of=WorkerId("w1"))) == "w2"


async def test_a_suspect_is_offered_to_nobody_until_its_next_heartbeat(carrier: Carrier):
    first, second = carrier.gateway("g1").placement, carrier.gateway("g2").placement
    await first.advertise(advert("w1", 9), TTL_S)
    await first.advertise(advert("w2", 2), TTL_S)
    assert [await lease(first, f"c{n}") for n in (1, 2)] == ["w1", "w1"]
    assert await wished(first, "c1", Wish(instead_of=WorkerId("w1"), suspect=True)) == "w2"
    assert await lease(second, "c3") == "w2"
    assert await lease(second, "c4") is None
    await first.advertise(advert("w1", 9), TTL_S)
    assert await lease(second, "c4") == "w1"


async def test_a_suspect_that_nobody_can_stand_in_for_is_a_suspect_all_the_same(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    await placement.advertise(advert("w1", 9), TTL_S)
    await lease(placement, "c1")
    assert await wished(placement, "c1", Wish(instead_of=WorkerId("w1"), suspect=True)) is None
    assert await lease(placement, "c2") is None
    await placement.advertise(advert("w1", 1), TTL_S)  # it lives, and the call still has its slot
    assert await lease(placement, "c2") is None
    assert await lease(placement, "c1") == "w1"


async def test_a_suspect_that_never_was_is_no_worker(carrier: Carrier):
    placement = carrier.gateway("g1").placement
    assert await wished(placement, "c1", Wish(instead_of=WorkerId("ghost"), suspect=True)) is None
    await placement.advertise(advert("w1", 1), TTL_S)
    assert await wished(placement, "c1", Wish(instead_of=WorkerId("ghost"), suspect=True)) == "w1"


async def test_a_call_that_somebody_has_moved_already_gets_that_lease(carrier: Carrier):
    first, second = carrier.gateway("g1").placement, carrier.gateway("g2").placement
    for name, slots in (("w1", 9), ("w2", 5), ("w3", 5)):
        await first.advertise(advert(name, slots), TTL_S)
    assert await lease(first, "c1") == "w1"
    moved = await wished(second, "c1", Wish(instead_of=WorkerId("w1")))
    assert moved in ("w2", "w3")
    assert await wished(first, "c1", Wish(instead_of=WorkerId("w1"))) == moved


async def test_a_call_moved_to_a_worker_that_died_is_moved_on(carrier: Carrier):
    first, second = carrier.gateway("g1").placement, carrier.gateway("g2").placement
    await first.advertise(advert("w1", 1), 100)
    assert await lease(first, "c1") == "w1"
    await first.advertise(advert("w2", 1), 10)
    assert await wished(second, "c1", Wish(instead_of=WorkerId("w1"))) == "w2"
    await carrier.pass_time(11)
    await first.advertise(advert("w3", 1), 100)
    assert await wished(first, "c1", Wish(instead_of=WorkerId("w1"))) == "w3"


async def test_gateways_that_move_calls_at_once_never_fill_a_slot_twice(carrier: Carrier):
    placements = [carrier.gateway(f"g{n}").placement for n in range(4)]
    await placements[0].advertise(advert("dead", 20), TTL_S)
    calls = [f"c{n}" for n in range(20)]
    assert {await lease(placements[n % 4], call) for n, call in enumerate(calls)} == {"dead"}
    for name, slots in (("w1", 5), ("w2", 3), ("w3", 2)):
        await placements[0].advertise(advert(name, slots), TTL_S)
    wish = Wish(instead_of=WorkerId("dead"), suspect=True)
    twice = [(n, call) for n, call in enumerate(calls)] * 2  # two gateways may want to move one call
    moved = await asyncio.gather(
        *(wished(placements[(n + turn) % 4], call, wish) for turn, (n, call) in enumerate(twice))
    )
    by_call = {call: {moved[n], moved[n + 20]} for n, call in enumerate(calls)}
    assert sum(by_call[call] == {None} for call in calls) == 10
    assert all(len(workers) == 1 for workers in by_call.values())
    held = [next(iter(workers)) for workers in by_call.values()]
    assert sorted(str(worker) for worker in held if worker) == ["w1"] * 5 + ["w2"] * 3 + ["w3"] * 2
    assert await lease(placements[0], "one more") is None
    await placements[0].advertise(advert("dead", 20), TTL_S)  # it was not: the ten that stayed have their slots
    free = [await lease(placements[1], f"late{n}") for n in range(11)]
    assert free == ["dead"] * 10 + [None]


@pytest.mark.redis
async def test_a_renewal_tells_which_calls_others_hold_by_now(redis_url: str):
    first, second = (open_redis(redis_url, GatewayId(name), Side.GATEWAY) for name in ("g1", "g2"))
    mine, theirs = first.placement, second.placement
    await mine.advertise(advert("w1", 9), TTL_S)
    assert [await lease(mine, call) for call in ("c1", "c2")] == ["w1", "w1"]
    assert await mine.renew([CallId("c1"), CallId("c2")], TTL_S) == []
    await mine.advertise(advert("w2", 9), TTL_S)
    assert await wished(theirs, "c1", Wish(instead_of=WorkerId("w1"))) == "w2"
    assert await mine.renew([CallId("c1"), CallId("c2"), CallId("unknown")], TTL_S) == [CallId("c1")]
    assert await theirs.renew([CallId("c1")], TTL_S) == []
    assert await wished(mine, "c1", Wish(instead_of=WorkerId("w1"))) == "w2"  # the newer lease is the call's
    assert await mine.renew([CallId("c1"), CallId("c2")], TTL_S) == []
    await asyncio.gather(first.bus.close(), second.bus.close())


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
