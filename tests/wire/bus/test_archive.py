"""Past calls, the same promises in one process and over Redis; and what only one of them can promise."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from wire import keys
from wire.bus.archive import ArchivedCall, CallArchive, LocalArchive
from wire.bus.redis_archive import RedisArchive
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

EVER = float("inf")
WEEK_S = 7 * 86_400.0


def call(name: str, started_unix_s: float, story: bytes = b"story") -> ArchivedCall:
    return ArchivedCall(CallId(name), started_unix_s, name.encode(), story)


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.redis)])
async def archive(request: pytest.FixtureRequest) -> AsyncIterator[CallArchive]:
    if request.param == "local":
        yield LocalArchive()
        return
    over_redis = RedisArchive(request.getfixturevalue("redis_url"), "g1", WEEK_S)
    yield over_redis
    await over_redis.close()


@pytest.fixture
async def over_redis(redis_url: str) -> AsyncIterator[RedisArchive]:
    archive = RedisArchive(redis_url, "g1", WEEK_S, max_listed=3)
    yield archive
    await archive.close()


async def test_a_call_comes_back_as_it_was(archive: CallArchive):
    story = bytes(range(256)) * 100
    await archive.put(call("c1", 1_000.0, story))
    assert await archive.get(CallId("c1")) == story
    assert await archive.get(CallId("c2")) is None


async def test_an_empty_archive_lists_nothing(archive: CallArchive):
    assert await archive.newest(EVER, 10) == []


async def test_the_latest_comes_first_page_by_page(archive: CallArchive):
    for n in (2, 5, 1, 4, 3):
        await archive.put(call(f"c{n}", 1_700_000_000.25 + n))
    assert await archive.newest(EVER, 2) == [b"c5", b"c4"]
    assert await archive.newest(1_700_000_004.25, 2) == [b"c3", b"c2"]
    assert await archive.newest(1_700_000_002.25, 2) == [b"c1"]
    assert await archive.newest(1_700_000_001.25, 2) == []


async def test_a_call_of_the_same_name_replaces_the_first(archive: CallArchive):
    await archive.put(call("c1", 1_000.0, b"first"))
    await archive.put(call("c1", 1_001.0, b"second"))
    assert await archive.get(CallId("c1")) == b"second"
    assert await archive.newest(EVER, 10) == [b"c1"]


async def test_in_one_process_the_oldest_make_room_by_count_and_by_size():
    by_count = LocalArchive(max_calls=2)
    for n in (3, 1, 2):
        await by_count.put(call(f"c{n}", n))
    assert await by_count.newest(EVER, 10) == [b"c3", b"c2"]
    assert await by_count.get(CallId("c1")) is None
    by_size = LocalArchive(max_bytes=100)
    for n in range(5):
        await by_size.put(call(f"c{n}", n, bytes(40)))
    assert await by_size.newest(EVER, 10) == [b"c4", b"c3"]
    await by_size.put(call("large", 9, bytes(200)))
    assert await by_size.newest(EVER, 10) == []  # it does not fit by itself
    await by_size.put(call("c6", 6))
    assert await by_size.newest(EVER, 10) == [b"c6"]


@pytest.mark.redis
async def test_redis_forgets_a_call_when_its_time_is_over(over_redis: RedisArchive, admin: Redis):
    await over_redis.put(call("c1", 1_000.0))
    left_ms = await admin.pttl(keys.past_call("c1"))
    assert WEEK_S * 1_000 - 60_000 < left_ms <= WEEK_S * 1_000
    await admin.delete(keys.past_call("c1"))  # as the server does then
    assert await over_redis.newest(EVER, 10) == []
    await over_redis.put(call("c2", 1_000.0 + WEEK_S + 1))
    assert await admin.zrange(keys.PAST_CALLS, 0, -1) == [b"c2"]


@pytest.mark.redis
async def test_the_list_in_redis_is_bounded(over_redis: RedisArchive, admin: Redis):
    for n in range(5):
        await over_redis.put(call(f"c{n}", n))
    assert await over_redis.newest(EVER, 10) == [b"c4", b"c3", b"c2"]
    assert await over_redis.get(CallId("c0")) == b"story"
    assert 0 < await admin.pttl(keys.PAST_CALLS) <= WEEK_S * 1_000


@pytest.mark.redis
async def test_gateways_share_the_archive(over_redis: RedisArchive, redis_url: str):
    other = RedisArchive(redis_url, "g2", WEEK_S)
    await other.put(call("c1", 1.0))
    assert await over_redis.get(CallId("c1")) == b"story"
    await other.close()


@pytest.mark.redis
async def test_many_at_once_wait_their_turn(over_redis: RedisArchive, redis_url: str):
    await asyncio.gather(*(over_redis.put(call(f"c{n}", n, bytes(50_000))) for n in range(100)))
    assert await over_redis.newest(EVER, 1) == [b"c99"]


async def test_a_server_that_is_not_there_is_named_without_its_password():
    archive = RedisArchive("redis://:secret@127.0.0.1:1/0", "g1", WEEK_S)
    for attempt in (archive.put(call("c1", 1.0)), archive.get(CallId("c1")), archive.newest(EVER, 1)):
        with pytest.raises(BusUnavailableError, match=r"127\.0\.0\.1:1") as raised:
            await attempt
        assert "secret" not in str(raised.value)
    await archive.close()


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(BusUnavailableError):
        RedisArchive("http://127.0.0.1", "g1", WEEK_S)
