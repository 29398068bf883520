"""Answers from any server of OpenAI's ``/v1/chat/completions``: vLLM, SGLang, llama.cpp, OpenAI itself.

The engine's thread asks and polls; a thread of ours keeps the connections, one task per answer. They
meet in a queue, and every answer has a number, by which pieces of dropped answers are told from the
others. A caller waits in silence meanwhile, so every wait has an end, and a server that fails one
answer after the other is left alone for a while instead of letting every caller wait for the same.

Dropping an answer closes its connection, upon which vLLM stops generating within 50 ms (measured
2026-11-22). Not every server does: SGLang was reported to decode on in some of its modes.
"""

import asyncio
import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from yarl import URL

from model_worker.answers.chat_stream import Called, ChatStream, Delta, Failed, fault_of_status
from model_worker.answers.seam import AnswerFault, AnswerPiece, ChatMessage, FunctionWanted
from model_worker.breaker import Breaker
from wire.ids import CallId

log = structlog.get_logger()

MAX_FAILURES = 5  # answers in a row; one or two may be one caller's
PAUSE_S = 10.0  # a server that restarts takes longer, one that is overloaded less
RETRY_S = 0.1  # 0.05 to 0.15 s: callers whose connections broke together come back one by one
IDLE_LIMIT_S = 4.0  # uvicorn, and so vLLM, hangs up after 5 s; an answer must not meet that
TAIL_LIMIT_S = 1.0  # for what follows the last word: the usage and [DONE]
CLOSE_LIMIT_S = 5.0
# Of one request rather than of the server: a conversation that is too long, for instance.
_REQUESTS_OWN = frozenset({400, 413, 422})


class ChatSettings(BaseModel):
    """Which server answers, and how long it may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str
    """With the version: ``http://127.0.0.1:8000/v1``."""
    model: str = Field(min_length=1)
    api_key: SecretStr | None = None
    connect_timeout_s: float = Field(default=1.0, gt=0)
    """Of one attempt; there are two."""
    first_token_timeout_s: float = Field(default=4.0, gt=0)
    """From ``ask`` to the first word, whatever it is spent on."""
    between_tokens_timeout_s: float = Field(default=2.0, gt=0)
    max_tokens: int = Field(default=200, ge=1)  # a minute of speech
    temperature: float = Field(default=0.3, ge=0, le=2)
    concurrency: int = Field(default=64, ge=1)
    """Answers under way at once; more wait."""

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        url = URL(text)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("expected http://host[:port]/v1 or https://")
        if url.user is not None or url.password is not None or url.query_string or url.fragment:
            raise ValueError("a key belongs into api_key, and nothing may follow the path")
        return text.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
            raise ValueError("expected printable ASCII")
        return key if key is not None and key.get_secret_value() else None


