"""What remains of calls: watches every effect, and when a call is over writes down what it was.

The call itself never waits for it: files are written by threads, the archive by one task, and a fault in here is
logged and costs that call's record only.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import time

import structlog

from gateway.effects import Effect
from gateway.runner.archive import PastCall, pack
from gateway.runner.call_detail import CallDetail, CallDetailBuilder
from gateway.runner.call_log import CallLog
from gateway.runner.record import CallRecord
from gateway.runner.recording import CallRecorder, RecordingWriter
from gateway.runner.story import events_of, summary_of
from gateway.seams import LegQuality
from wire.bus.archive import ArchivedCall, CallArchive
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId

log = structlog.get_logger()

MAX_WAITING = 1_000  # calls that ended and are not stored yet
CLOSE_LIMIT_S = 5.0  # for storing those at the end of the process


@dataclass(slots=True)
class KeeperStats:
    """Counters since start."""

    stored: int = 0
    failed: int = 0
    """Calls that the archive did not take."""
    dropped: int = 0
    """Calls that ended faster than they could be stored."""
    faults: int = 0
    """Calls of which nothing was written down because of a fault of ours."""


@dataclass(slots=True)
class _Watched:
    detail: CallDetailBuilder
    recorder: CallRecorder | None


class CallKeeper:
    """An observer of the hub. Any of the three places where calls are kept may be absent."""

    def __init__(
        self,
        archive: CallArchive | None = None,
        call_log: CallLog | None = None,
        recordings: RecordingWriter | None = None,
        max_call_s: float = 3_600.0,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        self.stats = KeeperStats()
        self._archive = archive
        self._call_log = call_log
        self._recordings = recordings
        self._max_call_s = max_call_s
        self._wall_clock = wall_clock
        self._watched: dict[CallId, _Watched | None] = {}
        self._waiting: asyncio.Queue[tuple[CallRecord, CallDetail]] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None

    def counts(self) -> dict[str, int]:
        """What became of the records so far, by result."""
        found = asdict(self.stats)
        if self._recordings is not None:
            found |= {f"recording_{name}": count for name, count in asdict(self._recordings.stats).items()}
        return found

    def start(self) -> None:
        """Begin to store calls; on the event loop."""
        self._task = asyncio.create_task(self._store_all(), name="call-keeper")

    def observe(self, record: CallRecord, effect: Effect) -> None:
        """See an effect of a call; an ``Observer``."""
        call = record.call
        try:
            watched = self._watched[call] if call in self._watched else self._begin(record)
            if watched is not None:
                watched.detail.observe(effect)
                if watched.recorder is not None:
                    watched.recorder.observe(effect)
        except Exception:
            self._give_up(call)

    def _begin(self, record: CallRecord) -> _Watched:
        recorder = None
        if self._recordings is not None:
            codec = record.setup.codec
            file = self._recordings.open(record.call, codec)
            if file is not None:
                recorder = CallRecorder(codec, file, self._max_call_s)
                record.recorded = True
        watched = self._watched[record.call] = _Watched(CallDetailBuilder(record), recorder)
        return watched

    def _give_up(self, call: CallId) -> None:
        log.exception("keeper.fault", call=call)
        self.stats.faults += 1
        watched = self._watched.get(call)
        self._watched[call] = None
        if watched is not None and watched.recorder is not None:
            watched.recorder.abandon()

    def ended(self, record: CallRecord, quality: LegQuality | None, stats: Mapping[str, float]) -> None:
        """A call is over, its record complete: the last ``quality`` of its leg and ``stats`` of its core.

        To be told once of every call, also of one that was never answered or was ended by a fault.
        """
        try:
            unanswered = _Watched(CallDetailBuilder(record), None)
            watched = self._watched.pop(record.call, unanswered)
            if watched is None:
                return
            if watched.recorder is not None:
                watched.recorder.finish()
            detail = watched.detail.finish(
                quality, stats, ended_unix_s=self._wall_clock(), recorded=watched.recorder is not None
            )
            self._waiting.put_nowait((record, detail))
        except asyncio.QueueFull:
            self.stats.dropped += 1
            log.error("keeper.behind", call=record.call, waiting=MAX_WAITING)
        except Exception:
            self.stats.faults += 1
            log.exception("keeper.fault", call=record.call)

    async def close(self) -> None:
        """Store what waits, for five seconds at most, and let go of files and server."""
        if self._task is not None:
            try:
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._waiting.join()
            except TimeoutError:
                log.error("keeper.closed_unfinished", calls=self._waiting.qsize())
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._recordings is not None:
            await asyncio.to_thread(self._recordings.close)
        if self._call_log is not None:
            self._call_log.close()
        if self._archive is not None:
            await self._archive.close()

    async def _store_all(self) -> None:
        while True:
            record, detail = await self._waiting.get()
            try:
                await self._store(record, detail)
            except Exception:
                self.stats.faults += 1
                log.exception("keeper.fault", call=record.call)
            finally:
                self._waiting.task_done()

    async def _store(self, record: CallRecord, detail: CallDetail) -> None:
        if self._call_log is not None:
            await asyncio.to_thread(self._call_log.write, detail)
        if self._archive is None:
            return
        packed = await asyncio.to_thread(_pack, record, detail)
        try:
            await self._archive.put(packed)
        except BusUnavailableError as error:
            self.stats.failed += 1
            log.warning("archive.not_written", call=record.call, error=str(error))
        else:
            self.stats.stored += 1


def _pack(record: CallRecord, detail: CallDetail) -> ArchivedCall:
    summary = summary_of(record, detail.ended_unix_s)
    return pack(record.call, record.started_unix_s, PastCall(summary, detail.as_json(), events_of(record)))
