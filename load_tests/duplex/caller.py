"""A caller who waits for the agent's voice, sounds over it at a moment of his own, and keeps what he hears.

Everything is on the caller's media clock: frame *n* is sent when frame *n* begins to be heard.
"""

from dataclasses import dataclass, field

from load_tests.duplex.sounds import Sound
from twowire.caller.messages import StreamIds
from twowire.caller.script import Action, HangUp, Plan, Say
from twowire.caller.session import CallSession
from twowire.caller.stream import Tick
from twowire.caller.twilio_conversation import TwilioConversation

FRAME_S = 0.02


@dataclass(frozen=True, slots=True)
class Event:
    """A sound, and how long after the agent's voice has begun (again) it is made."""

    sound: Sound
    after_s: float


@dataclass(slots=True)
class Made:
    """An event that took place: its onset is the first sample of frame ``frame``."""

    sound: Sound
    frame: int


@dataclass(slots=True)
class Tape:
    """What was heard, frame by frame, and what was done."""

    heard: list[bytes] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    def write(self, tick: Tick) -> None:
        self.heard.append(tick.heard)
        self.late_s.append(tick.late_s)


class SceneScript:
    """Decides, 20 ms by 20 ms, what the caller does: one event after the other, then hangs up."""

    unanswered = False
    barge_in_missed = False

    def __init__(self, events: list[Event], tape: Tape, rest_s: float, limit_s: float) -> None:
        self._events = list(events)
        self._tape = tape
        self._rest_s = rest_s
        self._limit_s = limit_s
        self._voiced_s = 0.0
        self._free_at_s = 0.0

    def advance(
        self, at_s: float, open_since_s: float | None, *, agent_voiced: bool, agent_buffered: bool, talking: bool
    ) -> Action | None:
        """What to do in this tick."""
        del open_since_s, agent_buffered, talking
        self._voiced_s = self._voiced_s + FRAME_S if agent_voiced else 0.0
        if at_s >= self._limit_s or (not self._events and at_s >= self._free_at_s):
            return HangUp("all done" if not self._events else "limit")
        if not self._events or at_s < self._free_at_s or self._voiced_s < self._events[0].after_s:
            return None
        event = self._events.pop(0)
        self._tape.made.append(Made(event.sound, len(self._tape.heard)))
        self._free_at_s = at_s + event.sound.seconds + self._rest_s
        self._voiced_s = 0.0
        return Say(event.sound.ulaw, event.sound.label)

    def end(self) -> None:
        self._events.clear()


class SceneConversation(TwilioConversation):
    """A conversation that follows a ``SceneScript``."""

    def __init__(self, ids: StreamIds, parameters: dict[str, str], script: SceneScript, now: float) -> None:
        super().__init__(ids, parameters, Plan(()), now)
        self.script = script  # type: ignore[assignment]


class SceneSession(CallSession):
    """One call that plays scenes; its tape is ``tape``."""

    events: list[Event]
    tape: Tape
    rest_s = 4.0
    limit_s = 90.0

    def converse(self, ids: StreamIds, parameters: dict[str, str], now: float) -> TwilioConversation:
        script = SceneScript(self.events, self.tape, self.rest_s, self.limit_s)
        return SceneConversation(ids, parameters, script, now)
