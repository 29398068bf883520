"""States of live calls: the same promises in one process and over Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from wire import keys
from wire.bus.call_states import CallStates, LocalStates
from wire.bus.redis_connection import connect
from wire.bus.redis_states import RedisStates
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

A, B, C = CallId("a"), CallId("b"), CallId("c")


@dataclass
class Kept:
    """States as two gateways see them, and a way to let their time pass."""

    states: CallStates
    others: CallStates
    pass_time: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.redis)])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    if request.param == "local":
        clock = [1_000.0]
        states = LocalStates(lambda: clock[0])

        async def pass_time(seconds: float) -> None:
            clock[0] += seconds

        yield Kept(states, states, pass_time)
        return
    url: str = request.getfixturevalue("redis_url")
    admin = connect(url, "admin")
    mine, theirs = RedisStates(url, "g1"), RedisStates(url, "g2")

    async def age(seconds: float) -> None:
        for key in await admin.keys(keys.live_call("*")):
            await admin.pexpire(key, await admin.pttl(key) - round(seconds * 1_000))

    yield Kept(mine, theirs, age)
    await mine.close()
    await theirs.close()
    await admin.aclose()


async def test_a_state_comes_back_as_it_was_at_any_gateway(kept: Kept):
    state = bytes(range(256)) * 256
    await kept.states.put({A: state, B: b""}, 60.0)
    assert await kept.others.get(A) == state
    assert await kept.others.get(B) == b""
    assert await kept.others.get(C) is None


async def test_the_newest_state_takes_the_place_of_the_one_before(kept: Kept):
    await kept.states.put({A: b"first", B: b"first"}, 60.0)
    await kept.others.put({A: b"second"}, 60.0)
    assert [await kept.states.get(call) for call in (A, B)] == [b"second", b"first"]


async def test_a_state_that_is_not_kept_up_is_forgotten(kept: Kept):
    await kept.states.put({A: b"first", B: b"first"}, 60.0)
    await kept.pass_time(40.0)
    await kept.states.put({A: b"second"}, 60.0)
    await kept.pass_time(25.0)
    assert [await kept.states.get(call) for call in (A, B)] == [b"second", None]
    await kept.pass_time(36.0)
    assert await kept.states.get(A) is None


async def test_nothing_to_keep_is_no_fault(kept: Kept):
    await kept.states.put({}, 60.0)
    assert await kept.states.get(A) is None


async def test_in_one_process_what_ran_out_takes_no_memory():
    clock = [0.0]
    states = LocalStates(lambda: clock[0])
    for n in range(100):
        clock[0] = float(n)
        await states.put({CallId(str(n)): bytes(10)}, 2.0)
    assert len(states._states) == 2
    await states.close()
    assert await states.get(CallId("99")) is None


@pytest.mark.redis
async def test_redis_lets_a_state_expire_by_itself(redis_url: str, admin: Redis):
    states = RedisStates(redis_url, "g1")
    await states.put({A: b"state"}, 60.0)
    assert 50_000 < await admin.pttl(keys.live_call(A)) <= 60_000
    await states.put({A: b"state"}, 0.5)
    assert 0 < await admin.pttl(keys.live_call(A)) <= 500
    await states.close()


async def test_a_server_that_is_not_there_is_named_without_its_password():
    states = RedisStates("redis://:secret@127.0.0.1:1/0", "g1")
    for attempt in (states.put({A: b"state"}, 60.0), states.get(A)):
        with pytest.raises(BusUnavailableError, match=r"127\.0\.0\.1:1") as raised:
            await attempt
        assert "secret" not in str(raised.value)
    await states.close()


async def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(BusUnavailableError):
        RedisStates("http://127.0.0.1", "g1")
