"""What the servers of ours have in common: a WebSocket on loopback, on a thread of its own, that follows a script.

A peer is a ``PeerServer`` whose ``serve`` speaks one protocol and is strict about it: what the client does wrong goes
into ``faults``. Time is the sound that a session heard (``PeerSession.listen``), so that nothing depends on the clock
of the machine: ``Cues`` tells what the script wants by then.
"""

import asyncio
import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, ClassVar, Self

from aiohttp import WSMsgType, web

from tests.engines.subject import Reply, Script

KEY = "sk-test-peer-0123456789"
"""What a peer that wants a key is satisfied with."""
WAIT_S = 20.0  # far more than anything here takes; a test that waits so long has failed


class Cue(Enum):
    """What a script wants of a session, beside a ``Reply``."""

    CUT = auto()
    """Drop the connection without a word: ``PeerSession.cut``."""
    GARBAGE = auto()
    """Send what is not of the protocol."""
    EXPIRE = auto()
    """End the session by the server's own limit."""


class Cues:
    """What a session has to do by the seconds of sound that it heard; each once, in the order of their times."""

    def __init__(self, script: Script, *, first_session: bool) -> None:
        planned: list[tuple[float, Reply | Cue]] = [(reply.after_s, reply) for reply in script.replies]
        if script.cuts_at_s is not None and first_session:
            planned.append((script.cuts_at_s, Cue.CUT))
        if script.garbage_at_s is not None:
            planned.append((script.garbage_at_s, Cue.GARBAGE))
        if script.expires_at_s is not None:
            planned.append((script.expires_at_s, Cue.EXPIRE))
        self._planned = sorted(planned, key=lambda entry: entry[0])

    def due(self, heard_s: float) -> Iterator[Reply | Cue]:
        while self._planned and self._planned[0][0] <= heard_s + 1e-9:
            yield self._planned.pop(0)[1]


class PeerSession:
    """One connection of a client. ``received``: all its messages, as they came."""

    def __init__(self, peer: "PeerServer", number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.number = number
        """From 0, in the order of connecting."""
        self.path = request.path
        self.query: Mapping[str, str] = dict(request.query)
        self.headers: Mapping[str, str] = dict(request.headers)
        self.received: list[str | bytes] = []
        self.heard_s = 0.0
        """Sound of the caller that came."""
        self.over = False
        self.replied_unix_s: list[float] = []
        """When each reply began; for benchmarks."""
        self.cues = Cues(peer.script, first_session=number == 0)
        self._peer = peer
        self._request = request
        self._socket = socket

    async def receive(self) -> str | bytes | None:
        """The client's next message; None when it is gone."""
        message = await self._socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return None
        self.received.append(message.data)
        self._peer.changed()
        data: str | bytes = message.data
        return data

    def listen(self, seconds: float) -> Iterator[Reply | Cue]:
        """Note more sound of the caller; gives what the script wants by then."""
        self.heard_s += seconds
        self._peer.changed()
        for cue in self.cues.due(self.heard_s):
            if isinstance(cue, Reply):
                self.replied_unix_s.append(time.time())
            yield cue

    async def send(self, frame: str | bytes) -> None:
        """Nothing happens where the client is gone."""
        if self._socket.closed:
            return
        try:
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
        except ConnectionError:
            return

    async def send_json(self, value: object) -> None:
        await self.send(json.dumps(value))

    async def cut(self) -> None:
        """Drop the connection without a word; what was sent so far arrives."""
        await asyncio.sleep(0)
        if (transport := self._request.transport) is not None:
            transport.close()

    async def close(self, code: int = 1000) -> None:
        """Close properly, with a code of RFC 6455."""
        await self._socket.close(code=code)

    def fault(self, text: str) -> None:
        """The client did something against the protocol."""
        self._peer.faults.append(f"session {self.number}: {text}")
        self._peer.changed()


class PeerServer(ABC):
    """Use it as a context. Subclasses speak a protocol in ``serve``; all of theirs runs on the peer's loop."""

    path: ClassVar[str] = "/"
    """Where the protocol is served; anything else is a 404."""
    subprotocols: ClassVar[Sequence[str]] = ()
    wants_key: ClassVar[bool] = False
    """Whether a client without ``KEY`` is a fault, see ``authorized``."""
    full_status: ClassVar[int | None] = 503
    """How ``Script.full`` is told before the upgrade; None where ``serve`` tells it in the protocol."""

    def __init__(self, script: Script = Script()) -> None:  # noqa: B008  # frozen
        self.script = script
        self.faults: list[str] = []
        self.sessions: list[Any] = []
        self._released = asyncio.Event()
        self._change = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    @property
    def url(self) -> str:
        return f"ws://{self.host}{self.path}"

    def release(self) -> None:
        """Go on where ``Script.opens_slowly`` holds it (``released``)."""
        self._loop.call_soon_threadsafe(self._released.set)

    def wait_for(self, condition: Callable[[], bool], limit_s: float = WAIT_S) -> bool:
        """Wait until ``condition`` of what this peer saw holds; whether it does."""
        with self._change:
            return self._change.wait_for(condition, limit_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @abstractmethod
    async def serve(self, session: Any) -> None:
        """Speak the protocol with one client until it is over. What this raises becomes a fault."""

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> PeerSession:
        """Override for a session that knows more."""
        return PeerSession(self, number, request, socket)

    def authorized(self, request: web.Request) -> bool:
        """Whether the client showed ``KEY``; a bearer token where the protocol has no other way."""
        return request.headers.get("Authorization") == f"Bearer {KEY}"

    def routes(self) -> Sequence[web.RouteDef]:
        """Further addresses of the server: a health page, HTTP calls."""
        return ()

    async def released(self) -> None:
        """Wait here where the protocol says that a session is open."""
        if self.script.opens_slowly:
            await self._released.wait()

    def changed(self) -> None:
        """Something happened that a test may wait for."""
        with self._change:
            self._change.notify_all()

    async def _take_request(self, request: web.Request) -> web.StreamResponse:
        if self.script.refuses_key:
            return web.Response(status=401)
        if self.wants_key and not self.authorized(request):
            self.faults.append("no key, or a wrong one")
            return web.Response(status=401)
        if self.script.full and self.full_status is not None:
            return web.Response(status=self.full_status)
        websocket = web.WebSocketResponse(protocols=self.subprotocols, max_msg_size=16 * 1024 * 1024)
        await websocket.prepare(request)
        session = self.make_session(len(self.sessions), request, websocket)
        self.sessions.append(session)
        try:
            await self.serve(session)
        except (asyncio.CancelledError, ConnectionError):
            pass
        except Exception as error:
            session.fault(f"{type(error).__name__}: {error}")
        session.over = True
        self.changed()
        await websocket.close()
        return websocket

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run_server())

    async def _run_server(self) -> None:
        app = web.Application()
        app.router.add_get(self.path, self._take_request)
        app.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        await self._stop.wait()
        for session in self.sessions:
            await session.cut()
        await runner.cleanup()
