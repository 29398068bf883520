"""Coroutines of one thread, run on the loop of another."""

import asyncio
from collections.abc import Iterator

import pytest

from model_worker.duplex.audio_interaction_vllm.loop_thread import LoopThread


@pytest.fixture
def host() -> Iterator[LoopThread]:
    made = LoopThread("test")
    yield made
    made.stop()


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def breaks() -> None:
    raise LookupError("gone")


def test_a_result_comes_back_and_so_does_what_was_raised(host: LoopThread):
    assert host.wait(doubled(4)) == 8
    with pytest.raises(LookupError, match="gone"):
        host.wait(breaks())


def test_a_function_runs_where_the_loop_is(host: LoopThread):
    assert host.call(asyncio.get_running_loop) is host.call(asyncio.get_running_loop)


def test_coroutines_begin_in_the_order_in_which_they_were_given(host: LoopThread):
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    for number in range(50):
        host.begin(note(number))
    host.wait(note(50))
    assert order == list(range(51))


def test_what_is_under_way_at_the_end_is_dropped():
    host = LoopThread("test")
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("dropped")

    waiting = host.begin(waits())
    host.wait(doubled(1))
    host.stop()
    assert ended == ["dropped"]
    assert waiting.cancelled()
