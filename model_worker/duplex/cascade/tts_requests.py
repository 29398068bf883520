"""A voice on a server: the engine's thread asks and polls, a thread of ours carries one request for each part.

Every wait has an end, a part that is not wanted any more closes its connection, upon which good servers stop making
it, and a server that fails one part after the other is left alone for a while.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import structlog

from model_worker.answers.openai_chat import CLOSE_LIMIT_S, MAX_FAILURES, PAUSE_S
from model_worker.breaker import Breaker
from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoicePiece, VoiceWish
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Pcm
from wire.audio.resample import RATES_HZ, Resampler
from wire.ids import CallId

log = structlog.get_logger()

MAX_PART_S = 120.0  # of sound; a part is a sentence or two

_EMPTY: Pcm = np.empty(0, np.int16)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a part may take, by what it waits for."""

    connect_s: float = 1.0
    first_sound_s: float = 3.0
    """From the begin, the connection included: the caller hears nothing meanwhile."""
    between_s: float = 2.0
    """From one piece of sound to the next."""


DEFAULT_LIMITS = Limits()


class SpeechError(Exception):
    """No sound, or no more; nothing in it is the server's text."""

    def __init__(self, fault: SessionFault, reason: str, *, servers: bool = True) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason
        self.servers = servers
        """The server's doing, rather than this one part's."""


class Speech:
    """Sound of one part as it comes from a server, in bytes and at the server's rate."""

    def __init__(self, deliver: Callable[[Pcm], None]) -> None:
        self._deliver = deliver
        self._rest = b""
        self._rate_hz = 0
        self._resampler: Resampler | None = None
        self._samples = 0

    def begins(self, rate_hz: int) -> None:
        """Its rate; again does nothing where it is the same. Raises SpeechError for one that nobody speaks at."""
        if rate_hz == self._rate_hz:
            return
        if rate_hz not in RATES_HZ or self._rate_hz:
            raise SpeechError(SessionFault.GARBAGE, f"sound at {rate_hz} Hz")
        self._rate_hz = rate_hz
        self._resampler = None if rate_hz == OUTPUT_RATE_HZ else Resampler(rate_hz, OUTPUT_RATE_HZ)

    def take(self, octets: bytes) -> None:
        """More of it: int16, little-endian, one channel, cut anywhere. Raises SpeechError when it never ends."""
        octets = self._rest + octets
        whole = len(octets) - len(octets) % 2
        self._rest = octets[whole:]
        pcm: Pcm = np.frombuffer(octets[:whole], "<i2").astype(np.int16)
        self._samples += len(pcm)
        if self._samples > MAX_PART_S * self._rate_hz:
            raise SpeechError(SessionFault.GARBAGE, f"more than {MAX_PART_S:.0f} s for a sentence", servers=False)
        if len(pcm):
            self._deliver(pcm if self._resampler is None else self._resampler.push(pcm))

    def ends(self) -> None:
        """All came. Raises SpeechError where nothing did."""
        if not self._samples:
            raise SpeechError(SessionFault.GARBAGE, "no sound")
        if self._resampler is not None:
            self._deliver(self._resampler.flush())


class VoiceServer(Protocol):
    """A protocol that voices are asked in. All but ``running`` on one loop."""

    def running(self) -> AbstractAsyncContextManager[object]:
        """What has to be open while parts are said."""

    async def say(self, text: str, wish: VoiceWish, speech: Speech) -> None:
        """Say one part. Raises SpeechError and OSError. When cancelled, the server is told by the connection's end."""


