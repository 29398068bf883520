"""Who waits for a slot is served in the order in which he came; the same in one process and over Redis."""

import pytest
from redis.asyncio import Redis

from tests.wire.bus.conftest import Carrier
from wire import keys
from wire.bus.redis_waiting_line import RedisWaitingLine
from wire.bus.waiting_line import GONE_AFTER_S, LocalWaitingLine
from wire.ids import CallId


async def test_places_are_those_in_which_callers_came_at_whichever_gateway(carrier: Carrier):
    first, second = carrier.gateway("g1").line, carrier.gateway("g2").line
    assert await first.ask(CallId("c1")) == 0
    assert await second.ask(CallId("c2")) == 1
    assert await first.ask(CallId("c1")) == 0
    assert await second.length() == 2


async def test_who_leaves_makes_the_others_move_up(carrier: Carrier):
    line = carrier.gateway("g1").line
    for name in ("c1", "c2", "c3"):
        await line.ask(CallId(name))
    await line.leave(CallId("c1"))
    await line.leave(CallId("unknown"))
    assert [await line.ask(CallId(name)) for name in ("c2", "c3")] == [0, 1]


async def test_an_empty_line_is_empty(carrier: Carrier):
    assert await carrier.gateway("g1").line.length() == 0


async def test_who_has_not_asked_for_a_minute_is_gone_and_comes_last_when_he_asks_again():
    now = 0.0
    line = LocalWaitingLine(lambda: now)
    await line.ask(CallId("c1"))
    now = 30.0
    await line.ask(CallId("c2"))
    now = 61.0
    assert await line.length() == 1
    assert await line.ask(CallId("c1")) == 1


@pytest.mark.redis
async def test_over_redis_too_who_has_not_asked_for_a_minute_is_gone(admin: Redis, redis_url: str):
    line = RedisWaitingLine(admin, redis_url)
    for name in ("c1", "c2"):
        await line.ask(CallId(name))
    await admin.zincrby(keys.WAITING_ASKED, -GONE_AFTER_S, "c1")
    assert await line.ask(CallId("c2")) == 0
    assert await line.ask(CallId("c1")) == 1
