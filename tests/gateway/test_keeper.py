"""What remains of calls: stored, logged, recorded, and never at a call's expense."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.effects import NoteEnded, SendAudio
from gateway.runner.archive import PastCall, PastCalls, pack, unpack
from gateway.runner.call_detail import CallDetailBuilder
from gateway.runner.call_log import CallLog
from gateway.runner.keeper import MAX_WAITING, CallKeeper
from gateway.runner.record import CallRecord
from gateway.runner.recording import RecordingWriter, find_recording
from gateway.runner.story import events_of
from gateway.seams import LegQuality
from tests.gateway.records import LOUD, record, small_call
from wire.bus.archive import ArchivedCall, LocalArchive
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

GOOD = LegQuality(received=198, lost=2, jitter_s=0.004, buffer_s=0.03, round_trip_s=0.05, mos=4.2)


class LostArchive(LocalArchive):
    """A server that nobody reaches."""

    async def put(self, past: ArchivedCall) -> None:
        raise BusUnavailableError("no Redis at redis://192.0.2.1")

    async def get(self, call: CallId) -> bytes | None:
        raise BusUnavailableError("no Redis at redis://192.0.2.1")

    async def newest(self, before_unix_s: float, limit: int) -> list[bytes]:
        raise BusUnavailableError("no Redis at redis://192.0.2.1")


def live(keeper: CallKeeper, name: str = "CA1", started_unix_s: float = 1_000.0) -> CallRecord:
    """A call that the keeper has watched up to its last effect."""
    it = record()
    it.call = CallId(name)
    it.started_unix_s = started_unix_s
    for effect in [*small_call(), NoteEnded("caller_hung_up", 2.5)]:
        it.note(effect)
        keeper.observe(it, effect)
    it.state, it.outcome, it.duration_s = "ended", "caller_hung_up", 2.5
    return it


async def stored(keeper: CallKeeper, count: int) -> None:
    """Let the keeper do its work."""
    async with asyncio.timeout(10):
        while keeper.stats.stored + keeper.stats.failed < count:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)


async def test_a_call_that_is_over_can_be_read_again_as_it_was():
    archive = LocalArchive()
    keeper = CallKeeper(archive, wall_clock=lambda: 1_002.5)
    keeper.start()
    it = live(keeper)
    keeper.ended(it, GOOD, {"underruns": 1})
    await stored(keeper, 1)
    past = PastCalls(archive)
    call = await past.get(it.call)
    assert call is not None
    assert call.events == json.loads(json.dumps(events_of(it)))
    assert call.detail is not None
    assert (call.detail["outcome"], call.detail["mos"], call.detail["underruns"]) == ("caller_hung_up", 4.2, 1)
    assert call.summary == (await past.newest(float("inf"), 10))[0]
    assert (call.summary["call"], call.summary["state"], call.summary["duration_s"]) == ("CA1", "ended", 2.5)
    assert await past.get(CallId("CA2")) is None
    await keeper.close()


async def test_the_list_begins_with_the_latest_and_goes_on_before_a_time():
    archive = LocalArchive()
    keeper = CallKeeper(archive)
    keeper.start()
    for n in (3, 1, 2):
        keeper.ended(live(keeper, f"CA{n}", 1_000.0 + n), None, {})
    await stored(keeper, 3)
    past = PastCalls(archive)
    assert [call["call"] for call in await past.newest(float("inf"), 2)] == ["CA3", "CA2"]
    assert [call["call"] for call in await past.newest(1_002.0, 2)] == ["CA1"]
    await keeper.close()


async def test_the_call_log_has_one_line_per_call_that_only_its_owner_reads(tmp_path: Path):
    log_file = tmp_path / "calls.jsonl"
    keeper = CallKeeper(call_log=CallLog(log_file), wall_clock=lambda: 1_002.5)
    keeper.start()
    for n in range(3):
        keeper.ended(live(keeper, f"CA{n}"), GOOD, {})
    await keeper.close()
    lines = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert [line["call"] for line in lines] == ["CA0", "CA1", "CA2"]
    assert {line["caller"] for line in lines} == {"+15550100"}
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600


def test_a_full_disk_ends_the_call_log_with_one_line():
    call_log = CallLog(Path("/dev/full"))
    detail = CallDetailBuilder(record()).finish(None, {}, ended_unix_s=1_001.0)
    with capture_logs() as logs:
        for _ in range(3):
            call_log.write(detail)
    assert [entry["event"] for entry in logs] == ["call_log.stopped"]


async def test_a_recorded_call_says_so_and_has_its_file(tmp_path: Path):
    recordings = RecordingWriter(tmp_path)
    archive = LocalArchive()
    keeper = CallKeeper(archive, recordings=recordings)
    keeper.start()
    it = live(keeper)
    assert it.recorded
    keeper.ended(it, None, {})
    await keeper.close()
    assert await asyncio.to_thread(find_recording, tmp_path, it.call) == tmp_path / "CA1.wav"


async def test_a_call_whose_name_no_file_can_have_is_stored_without_a_recording(tmp_path: Path):
    archive = LocalArchive()
    recordings = RecordingWriter(tmp_path)
    keeper = CallKeeper(archive, recordings=recordings)
    keeper.start()
    it = live(keeper, "../CA1")
    assert not it.recorded
    keeper.ended(it, None, {})
    await stored(keeper, 1)
    call = await PastCalls(archive).get(it.call)
    assert call is not None
    assert call.detail is not None
    assert call.detail["recorded"] is False
    await keeper.close()
    assert (recordings.stats.finished, recordings.stats.stopped) == (0, 1)


async def test_a_call_that_was_never_answered_is_stored_too():
    archive = LocalArchive()
    keeper = CallKeeper(archive, wall_clock=lambda: 1_030.0)
    keeper.start()
    it = record()
    it.state, it.outcome = "ended", "no_answer"
    keeper.ended(it, None, {})
    await stored(keeper, 1)
    call = await PastCalls(archive).get(it.call)
    assert call is not None
    assert call.detail is not None
    assert call.detail["answered_unix_s"] is None
    await keeper.close()


async def test_an_archive_that_cannot_be_reached_costs_a_line_per_call():
    keeper = CallKeeper(LostArchive())
    keeper.start()
    with capture_logs() as logs:
        for n in range(3):
            keeper.ended(live(keeper, f"CA{n}"), None, {})
        await stored(keeper, 3)
        assert await PastCalls(LostArchive()).newest(float("inf"), 10) == []
        assert await PastCalls(LostArchive()).get(CallId("CA1")) is None
    assert [entry["event"] for entry in logs] == ["archive.not_written"] * 3 + ["archive.not_read"] * 2
    assert (keeper.stats.stored, keeper.stats.failed) == (0, 3)
    await keeper.close()


async def test_a_fault_in_the_keeper_never_reaches_the_call_and_costs_one_line(tmp_path: Path):
    archive = LocalArchive()
    recordings = RecordingWriter(tmp_path)
    keeper = CallKeeper(archive, recordings=recordings)
    keeper.start()
    it = record()
    broken: Any = SendAudio(LOUD, at_s="soon")  # type: ignore[arg-type]
    with capture_logs() as logs:
        for effect in [*small_call(), broken, *small_call()]:
            keeper.observe(it, effect)
        keeper.ended(it, None, {})
    assert [entry["event"] for entry in logs] == ["keeper.fault", "recording.stopped"]
    assert (keeper.stats.faults, recordings.stats.stopped) == (1, 1)
    keeper.ended(live(keeper, "CA2"), None, {})
    await stored(keeper, 1)
    assert [call["call"] for call in await PastCalls(archive).newest(float("inf"), 10)] == ["CA2"]
    await keeper.close()


async def test_more_calls_than_can_be_stored_are_counted():
    keeper = CallKeeper(LocalArchive())
    with capture_logs() as logs:
        for n in range(MAX_WAITING + 3):
            it = record()
            it.call = CallId(f"CA{n}")
            keeper.ended(it, None, {})
    assert keeper.stats.dropped == 3
    assert [entry["event"] for entry in logs] == ["keeper.behind"] * 3


async def test_nothing_is_kept_in_memory_of_a_call_that_is_over():
    keeper = CallKeeper()
    keeper.ended(live(keeper), None, {})
    assert not keeper._watched


async def test_no_log_line_holds_what_belongs_to_people(tmp_path: Path):
    keeper = CallKeeper(LostArchive(), CallLog(tmp_path / "calls.jsonl"), RecordingWriter(tmp_path / "sound"))
    keeper.start()
    with capture_logs() as logs:
        it = live(keeper)
        keeper.ended(it, GOOD, {})
        await stored(keeper, 1)
        keeper.observe(it, SendAudio(LOUD, at_s="soon"))  # type: ignore[arg-type]
        await keeper.close()
    assert logs
    for secret in ("+1555", "When are you open", "We are"):
        assert secret not in repr(logs)


def test_what_no_gateway_packed_is_refused():
    whole = pack(CallId("CA1"), 1.0, PastCall({"call": "CA1"}, None, [])).story
    assert unpack(whole).summary == {"call": "CA1"}
    for bad in (b"", b"garbage", whole[:-1], whole[:10], pack(CallId("x"), 1.0, PastCall([], None, [])).story):  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            unpack(bad)


async def test_a_damaged_story_is_no_call_and_a_line_in_the_log():
    archive = LocalArchive()
    await archive.put(ArchivedCall(CallId("CA1"), 1.0, b"{", b"garbage"))
    with capture_logs() as logs:
        assert await PastCalls(archive).get(CallId("CA1")) is None
        assert await PastCalls(archive).newest(float("inf"), 10) == []
    assert [entry["event"] for entry in logs] == ["archive.not_read"] * 2
