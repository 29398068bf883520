"""Records what workers are told of each call and what they decide, so that it can be run again. Off unless asked for.

It holds callers' voices: whoever turns it on owes them the notice that the law asks for (docs/REPLAY.md).
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from prometheus_client import Counter

from gateway.effects import Effect, NoteDecision, NoteEnded, SendUp
from gateway.runner.record import CallRecord
from wire.audio.codecs import Codec
from wire.bus.seam import BusUnavailableError
from wire.ids import CallId
from wire.messages import CallClosed, CallOpened
from wire.recorded import Header, append, begin

log = structlog.get_logger()

FLUSH_EVERY_S = 2.0
MAX_CALL_S = 3_600.0
MAX_PENDING_BYTES = 16 * 1024 * 1024  # of all calls, while the bus is away: a minute of 200 telephones


class Recordings(Protocol):
    """Where recordings go (``wire.bus.recorded_calls``)."""

    async def add(self, parts: Mapping[CallId, bytes], retention_s: float) -> None: ...

    async def close(self) -> None: ...


class CallRecorder:
    """An observer of the hub. A call that cannot be kept whole is not kept on: a replay with a hole proves nothing."""

    def __init__(self, recordings: Recordings, retention_s: float, truncated: Counter) -> None:
        """``truncated`` counts calls of which only the beginning is kept."""
        self._recordings = recordings
        self._retention_s = retention_s
        self._left_bytes: dict[CallId, int] = {}
        self._pending: dict[CallId, bytearray] = {}
        self._pending_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._truncated = truncated

    def observe(self, record: CallRecord, effect: Effect) -> None:
        """For ``CallHub.observers``."""
        call = record.call
        match effect:
            case SendUp(CallOpened(past=None)):
                self._left_bytes[call] = round(MAX_CALL_S * 2 * _octets_a_second(record.setup.codec))
                chunk_ms, first_chunk_ms = record.chunk_ms
                agent, began = record.setup.agent, record.started_unix_s
                self._add(call, begin(Header(call, record.engine, agent, chunk_ms, first_chunk_ms, began)))
                self._add(call, append(effect.message))
            case SendUp(CallOpened() | CallClosed()):
                pass  # hand-overs are not the caller's doing
            case SendUp(message):
                self._add(call, append(message))
            case NoteDecision(decision):
                self._add(call, append(decision))
            case NoteEnded():
                self._left_bytes.pop(call, None)

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_flushing(), name="record-calls")

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.flush()
        await self._recordings.close()

    def _add(self, call: CallId, part: bytes) -> None:
        left = self._left_bytes.get(call)
        if left is None:
            return
        if len(part) > left or self._pending_bytes + len(part) > MAX_PENDING_BYTES:
            del self._left_bytes[call]
            self._truncated.inc()
            log.warning("recorder.truncated", call=call)
            return
        self._left_bytes[call] = left - len(part)
        self._pending.setdefault(call, bytearray()).extend(part)
        self._pending_bytes += len(part)

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what came since the last time."""
        parts = {call: bytes(part) for call, part in self._pending.items()}
        if not parts:
            return
        try:
            await self._recordings.add(parts, self._retention_s)
        except BusUnavailableError as error:
            log.debug("recorder.not_written", calls=len(parts), error=str(error))
            return
        for call, part in parts.items():
            del self._pending[call][: len(part)]
            self._pending_bytes -= len(part)
            if not self._pending[call]:
                del self._pending[call]


def _octets_a_second(codec: Codec) -> int:
    return codec.sample_rate_hz * codec.bytes_per_sample
