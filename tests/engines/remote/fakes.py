"""Links that are lists, and a session whose protocol is the effects themselves."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from model_worker.dialog.brief import Brief
from model_worker.duplex.remote.call import RemoteCall
from model_worker.duplex.remote.effects import Effect, Frame, Line, Ready, Request, Send, Sound
from model_worker.duplex.remote.seam import Connected, Dialect, LinkEvent, LinkId, Opening, Received
from model_worker.seams import Capabilities, Pcm, StepInput, StepOutput
from wire.ids import NO_TURN, CallId, TurnId

CALL = CallId("call-1")
RATE_HZ = 24_000
CHUNK = np.zeros(9_600, np.int16)

CAPABILITIES = Capabilities(
    engine="fake",
    chunk_ms=400,
    first_chunk_ms=400,
    input_rate_hz=RATE_HZ,
    output_rate_hz=RATE_HZ,
    explicit_decision=False,
    hears_while_speaking=True,
    sessions=4,
    says_given_words=True,
)


class FakeSession:
    """Does what ``becomes`` is told; writes down what it is told itself."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.told: list[object] = []
        self.effects: deque[Effect] = deque()
        self.ready_on_connect = True

    def connected(self) -> None:
        self.told.append("connected")
        self.effects.append(Send("hello"))
        if self.ready_on_connect:
            self.effects.append(Ready())

    def receive(self, frame: Frame) -> None:
        self.told.append(frame)

    def hear(self, pcm: Pcm) -> None:
        self.told.append(len(pcm))

    def played(self, heard_s: float) -> None:
        self.told.append(("played", heard_s))

    def interrupt(self, heard_s: float) -> None:
        self.told.append(("interrupt", heard_s))

    def press(self, keys: str) -> None:
        self.told.append(("press", keys))

    def say(self, text: str) -> None:
        self.told.append(("say", text))

    def end(self) -> None:
        self.told.append("end")

    def poll(self) -> Effect | None:
        return self.effects.popleft() if self.effects else None

    @property
    def chunks(self) -> int:
        return sum(1 for told in self.told if told == len(CHUNK))


class FakeLinks:
    """Connects at once unless ``hold``."""

    def __init__(self) -> None:
        self.hold = False
        self.opened: list[Request] = []
        self.sent: list[tuple[LinkId, Frame]] = []
        self.closed: list[LinkId] = []
        self.events: list[tuple[LinkId, LinkEvent]] = []

    @property
    def ready(self) -> bool:
        return bool(self.events)

    def on_ready(self, wake: Callable[[], None]) -> None:
        pass

    def open(self, request: Request) -> LinkId:
        self.opened.append(request)
        link = LinkId(len(self.opened))
        if not self.hold:
            self.events.append((link, Connected()))
        return link

    def send(self, link: LinkId, frame: Frame) -> None:
        assert link not in self.closed, "sent on a closed link"
        self.sent.append((link, frame))

    def close(self, link: LinkId) -> None:
        self.closed.append(link)

    def poll(self) -> list[tuple[LinkId, LinkEvent]]:
        events, self.events = self.events, []
        return events

    def shutdown(self) -> None:
        pass


class Bench:
    """A call, its fake sessions, and a clockless caller."""

    def __init__(
        self,
        brief: Brief,
        limit_s: float | None = None,
        said: Sequence[Line] = (),
        *,
        yields_by_itself: bool = False,
        one_session_a_call: bool = False,
    ) -> None:
        self.links = FakeLinks()
        self.sessions: list[FakeSession] = []
        self.ready_on_connect = True
        self.dialect = Dialect(
            CAPABILITIES,
            lambda _: Request("ws://server"),
            self._session,
            limit_s,
            yields_by_itself=yields_by_itself,
            one_session_a_call=one_session_a_call,
        )
        self.call = RemoteCall(CALL, brief, self.dialect, self.links, said)
        self.index = -1
        self.heard: tuple[TurnId, float] = (NO_TURN, 0.0)

    def _session(self, opening: Opening) -> FakeSession:
        session = FakeSession(opening)
        session.ready_on_connect = self.ready_on_connect
        self.sessions.append(session)
        return session

    @property
    def session(self) -> FakeSession:
        return self.sessions[-1]

    def link(self) -> None:
        """What the links have to tell is told."""
        for link, event in self.links.poll():
            self.call.take(link, event)

    def tells(self, *effects: Effect) -> list[StepOutput]:
        """The newest session wants this, upon a message of its server."""
        return self.session_tells(len(self.sessions), *effects)

    def session_tells(self, number: int, *effects: Effect) -> list[StepOutput]:
        self.sessions[number - 1].effects.extend(effects)
        self.call.take(LinkId(number), Received("message"))
        return self.call.take_outputs()

    def lost(self, event: LinkEvent) -> list[StepOutput]:
        self.call.take(LinkId(len(self.sessions)), event)
        return self.call.take_outputs()

    def speaks(self, chunks: int = 1, *, dtmf: str = "", overlap_s: float = 0.0) -> list[StepOutput]:
        """The caller goes on, while what the agent said plays."""
        outputs: list[StepOutput] = []
        for _ in range(chunks):
            self.index += 1
            turn, heard_s = self.heard
            self.heard = (turn, heard_s + 0.4)
            self.call.hear(StepInput(CALL, self.index, CHUNK, self.heard, dtmf, overlap_s=overlap_s))
            self.link()
            outputs += self.call.take_outputs()
        return outputs

    def plays(self, turn: int) -> None:
        """The gateway begins with a turn."""
        self.heard = (TurnId(turn), 0.0)


def sound(seconds: float) -> Sound:
    return Sound(np.full(round(seconds * RATE_HZ), 500, np.int16))