class OpenAiChat:
    """``Answers`` from one server. No method but ``poll`` waits; the clock is the breaker's alone."""

    def __init__(
        self,
        settings: ChatSettings,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._numbers = itertools.count()
        self._open: dict[CallId, int] = {}
        self._pieces: _Pieces = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._requests = _Requests(settings, self._put, Breaker(MAX_FAILURES, PAUSE_S, clock), chance)
        self._requests.start()

    @property
    def ready(self) -> bool:
        """A piece is there; it may be one of a dropped answer, which ``poll`` leaves out."""
        return not self._pieces.empty()

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called on the requests' thread with every piece."""
        self._wake = wake

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        """Begin an answer, dropping the call's one before."""
        self.cancel(call)
        number = self._open[call] = next(self._numbers)
        self._requests.tell(self._requests.begin, number, call, _Question(tuple(messages), tuple(functions)))

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        """Pieces of unfinished answers. Waits only where there is one of those."""
        pieces: list[AnswerPiece] = []
        until = time.monotonic() + timeout_s
        while True:
            wait_s = max(0.0, until - time.monotonic()) if self._open and not pieces else 0.0
            try:
                number, piece = self._pieces.get(timeout=wait_s)
            except queue.Empty:
                break
            if self._open.get(piece.call) != number:  # it was dropped meanwhile
                continue
            pieces.append(piece)
            if piece.done:
                del self._open[piece.call]
        return pieces

    def cancel(self, call: CallId) -> None:
        """Drop the call's answer and close its connection."""
        if (number := self._open.pop(call, None)) is not None:
            self._requests.tell(self._requests.drop, number)

    def close(self) -> None:
        """Drop every answer, close the connections and end the thread. Waits 5 s at most; again does nothing."""
        self._open.clear()
        self._requests.end()
        self._requests.join(CLOSE_LIMIT_S)  # longer only where the system is stuck looking up a name

    def _put(self, number: int, piece: AnswerPiece) -> None:
        self._pieces.put((number, piece))
        self._wake()


_Pieces = queue.SimpleQueue[tuple[int, AnswerPiece]]
_Put = Callable[[int, AnswerPiece], None]


@dataclass(frozen=True, slots=True)
class _Question:
    messages: Sequence[ChatMessage]
    functions: Sequence[Mapping[str, Any]]


class _AnswerError(Exception):
    """An answer ended before its end; no text of the server's is in it."""

    def __init__(self, fault: AnswerFault, reason: str, *, servers: bool = True) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason
        self.servers = servers
        """The server's doing, rather than this one request's or ours."""


class _Requests(threading.Thread):
    """Carries the requests, on a loop of its own. ``tell``, ``end`` and ``join`` are for other threads."""

    def __init__(
        self, settings: ChatSettings, put: _Put, breaker: Breaker[AnswerFault], chance: Callable[[], float]
    ) -> None:
        super().__init__(name="answers", daemon=True)
        self._settings = settings
        self._url = URL(f"{settings.base_url}/chat/completions")
        self._put = put
        self._breaker = breaker
        self._chance = chance
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._closing = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession  # there before the first answer's task, which is begun after _serve's
        self._loop = asyncio.new_event_loop()  # here: whoever makes this learns that no descriptors are left

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def tell(self, do: Callable[..., None], *arguments: object) -> None:
        """Have something done on the loop, in the order of telling. Raises RuntimeError after ``end``."""
        self._loop.call_soon_threadsafe(do, *arguments)

    def end(self) -> None:
        """Drop everything and end the thread."""
        with suppress(RuntimeError):  # it has ended
            self.tell(self._closing.set)

    def begin(self, number: int, call: CallId, question: _Question) -> None:
        task = self._loop.create_task(self._answer(number, call, question))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number))

    def drop(self, number: int) -> None:
        if (task := self._tasks.get(number)) is not None:
            task.cancel()

    async def _serve(self) -> None:
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # what is compressed on the way arrives in lumps
        }
        if (key := self._settings.api_key) is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        async with aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_LIMIT_S),  # the slots are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._settings.connect_timeout_s),
        ) as self._session:
            await self._closing.wait()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, number: int, call: CallId, question: _Question) -> None:
        """One answer from its question to its last piece, which comes whatever happens, unless it is dropped."""

        def deliver(
            text: str,
            *,
            done: bool = False,
            error: AnswerFault | None = None,
            functions: Sequence[FunctionWanted] = (),
        ) -> None:
            self._put(number, AnswerPiece(call, text, done, error, functions))

        try:
            if (fault := self._breaker.refuses()) is not None:
                deliver("", done=True, error=fault)  # the log says once that there is a pause
                return
            await self._in_time(question, deliver)
        except _AnswerError as error:
            log.warning("answer.failed", call=call, fault=error.fault.value, reason=error.reason)
            if error.servers and self._breaker.failed(error.fault):
                log.error("answers.paused", fault=error.fault.value)
            deliver("", done=True, error=error.fault)
        except Exception as error:
            # A fault of ours is one caller's too. Its text may quote the request: key, words and all.
            log.error("answer.crashed", call=call, error=type(error).__name__)
            deliver("", done=True, error=AnswerFault.BAD_REPLY)

    async def _in_time(self, question: _Question, deliver: Callable[..., None]) -> None:
        fault, waits_for = AnswerFault.OVERLOADED, "a free slot"
        try:
            async with asyncio.timeout(self._settings.first_token_timeout_s) as timer, self._slots:
                fault, waits_for = AnswerFault.TOO_SLOW, "a word"
                response = await self._post(question)
                try:
                    await self._read(response, deliver, timer)
                finally:
                    response.close()  # of no effect on a connection that was given back after a whole reply
        except TimeoutError:
            ours = fault is AnswerFault.OVERLOADED
            raise _AnswerError(fault, f"waited too long for {waits_for}", servers=not ours) from None

    async def _post(self, question: _Question) -> aiohttp.ClientResponse:
        """Ask, a second time if the connection failed. Raises _AnswerError when it was not a stream that came."""
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": message.role, "content": message.content} for message in question.messages],
            "stream": True,
            "max_tokens": self._settings.max_tokens,
            "temperature": self._settings.temperature,
        }
        if question.functions:
            request["tools"] = [{"type": "function", "function": dict(function)} for function in question.functions]
        try:
            try:
                response = await self._session.post(self._url, json=request, allow_redirects=False)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(RETRY_S * (0.5 + self._chance()))
                response = await self._session.post(self._url, json=request, allow_redirects=False)
        except aiohttp.ClientConnectionError as error:
            raise _AnswerError(AnswerFault.UNREACHABLE, type(error).__name__) from None
        except aiohttp.ClientError as error:
            raise _AnswerError(AnswerFault.BAD_REPLY, type(error).__name__) from None
        try:
            if (status := response.status) != 200:
                raise _AnswerError(fault_of_status(status), f"status {status}", servers=status not in _REQUESTS_OWN)
            if response.content_type != "text/event-stream":
                raise _AnswerError(AnswerFault.BAD_REPLY, "not a text/event-stream")
        except _AnswerError:
            response.close()
            raise
        return response

    async def _read(
        self, response: aiohttp.ClientResponse, deliver: Callable[..., None], timer: asyncio.Timeout
    ) -> None:
        """Deliver the words as they come; each moves the deadline of the next."""
        stream = ChatStream()
        spoken = False
        functions: list[FunctionWanted] = []
        while not stream.ended:
            try:
                received = await response.content.readany()
            except aiohttp.ClientError as error:
                raise _AnswerError(AnswerFault.CUT, type(error).__name__) from None
            events = stream.feed(received) if received else stream.end()
            functions += [event.function for event in events if isinstance(event, Called)]
            if text := "".join(event.text for event in events if isinstance(event, Delta)):
                spoken = spoken or not text.isspace()
                timer.reschedule(self._loop.time() + self._settings.between_tokens_timeout_s)
                deliver(text)
            if events and isinstance(failed := events[-1], Failed):
                raise _AnswerError(failed.fault, failed.reason, servers=failed.status not in _REQUESTS_OWN)
        if self._breaker.succeeded():
            log.info("answers.resumed")
        if not spoken and not functions:
            raise _AnswerError(AnswerFault.BAD_REPLY, "an answer without a word", servers=False)
        deliver("", done=True, functions=tuple(functions))
        timer.reschedule(None)
        # A connection whose reply was read to its end serves the next answer.
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(TAIL_LIMIT_S):
                while not response.content.at_eof():
                    await response.content.readany()
