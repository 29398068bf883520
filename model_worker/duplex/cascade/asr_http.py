"""Recognition by any server of OpenAI's ``POST /v1/audio/transcriptions``: vLLM, SGLang, Speaches, OpenAI itself.

Such a server is given a recording and gives its words. An utterance is kept here until it is over and then sent as a
whole; while it lasts, what there is of it is sent once a second, for without words nobody can tell whether a pause is
the end of a sentence, begin an answer in it, or judge what is said over the agent. That costs the server one request
per second and speaking call: a model of Whisper's kind takes each for half a minute, however short. One request of a
call is under way at a time, and the one for the whole utterance takes the place of an earlier one. The server's own
stream of events is not asked for: servers differ in its form, and the last word comes no sooner by it.

The engine's thread asks and polls; a thread of ours keeps the connections, one task per request. A server that fails
one request after the other is left alone for a while.
"""

import asyncio
import io
import itertools
import queue
import random
import threading
import time
import wave
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import msgspec
import structlog
from yarl import URL

from model_worker.answers.openai_chat import CLOSE_LIMIT_S, IDLE_LIMIT_S, MAX_FAILURES, PAUSE_S, RETRY_S
from model_worker.breaker import Breaker
from model_worker.duplex.cascade.asr_link import MAX_UTTERANCE_SAMPLES
from model_worker.duplex.cascade.seam import HeardWords
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Pcm
from wire.ids import CallId

log = structlog.get_logger()

SAMPLE_RATE_HZ = 16_000
EARLY_SAMPLES = SAMPLE_RATE_HZ  # between two requests for the words so far
MAX_REPLY_BYTES = 256 * 1024
MAX_TEXT_CHARACTERS = 20_000  # of one utterance of half a minute
PATH = "/audio/transcriptions"

