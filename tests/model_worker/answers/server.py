"""A server of ``/v1/chat/completions`` that refuses what the protocol does not allow, and misbehaves as it is told.

It runs on a thread of its own and counts what it sees: ``asked``, ``finished``, and ``aborted`` for a
client that closed its connection while words were generated for it.
"""

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal, Self

import msgspec
from aiohttp import web

MODEL = "bakery-7b"
KEY = "sk-test-1234567890"
WAIT_S = 10.0
DONE = b"data: [DONE]\n\n"
ANYTHING = ""
"""A question for ``ChatServer.when``: any that has no plan of its own."""


class Act(Enum):
    """What it does besides writing."""

    GATE = auto()
    """Wait for ``ChatServer.release`` or for the client to go."""
    PING = auto()
    """Send comments for ever."""
    CUT = auto()
    """Close the connection in the middle."""
    RESET = auto()
    """Break the connection off."""


@dataclass(frozen=True)
class Plan:
    """How one request is answered."""

    steps: Sequence[bytes | Act]
    status: int = 200
    content_type: str = "text/event-stream"
    location: str = ""
    """Where a redirection leads."""
    before: Act | None = None
    """Done before the status."""
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


def words(*texts: str) -> list[bytes | Act]:
    """Chunks with these words, as they stand between the first and the last of a reply."""
    return [chunk({"content": text}) for text in texts]


def chunk(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


FIRST, LAST = chunk({"role": "assistant", "content": ""}), chunk({}, "stop")


def calls(name: str, arguments: str, *texts: str) -> Plan:
    """A reply that says something and calls a function."""
    called = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    more = {"index": 0, "function": {"arguments": arguments}}
    steps = [FIRST, *words(*texts), chunk({"tool_calls": [called]}), chunk({"tool_calls": [more]})]
    return Plan([*steps, chunk({}, "tool_calls"), DONE])


def says(*texts: str) -> Plan:
    """A whole and proper reply."""
    return Plan([FIRST, *words(*texts), LAST, DONE])


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str
    parameters: dict[str, object]


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _Function


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    messages: list[_Message]
    stream: bool
    max_tokens: int
    temperature: float
    tools: list[_Tool] = []


class _BrokenAsPlannedError(Exception):
    pass


class ChatServer:
    """Answers by the last user's words: see ``when``. Leave its context with no ``violations``."""

    def __init__(self, key: str | None = KEY) -> None:
        self.violations: list[str] = []
        self.requests: list[list[tuple[str, str]]] = []
        """The messages of each, as (role, content)."""
        self.functions: list[list[str]] = []
        """The names of those that each might call."""
        self.peers: set[tuple[str, int]] = set()
        """The connections that requests came over."""
        self.most_at_once = 0
        self._key = key
        self._plans: dict[str, list[Plan]] = {}
        self._seen: Counter[str] = Counter()
        self._change = threading.Condition()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="chat-server")

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def when(self, question: str, *plans: Plan) -> Plan:
        """How requests with these last words are answered, one after the other; the last plan stays.

        Returns the first, for ``release``.
        """
        self._plans[question] = [replace(plan, gate=asyncio.Semaphore(0)) for plan in plans]  # a gate of this server's
        return self._plans[question][0]

    def release(self, plan: Plan) -> None:
        """Let one reply of this plan go through its gate."""
        self._loop.call_soon_threadsafe(plan.gate.release)

    def saw(self, what: str, times: int = 1) -> bool:
        """Whether it was seen so often, waiting for it."""
        with self._change:
            return self._change.wait_for(lambda: self._seen[what] >= times, WAIT_S)

    def count(self, what: str) -> int:
        with self._change:
            return self._seen[what]

    def _note(self, what: str) -> None:
        with self._change:
            self._seen[what] += 1
            self.most_at_once = max(
                self.most_at_once, self._seen["asked"] - self._seen["finished"] - self._seen["aborted"]
            )
            self._change.notify_all()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            asked = self._checked(request, body)
        except (ValueError, msgspec.DecodeError) as error:
            self.violations.append(str(error))
            return web.Response(status=400)
        if request.transport is not None:
            self.peers.add(request.transport.get_extra_info("peername"))
        self.requests.append([(message.role, message.content) for message in asked.messages])
        self.functions.append([tool.function.name for tool in asked.tools])
        question = asked.messages[-1].content
        plans = self._plans[question if question in self._plans else ANYTHING]
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        self._note("asked")
        try:
            response: web.StreamResponse = await self._reply(request, plan)
        except _BrokenAsPlannedError:
            response = web.Response()  # which finds no connection to go over
        except (asyncio.CancelledError, ConnectionError):
            self._note("aborted")
            raise
        self._note("finished")
        return response

    def _checked(self, request: web.Request, body: bytes) -> _Request:
        """Raises ValueError and DecodeError for what OpenAI's reference does not allow, or we do not mean to send."""
        expected: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Authorization": None if self._key is None else f"Bearer {self._key}",
            "Cookie": None,
        }
        if request.method != "POST" or request.path_qs != "/v1/chat/completions":
            raise ValueError(f"{request.method} {request.path_qs}")
        for name, value in expected.items():
            if request.headers.getall(name, []) != ([] if value is None else [value]):
                raise ValueError(f"{name}: {request.headers.getall(name, [])}, expected {value}")
        asked = msgspec.json.decode(body, type=_Request)
        if asked.model != MODEL or not asked.stream:
            raise ValueError(f"model {asked.model!r}, stream {asked.stream}")
        if asked.max_tokens < 1 or not 0 <= asked.temperature <= 2:
            raise ValueError(f"max_tokens {asked.max_tokens}, temperature {asked.temperature}")
        if not asked.messages or not all(message.content for message in asked.messages):
            raise ValueError("no messages, or an empty one")
        return asked

    async def _reply(self, request: web.Request, plan: Plan) -> web.StreamResponse:
        if plan.before is not None:
            await self._act(request, plan, plan.before)
        headers = {"Content-Type": plan.content_type} | ({"Location": plan.location} if plan.location else {})
        response = web.StreamResponse(status=plan.status, headers=headers)
        await response.prepare(request)
        for step in plan.steps:
            if isinstance(step, bytes):
                await response.write(step)
            elif step is Act.PING:
                while True:
                    await response.write(b": still here\n\n")
                    await asyncio.sleep(0.01)  # its pace; nobody waits for it
            else:
                await self._act(request, plan, step)
        await response.write_eof()
        return response

    async def _act(self, request: web.Request, plan: Plan, act: Act) -> None:
        if act is Act.GATE:
            self._note("at gate")
            await plan.gate.acquire()
            return
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client was faster")
        if act is Act.RESET:
            linger = struct.pack("ii", 1, 0)  # none: the kernel sends RST
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()  # after what was written
        raise _BrokenAsPlannedError


@contextmanager
def nobody_listens() -> Iterator[str]:
    """The base URL of a port that refuses connections, and is nobody else's meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"


@contextmanager
def nobody_accepts() -> Iterator[str]:
    """The base URL of a port whose queue of connections is full: another one is never established."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether it came true in time; another thread makes it so."""
    step = threading.Event()
    return any(condition() or step.wait(0.01) for _ in range(int(WAIT_S * 100)))
