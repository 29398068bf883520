"""A caller who waits for the agent's voice, or its silence, sounds at a moment of his own, and keeps what he hears.

Everything is on the caller's media clock: frame *n* is sent when frame *n* begins to be heard.
"""

from dataclasses import dataclass, field

from gateway.sip.uri import SipUri
from load_tests.duplex.echo import EchoingCaller, EchoPath
from load_tests.duplex.sounds import Sound
from twowire.caller.addresses import Addresses
from twowire.caller.conversation import Conversation
from twowire.caller.messages import StreamIds
from twowire.caller.rtp_line import RtpLine
from twowire.caller.script import Action, HangUp, Plan, Say
from twowire.caller.session import CallSession, Dialled
from twowire.caller.sip_call import SipCaller, SipDialled
from twowire.caller.stream import Tick, TwilioCaller
from twowire.caller.twilio_conversation import TwilioConversation

FRAME_S = 0.02
CALLEE = "+15550199"
REST_S = 3.6
"""After a sound, before the next: longer than what is looked at of what followed it."""
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """A sound, and how long the agent's voice has been there (again) when it is made; for a turn, its silence."""

    sound: Sound
    after_s: float


@dataclass(slots=True)
class Made:
    """An event that took place: its onset is the first sample of frame ``frame``."""

    sound: Sound
    frame: int


@dataclass(slots=True)
class Tape:
    """What was heard and sent, frame by frame, and what was done."""

    heard: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    def write(self, tick: Tick) -> None:
        self.heard.append(tick.heard)
        self.sent.append(tick.sent)
        self.late_s.append(tick.late_s)


class SceneScript:
    """Decides, 20 ms by 20 ms, what the caller does: one event after the other, then hangs up."""

    unanswered = False
    barge_in_missed = False

    def __init__(self, events: list[Event], tape: Tape, rest_s: float, limit_s: float, *, listens: bool) -> None:
        self._events = list(events)
        self._tape = tape
        self._rest_s = rest_s
        self._limit_s = limit_s
        self._listens = listens
        self._voiced_s = 0.0
        self._quiet_s = 0.0
        self._spoke = False
        self._free_at_s = 0.0

    def advance(
        self, at_s: float, open_since_s: float | None, *, agent_voiced: bool, agent_buffered: bool, talking: bool
    ) -> Action | None:
        """What to do in this tick."""
        del open_since_s, agent_buffered, talking
        self._quiet_s = 0.0 if agent_voiced else self._quiet_s + FRAME_S
        # A voice has pauses in it; one that is stopped and goes on has been there all the time, too.
        self._voiced_s = self._voiced_s + FRAME_S if self._quiet_s < _PAUSE_S else 0.0
        self._spoke = self._spoke or agent_voiced
        done = not self._events and not self._listens and at_s >= self._free_at_s
        if at_s >= self._limit_s or done:
            return HangUp("all done" if done else "limit")
        if not self._events or at_s < self._free_at_s or not self._due(self._events[0]):
            return None
        event = self._events.pop(0)
        self._tape.made.append(Made(event.sound, round(at_s / FRAME_S) + 1))
        self._free_at_s = at_s + event.sound.seconds + self._rest_s
        self._voiced_s = self._quiet_s = 0.0
        return Say(event.sound.ulaw, event.sound.label)

    def end(self) -> None:
        self._events.clear()

    def _due(self, event: Event) -> bool:
        if event.sound.kind.over_voice:
            return self._voiced_s >= event.after_s
        return self._spoke and self._quiet_s >= event.after_s


@dataclass(frozen=True, slots=True)
class Scene:
    """One call: who calls, and what happens in it. ``policy`` says who judges."""

    policy: str
    number: str
    events: tuple[Event, ...]
    echo: EchoPath | None = None
    rest_s: float = REST_S
    limit_s: float = 90.0

    def script(self, tape: Tape) -> SceneScript:
        """What the caller does. Without events he listens until ``limit_s``."""
        return SceneScript(list(self.events), tape, self.rest_s, self.limit_s, listens=not self.events)


class TwilioScene(CallSession):
    """A scene through the Twilio door; ``tape`` is to be the recording of its run."""

    def __init__(self, addresses: Addresses, api_token: str, scene: Scene, tape: Tape) -> None:
        super().__init__(addresses, Dialled(scene.number, CALLEE), Plan(()), api_token)
        self._scene, self._tape = scene, tape

    def converse(self, ids: StreamIds, parameters: dict[str, str], now: float) -> TwilioConversation:
        echo = self._scene.echo
        stream = TwilioCaller(ids, parameters, now) if echo is None else EchoingCaller(ids, parameters, now, echo)
        conversation = TwilioConversation(stream, Plan(()))
        conversation.script = self._scene.script(self._tape)  # type: ignore[assignment]
        return conversation


class SipScene(SipCaller):
    """A scene through the SIP door, RTP both ways; it knows no echo."""

    def __init__(self, address: tuple[str, int], gateway_url: str, api_token: str, scene: Scene, tape: Tape) -> None:
        target = SipUri(address[0], "agent", address[1])
        super().__init__(SipDialled(target, scene.number), Plan(()), gateway_url, api_token)
        self._scene, self._tape = scene, tape

    def converse(self, line: RtpLine) -> Conversation:
        conversation = Conversation(line, Plan(()))
        conversation.script = self._scene.script(self._tape)  # type: ignore[assignment]
        return conversation