_STATUS_FAULTS = {
    401: SessionFault.REFUSED,
    403: SessionFault.REFUSED,
    404: SessionFault.REFUSED,  # of a model, too
    429: SessionFault.FULL,
    502: SessionFault.UNREACHABLE,
    503: SessionFault.FULL,
    504: SessionFault.UNREACHABLE,
}
_REQUESTS_OWN = frozenset({400, 413, 415, 422})  # of one recording rather than of the server: too short, for instance
_LASTING = frozenset({SessionFault.REFUSED, SessionFault.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may take, by what it waits for."""

    connect_s: float = 1.0
    """For the connection; there are two attempts."""
    words_s: float = 4.0
    """From the begin to the reply's status line: upload, queue and model."""
    rest_s: float = 1.0
    """For the rest of the reply."""
    late_s: float = 1.5
    """A request that is dropped after so long counts as a failure of the server: callers gave it up."""


class HttpAsr:
    """``StreamingAsr``. ``settings.url`` is the server's address with its version (``http://127.0.0.1:8000/v1``).

    Only ``shutdown`` waits. Raises ValueError for settings of another kind.
    """

    def __init__(
        self,
        settings: PartSettings,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        settings.expect_scheme("http", "https")
        if not settings.model:
            raise ValueError("name the model: it is a part of every request")
        self._numbers = itertools.count()
        self._lines: dict[CallId, _Line] = {}
        self._asked: dict[int, _Line] = {}
        self._told: list[HeardWords] = []
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._requests = _Requests(settings, limits, self._put, Breaker(MAX_FAILURES, PAUSE_S, clock), chance)
        self._requests.start()

    @property
    def ready(self) -> bool:
        return bool(self._told) or not self._results.empty()

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def open(self, call: CallId, language: str) -> None:
        """Nothing is connected yet: a server hangs up on connections that ask nothing."""
        self.close(call)
        self._lines[call] = _Line(call, language.partition("-")[0].lower())

    def start(self, call: CallId) -> None:
        self.cancel(call)
        self._lines[call].recording = _Recording()

    def feed(self, call: CallId, pcm: Pcm) -> None:
        line = self._lines[call]
        recording = line.recording
        if recording is None or recording.finished or len(pcm) == 0:
            return
        recording.add(pcm)
        self._ask_early(line, recording)

    def finish(self, call: CallId) -> None:
        line = self._lines[call]
        recording = line.recording
        if recording is None or recording.finished:
            return
        recording.finished = True
        self._drop(line)
        if recording.heard_samples:
            self._ask(line, recording)
        else:
            line.recording = None
            self._told.append(HeardWords(call, "", final=True))
            self._wake()

    def cancel(self, call: CallId) -> None:
        line = self._lines[call]
        line.recording = None
        self._told = [heard for heard in self._told if heard.call != call]
        self._drop(line)

    def poll(self) -> list[HeardWords]:
        for _ in range(self._results.qsize()):  # what comes meanwhile is for the next time
            result = self._results.get_nowait()
            if (line := self._asked.pop(result.number, None)) is not None:  # else it was dropped meanwhile
                self._take(line, result)
        told, self._told = self._told, []
        return told

    def close(self, call: CallId) -> None:
        if call in self._lines:
            self.cancel(call)
            del self._lines[call]

    def shutdown(self) -> None:
        """Drop every request, close the connections and end the thread. Waits 5 s at most; again does nothing."""
        self._lines.clear()
        self._asked.clear()
        self._requests.end()
        self._requests.join(CLOSE_LIMIT_S)

    def _take(self, line: "_Line", result: "_Result") -> None:
        line.number = None
        recording = line.recording
        assert recording is not None, "requests are dropped with what they ask about"
        if recording.finished:
            line.recording = None
            self._told.append(
                HeardWords(line.call, result.text, final=True, fault=result.fault, lasting=result.lasting)
            )
        elif result.fault is not None:
            recording.early = False  # what fails now is not asked more often; the whole utterance will tell
        else:
            if result.text:
                self._told.append(HeardWords(line.call, result.text))
            self._ask_early(line, recording)

    def _ask_early(self, line: "_Line", recording: "_Recording") -> None:
        due = recording.heard_samples - recording.asked_samples >= EARLY_SAMPLES
        if due and recording.early and line.number is None:
            self._ask(line, recording)

    def _ask(self, line: "_Line", recording: "_Recording") -> None:
        recording.asked_samples = recording.heard_samples
        line.number = next(self._numbers)
        self._asked[line.number] = line
        self._requests.tell(self._requests.begin, line.number, line.call, line.language, tuple(recording.pieces))

    def _drop(self, line: "_Line") -> None:
        if line.number is not None:
            del self._asked[line.number]
            self._requests.tell(self._requests.drop, line.number)
            line.number = None

    def _put(self, result: "_Result") -> None:
        self._results.put(result)
        self._wake()


@dataclass(slots=True)
class _Recording:
    """An utterance so far."""

    pieces: list[Pcm] = field(default_factory=list)
    samples: int = 0
    """Of ``pieces``; one that is too long goes on without its begin."""
    heard_samples: int = 0
    asked_samples: int = 0
    """Of ``heard_samples``, what was sent in the last request."""
    early: bool = True
    """Its words are asked for before it is over."""
    finished: bool = False

    def add(self, pcm: Pcm) -> None:
        self.pieces.append(pcm)
        self.samples += len(pcm)
        self.heard_samples += len(pcm)
        while self.samples > MAX_UTTERANCE_SAMPLES and len(self.pieces) > 1:
            self.samples -= len(self.pieces.pop(0))


@dataclass(slots=True)
class _Line:
    """One call. ``number``: of its request that is under way."""

    call: CallId
    language: str
    recording: _Recording | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class _Result:
    number: int
    text: str
    fault: SessionFault | None = None
    lasting: bool = False


class _AskError(Exception):
    """No words; nothing in it is the server's text."""

    def __init__(self, fault: SessionFault, reason: str, *, servers: bool = True) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason
        self.servers = servers
        """The server's doing, rather than this one recording's."""


class _Transcription(msgspec.Struct):
    text: str


_transcription = msgspec.json.Decoder(_Transcription)


class _Requests(threading.Thread):
    """Carries the requests, on a loop of its own. ``tell``, ``end`` and ``join`` are for other threads."""

    def __init__(
        self,
        settings: PartSettings,
        limits: Limits,
        put: Callable[[_Result], None],
        breaker: Breaker[SessionFault],
        chance: Callable[[], float],
    ) -> None:
        super().__init__(name="transcriptions", daemon=True)
        url = URL(settings.url)
        base = url.path.rstrip("/").removesuffix(PATH)
        self._url = url.with_path(base + PATH, keep_query=True)
        self._model = settings.model
        self._headers = settings.headers
        self._limits = limits
        self._put = put
        self._breaker = breaker
        self._chance = chance
        self._closing = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession  # there before the first request's task, which is begun after _serve's
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

    def begin(self, number: int, call: CallId, language: str, pieces: Sequence[Pcm]) -> None:
        task = self._tasks[number] = self._loop.create_task(self._carry(number, call, language, pieces))
        task.add_done_callback(lambda _: self._tasks.pop(number))

    def drop(self, number: int) -> None:
        if (task := self._tasks.get(number)) is not None:
            task.cancel()

    async def _serve(self) -> None:
        async with aiohttp.ClientSession(
            headers=[("Accept", "application/json"), *self._headers],
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_LIMIT_S),  # a request per call is the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s),
        ) as self._session:
            await self._closing.wait()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, number: int, call: CallId, language: str, pieces: Sequence[Pcm]) -> None:
        """One request, from its begin to its result, which comes whatever happens, unless it is dropped."""
        if (fault := self._breaker.refuses()) is not None:
            self._put(_Result(number, "", fault, lasting=True))  # the log says once that there is a pause
            return
        begun_s = self._loop.time()
        try:
            text = await self._in_time(language, wav(pieces))
        except _AskError as error:
            log.warning("asr.failed", call=call, fault=error.fault.value, reason=error.reason)
            if error.servers:
                self._count(error.fault)
            self._put(_Result(number, "", error.fault, lasting=error.fault in _LASTING))
        except asyncio.CancelledError:
            if self._loop.time() - begun_s >= self._limits.late_s:
                self._count(SessionFault.TOO_SLOW)
            raise
        except Exception as error:
            # A fault of ours is one caller's too. Its text may quote the request: key and all.
            log.error("asr.crashed", call=call, error=type(error).__name__)
            self._put(_Result(number, "", SessionFault.SERVER_ERROR))
        else:
            if self._breaker.succeeded():
                log.info("asr.resumed")
            self._put(_Result(number, text))

    def _count(self, fault: SessionFault) -> None:
        if self._breaker.failed(fault):
            log.error("asr.paused", fault=fault.value)

    async def _in_time(self, language: str, recording: bytes) -> str:
        waits_for = "words"
        try:
            async with asyncio.timeout(self._limits.words_s) as timer:
                response = await self._post(language, recording)
                try:
                    waits_for = "the rest of the reply"
                    timer.reschedule(self._loop.time() + self._limits.rest_s)
                    return await _read(response)
                finally:
                    response.close()  # of no effect on a connection that was given back after a whole reply
        except TimeoutError:
            raise _AskError(SessionFault.TOO_SLOW, f"waited too long for {waits_for}") from None

    async def _post(self, language: str, recording: bytes) -> aiohttp.ClientResponse:
        """Ask, a second time if the connection failed. Raises _AskError for all but a status of 200."""
        try:
            try:
                response = await self._attempt(language, recording)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(RETRY_S * (0.5 + self._chance()))
                response = await self._attempt(language, recording)
        except aiohttp.ClientConnectionError as error:
            raise _AskError(SessionFault.UNREACHABLE, type(error).__name__) from None
        except aiohttp.ClientError as error:
            raise _AskError(SessionFault.GARBAGE, type(error).__name__) from None
        if (status := response.status) != 200:
            response.close()
            servers = SessionFault.SERVER_ERROR if status >= 500 or status in _REQUESTS_OWN else SessionFault.GARBAGE
            fault = _STATUS_FAULTS.get(status, servers)
            raise _AskError(fault, f"status {status}", servers=status not in _REQUESTS_OWN)
        return response

    async def _attempt(self, language: str, recording: bytes) -> aiohttp.ClientResponse:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(recording), filename="utterance.wav", content_type="audio/wav")
        form.add_field("model", self._model)
        if language:
            form.add_field("language", language)
        form.add_field("response_format", "json")
        return await self._session.post(self._url, data=form, allow_redirects=False)


def wav(pieces: Sequence[Pcm]) -> bytes:
    """A recording as a file: int16 at 16 kHz, one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(b"".join(piece.astype("<i2").tobytes() for piece in pieces))
    return file.getvalue()


async def _read(response: aiohttp.ClientResponse) -> str:
    """The words of a reply. Raises _AskError."""
    body = bytearray()
    try:
        while received := await response.content.readany():
            body += received
            if len(body) > MAX_REPLY_BYTES:
                raise _AskError(SessionFault.GARBAGE, f"a reply of more than {MAX_REPLY_BYTES} bytes")
    except aiohttp.ClientError as error:
        raise _AskError(SessionFault.LOST, type(error).__name__) from None
    try:
        text = _transcription.decode(body).text.strip()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise _AskError(SessionFault.GARBAGE, "a reply that is no transcription") from None
    if len(text) > MAX_TEXT_CHARACTERS:
        raise _AskError(SessionFault.GARBAGE, f"words of {len(text)} characters")
    return text