class RequestedTts:
    """``StreamingTts`` by a ``VoiceServer``. Only ``close`` waits."""

    def __init__(
        self, server: VoiceServer, limits: Limits = DEFAULT_LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._numbers = itertools.count()
        self._open: dict[CallId, int] = {}
        self._pieces: queue.SimpleQueue[tuple[int, VoicePiece]] = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._requests = _Requests(server, limits, self._put, Breaker(MAX_FAILURES, PAUSE_S, clock))
        self._requests.start()

    @property
    def ready(self) -> bool:
        """A piece is there; it may be one of a part that was cancelled, which ``poll`` leaves out."""
        return not self._pieces.empty()

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def ask(self, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        self.cancel(call)
        number = self._open[call] = next(self._numbers)
        self._requests.tell(self._requests.begin, number, call, part, text, wish)

    def poll(self) -> list[VoicePiece]:
        pieces: list[VoicePiece] = []
        for _ in range(self._pieces.qsize()):  # what comes meanwhile is for the next time
            number, piece = self._pieces.get_nowait()
            if self._open.get(piece.call) == number:
                pieces.append(piece)
                if piece.done:
                    del self._open[piece.call]
        return pieces

    def cancel(self, call: CallId) -> None:
        if (number := self._open.pop(call, None)) is not None:
            self._requests.tell(self._requests.drop, number)

    def close(self) -> None:
        """Drop every part, close the connections and end the thread. Waits 5 s at most; again does nothing."""
        self._open.clear()
        self._requests.end()
        self._requests.join(CLOSE_LIMIT_S)

    def _put(self, number: int, piece: VoicePiece) -> None:
        self._pieces.put((number, piece))
        self._wake()


class _Requests(threading.Thread):
    """Carries the parts, a task each, on a loop of its own. ``tell``, ``end`` and ``join`` are for other threads."""

    def __init__(
        self,
        server: VoiceServer,
        limits: Limits,
        put: Callable[[int, VoicePiece], None],
        breaker: Breaker[SessionFault],
    ) -> None:
        super().__init__(name="voices", daemon=True)
        self._server = server
        self._limits = limits
        self._put = put
        self._breaker = breaker
        self._closing = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def tell(self, do: Callable[..., None], *arguments: object) -> None:
        """Have something done on the loop, in the order of telling; nothing after ``end``."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do, *arguments)

    def end(self) -> None:
        self.tell(self._closing.set)

    def begin(self, number: int, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        task = self._tasks[number] = self._loop.create_task(self._carry(number, call, part, text, wish))
        task.add_done_callback(lambda _: self._tasks.pop(number))

    def drop(self, number: int) -> None:
        if (task := self._tasks.get(number)) is not None:
            task.cancel()

    async def _serve(self) -> None:
        async with self._server.running():
            await self._closing.wait()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, number: int, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        """One part, from its begin to its last piece, which comes whatever happens, unless it is dropped."""

        def finish(fault: SessionFault | None = None) -> None:
            self._put(number, VoicePiece(call, part, _EMPTY, done=True, fault=fault))

        if (fault := self._breaker.refuses()) is not None:
            finish(fault)  # the log says once that there is a pause
            return
        try:
            await self._in_time(text, wish, lambda pcm: self._put(number, VoicePiece(call, part, pcm)))
        except SpeechError as error:
            log.warning("voice.failed", call=call, fault=error.fault.value, reason=error.reason)
            if error.servers and self._breaker.failed(error.fault):
                log.error("voices.paused", fault=error.fault.value)
            finish(error.fault)
        except Exception as error:
            # A fault of ours is one caller's too. Its text may quote the request: key, words and all.
            log.error("voice.crashed", call=call, error=type(error).__name__)
            finish(SessionFault.SERVER_ERROR)
        else:
            if self._breaker.succeeded():
                log.info("voices.resumed")
            finish()

    async def _in_time(self, text: str, wish: VoiceWish, put: Callable[[Pcm], None]) -> None:
        waits_for = "sound"
        try:
            async with asyncio.timeout(self._limits.first_sound_s) as timer:

                def deliver(pcm: Pcm) -> None:
                    nonlocal waits_for
                    waits_for = "more sound"
                    timer.reschedule(self._loop.time() + self._limits.between_s)
                    put(pcm)

                speech = Speech(deliver)
                await self._server.say(text, wish, speech)
                speech.ends()
        except TimeoutError:
            raise SpeechError(SessionFault.TOO_SLOW, f"waited too long for {waits_for}") from None
        except OSError as error:
            raise SpeechError(SessionFault.LOST, type(error).__name__) from None
