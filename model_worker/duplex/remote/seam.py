"""What an engine that is a server's is made of: the protocol of one session, and the connections that carry it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NewType, Protocol

from model_worker.dialog.brief import Brief
from model_worker.duplex.remote.effects import Effect, Frame, Line, Request, SessionFault
from model_worker.seams import Capabilities, Pcm
from wire.ids import CallId

READY_WITHIN_S = 5.0  # a caller who hears nothing for longer hangs up


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is begun with. ``said``: the conversation so far, where the call began in another session."""

    call: CallId
    brief: Brief
    said: Sequence[Line] = ()
    resume: str = field(default="", repr=False)
    """What the server gave last to go on from (``Resumable``); empty where it gave nothing."""


class ServerSession(Protocol):
    """One call's session on a server, from its first message to its last. Pure: no I/O, no clock; media time only.

    After every method ``poll`` is asked until it gives None.
    """

    def connected(self) -> None:
        """The connection stands. ``Ready`` follows, now or upon a message of the server."""

    def receive(self, frame: Frame) -> None:
        """A message of the server, whatever it is: what is not of the protocol makes it ``Broken``."""

    def hear(self, pcm: Pcm) -> None:
        """The caller's next chunk, int16 at ``Capabilities.input_rate_hz``, gapless; only after ``Ready``."""

    def played(self, heard_s: float) -> None:
        """So much of the open or last turn the caller has heard by now; told with every chunk while one plays."""

    def interrupt(self, heard_s: float) -> None:
        """The caller took the floor after ``heard_s`` seconds of the open or last turn.

        No ``Sound``, ``Words`` or ``TurnOver`` of that turn follows, whatever the server still sends of it.
        """

    def press(self, keys: str) -> None:
        """Keys that the caller pressed, in order."""

    def say(self, text: str) -> None:
        """An operator wants this said; only where the capabilities have ``says_given_words``."""

    def end(self) -> None:
        """The call is over: say goodbye to the server where the protocol has a word for it."""

    def poll(self) -> Effect | None:
        """What is to be done next, None when there is nothing."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A protocol as an engine: what it can, where its sessions go, and how one begins."""

    capabilities: Capabilities
    request: Callable[[Opening], Request]
    session: Callable[[Opening], ServerSession]
    session_limit_s: float | None = None
    """The server ends a session that heard so much; another one takes over before. None: it never does."""
    yields_by_itself: bool = False
    """It stops speaking when it hears the caller; the gateway waits for its judgement then."""
    ready_within_s: float = READY_WITHIN_S
    """How long its server may prepare a session; counted in what the caller says meanwhile."""
    one_session_a_call: bool = False
    """The server has no second session to begin while the first one goes on: that one is closed before."""
    cannot: Callable[[Brief], str] = lambda _: ""
    """Why no server of this kind can serve a line; empty where it can. Asked before the worker takes calls."""


LinkId = NewType("LinkId", int)


@dataclass(frozen=True, slots=True)
class Connected:
    pass


@dataclass(frozen=True, slots=True)
class Received:
    frame: Frame


@dataclass(frozen=True, slots=True)
class Lost:
    """The link is gone; nothing follows. ``reason`` holds nothing that came from the server."""

    fault: SessionFault
    reason: str


LinkEvent = Connected | Received | Lost


class Links(Protocol):
    """Connections of many sessions. For one thread, and no method waits; a link that was closed tells nothing more."""

    @property
    def ready(self) -> bool:
        """``poll`` has something."""

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``ready`` becomes true."""

    def open(self, request: Request) -> LinkId:
        """Begin to connect; ``Connected`` or ``Lost`` follows."""

    def send(self, link: LinkId, frame: Frame) -> None:
        """After ``Connected``. A server that does not read loses its link."""

    def close(self, link: LinkId) -> None:
        """Send what was given, and close. Unknown links are ignored."""

    def poll(self) -> list[tuple[LinkId, LinkEvent]]:
        """What happened since, in order."""

    def shutdown(self) -> None:
        """Close all links and free what this holds."""
