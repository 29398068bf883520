"""The live feed: who watches sees everything in order, who does not read loses the oldest, and no call waits."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from gateway.effects import Effect, NoteEnded, NoteMuted, NoteTurnOpened, SendAudio, SendUp
from gateway.runner.feed import LIST_EVERY_S, MAX_EVENTS, MAX_SOUNDS, LiveFeed
from gateway.runner.record import CallRecord
from gateway.runner.watch_queue import WatchQueue
from gateway.seams import LegQuality
from tests.gateway.calls import CALL
from tests.gateway.records import TURN, barged_in, chunk, decided, record, small_call
from tests.sim.footprint import footprint_bytes
from wire.ids import CallId, GatewayId, WorkerId
from wire.messages import CallOpened, Voice

LINE = LegQuality(received=95, lost=5, jitter_s=0.01, buffer_s=0.06, round_trip_s=0.1, mos=3.9)


class Studio:
    """A feed and one call that a test moves on by hand."""

    def __init__(self) -> None:
        self.record = record()
        self.records: dict[CallId, CallRecord] = {CALL: self.record}
        self.asked: list[CallId] = []
        self.unix_s = 1_000.0
        self.feed = LiveFeed(self.records, self.quality, lambda: self.unix_s)

    def quality(self, call: CallId) -> LegQuality | None:
        self.asked.append(call)
        return LINE

    def happen(self, *effects: Effect) -> None:
        for effect in effects:
            self.record.note(effect)
            self.feed.observe(self.record, effect)

    def end(self, reason: str = "caller_hung_up", duration_s: float = 9.0) -> None:
        """As the session does it: the observers see the effect before the record says so."""
        self.happen(NoteEnded(reason, duration_s))
        self.record.state, self.record.outcome, self.record.duration_s = "ended", reason, duration_s


@pytest.fixture
async def studio():
    it = Studio()
    yield it
    it.feed.close()


def kinds(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


async def test_a_watcher_gets_the_call_first_and_then_what_happens(studio: Studio):
    events = studio.feed.subscribe(CALL)
    (first,) = events.drain_nowait()
    assert (first["event"], first["call"]["call"]) == ("call", "CA1")
    studio.happen(*small_call())
    assert kinds(events.drain_nowait()) == [
        "levels",
        "decision",
        "levels",
        "missing",
        "words",
        "turn",
        "call",
        "words",
        "turn",
        "call",
        "reply",
        "levels",
        "levels",
        "decision",
        "key",
        "turn",
        "words",
        "call",
        "muted",
        "call",
    ]


async def test_what_was_before_the_subscription_is_left_to_the_story(studio: Studio):
    studio.happen(*small_call())
    events = studio.feed.subscribe(CALL)
    studio.happen(chunk(3))
    _, caller = events.drain_nowait()
    assert (caller["voice"], caller["start_s"], len(caller["levels"])) == ("caller", 1.2, 8)


async def test_levels_of_speech_that_was_taken_back_are_told_again_as_silence(studio: Studio):
    events = studio.feed.subscribe(CALL)
    studio.happen(NoteTurnOpened(TURN, 1.0), SendAudio(b"\x80" * 6_400, at_s=1.0), chunk(0))
    events.drain_nowait()
    studio.happen(barged_in(), chunk(1))
    agent = [event for event in events.drain_nowait() if event.get("voice") == "agent" and event["event"] == "levels"]
    assert [(event["start_s"], event["levels"]) for event in agent] == [(1.6, [0] * 4)]


async def test_a_call_that_nobody_watches_builds_no_events(studio: Studio):
    events = studio.feed.subscribe(CallId("another"))
    studio.happen(*small_call())
    assert events.drain_nowait() == []


async def test_watchers_of_one_call_share_its_events(studio: Studio):
    one, other = studio.feed.subscribe(CALL), studio.feed.subscribe(CALL)
    studio.happen(decided(0))
    assert one.drain_nowait()[-1] is other.drain_nowait()[-1]


async def test_a_watcher_who_never_reads_loses_the_oldest_and_is_told_how_many(studio: Studio):
    events = studio.feed.subscribe(CALL)
    studio.happen(*(decided(index) for index in range(10_000)))
    dropped, *rest = events.drain_nowait()
    assert dropped["event"] == "dropped"
    assert len(rest) == MAX_EVENTS
    kept = [event["index"] for event in rest if event["event"] == "decision"]
    assert kept == list(range(kept[0], 10_000))
    assert dropped["count"] == len(studio.record.qualities) * 2 + 1 + 10_000 - MAX_EVENTS
    assert "dropped" not in kinds(events.drain_nowait())


async def test_a_hundred_dead_watchers_take_bounded_memory_and_leave_the_call_alone(studio: Studio):
    dead = [studio.feed.subscribe(CALL) for _ in range(100)]
    studio.happen(*(decided(index) for index in range(MAX_EVENTS)))
    full_bytes = footprint_bytes(dead)
    studio.happen(*(decided(index) for index in range(MAX_EVENTS, MAX_EVENTS + 10_000)))
    assert footprint_bytes(dead) <= 1.1 * full_bytes
    assert full_bytes < 3_000_000  # a thousand events that all share, and as many references each
    assert len(studio.record.decisions) == 9_000


async def test_waiting_ends_with_the_next_event(studio: Studio):
    events = studio.feed.subscribe(CALL)
    events.drain_nowait()
    waiting = asyncio.create_task(events.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    studio.happen(decided(0))
    assert kinds(await waiting) == ["decision"]


async def test_a_feed_is_over_when_its_call_has_ended(studio: Studio):
    events = studio.feed.subscribe(CALL)
    studio.happen(decided(0))
    studio.end()
    seen = [event async for event in events]
    assert kinds(seen) == ["call", "decision", "ended", "call"]
    assert (seen[-2]["outcome"], seen[-2]["at_s"], seen[-1]["call"]["state"]) == ("caller_hung_up", 9.0, "ended")
    assert await events.get() == []
    assert studio.feed.watchers == 0


async def test_a_call_that_broke_without_a_last_word_ends_for_its_watchers_too(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
):
    beat = _held_timer(monkeypatch)
    events = studio.feed.subscribe(CALL)
    studio.record.state, studio.record.outcome = "ended", "fault"
    studio.unix_s += 7.0
    beat()
    assert [(event["event"], event.get("at_s")) async for event in events] == [
        ("call", None),
        ("ended", 7.0),
        ("call", None),
    ]


async def test_a_call_that_is_over_already_gives_one_line_and_is_over(studio: Studio):
    studio.end()
    assert kinds([event async for event in studio.feed.subscribe(CALL)]) == ["call"]
    assert [sound async for sound in studio.feed.listen(CALL)] == []


async def test_who_subscribes_before_the_call_begins_gets_its_first_line_when_it_does(studio: Studio):
    del studio.records[CALL]
    events = studio.feed.subscribe(CALL)
    assert events.drain_nowait() == []
    studio.records[CALL] = studio.record
    opened = CallOpened(CALL, 0, 0, GatewayId("g1"), studio.record.setup.codec, "front-desk")
    studio.happen(SendUp(opened, WorkerId("w1")))
    assert kinds(events.drain_nowait()) == ["call"]


async def test_a_watcher_who_left_is_fed_no_more(studio: Studio):
    events, stays = studio.feed.subscribe(CALL), studio.feed.subscribe(CALL)
    events.close()
    events.close()
    studio.happen(decided(0))
    assert events.drain_nowait() == []
    assert len(stays.drain_nowait()) == 2
    stays.close()
    assert studio.feed.watchers == 0


async def test_the_line_is_measured_every_five_seconds_whether_watched_or_not(studio: Studio):
    studio.happen(*(decided(index) for index in range(38)))  # 15.2 s
    assert [round(at_s) for at_s, _ in studio.record.qualities] == [5, 10, 15]
    assert len(studio.asked) == 3
    events = studio.feed.subscribe(CALL)
    studio.happen(*(decided(index) for index in range(38, 52)))
    (quality,) = [event for event in events.drain_nowait() if event["event"] == "quality"]
    assert (quality["mos"], quality["loss"], quality["jitter_s"], quality["round_trip_s"]) == (3.9, 0.05, 0.01, 0.1)


async def test_a_door_that_knows_nothing_of_its_line_tells_nothing(studio: Studio):
    studio.feed.close()
    silent = LiveFeed(studio.records, lambda call: None)
    events = silent.subscribe(CALL)
    for index in range(20):
        silent.observe(studio.record, decided(index))
    assert "quality" not in kinds(events.drain_nowait())
    silent.close()


async def test_the_list_is_told_at_once_and_at_most_once_a_second(studio: Studio, monkeypatch: pytest.MonkeyPatch):
    beat = _held_timer(monkeypatch)
    events = studio.feed.subscribe(None)
    (first,) = events.drain_nowait()
    assert [call["call"] for call in first["calls"]] == ["CA1"]
    studio.happen(*small_call())
    studio.happen(NoteMuted(False, 3.0), NoteMuted(True, 3.1))
    assert events.drain_nowait() == []
    beat()
    (again,) = events.drain_nowait()
    assert (again["calls"][0]["interruptions"], again["calls"][0]["muted"]) == (1, True)


async def test_a_list_in_which_only_time_went_by_is_not_told_again(studio: Studio, monkeypatch: pytest.MonkeyPatch):
    beat = _held_timer(monkeypatch)
    events = studio.feed.subscribe(None)
    events.drain_nowait()
    studio.unix_s += 1.0
    beat()
    assert events.drain_nowait() == []
    studio.end()
    beat()
    assert [event["calls"] for event in events.drain_nowait()] == [[]]


async def test_a_newcomer_to_the_list_does_not_hide_a_change_from_the_others(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
):
    beat = _held_timer(monkeypatch)
    first = studio.feed.subscribe(None)
    first.drain_nowait()
    studio.happen(*small_call())
    second = studio.feed.subscribe(None)
    beat()
    assert first.drain_nowait()[-1]["calls"][0]["muted"] is True
    assert second.drain_nowait()[-1]["calls"][0]["muted"] is True


async def test_who_listens_hears_both_voices_as_pcm_and_misses_the_oldest(studio: Studio):
    sounds = studio.feed.listen(CALL)
    studio.happen(chunk(0), SendAudio(b"\xff" * 160, at_s=1.0))
    caller, agent = sounds.drain_nowait()
    assert (caller.voice, len(caller.pcm())) == (Voice.CALLER, 6_400)
    assert (agent.voice, agent.pcm()) == (Voice.AGENT, bytes(320))
    studio.happen(*(SendAudio(bytes([number % 256]), at_s=1.0) for number in range(1_000)))
    heard = sounds.drain_nowait()
    assert len(heard) == MAX_SOUNDS
    assert heard[-1].payload == bytes([999 % 256])


async def test_nobody_watches_and_no_timer_runs(studio: Studio, monkeypatch: pytest.MonkeyPatch):
    beat = _held_timer(monkeypatch)
    studio.feed.subscribe(None).close()
    beat()
    with pytest.raises(IndexError):
        beat()


async def test_a_gateway_that_stops_lets_everybody_go(studio: Studio):
    readers: list[WatchQueue[Any]] = [
        studio.feed.subscribe(None),
        studio.feed.subscribe(CALL),
        studio.feed.listen(CALL),
    ]
    studio.feed.close()
    for reader in readers:
        reader.drain_nowait()
        assert reader.over


def _held_timer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Time passes only when the test says so: returns what lets the feed's next second come."""
    held: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()

    class Handle:
        def cancel(self) -> None: ...

    def call_later(delay_s: float, callback: Callable[[], None]) -> Handle:
        assert delay_s == LIST_EVERY_S
        held.append(callback)
        return Handle()

    monkeypatch.setattr(loop, "call_later", call_later)

    def beat() -> None:
        held.pop()()

    return beat
