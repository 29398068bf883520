"""A whole call from the caller's side, still pure: line, script and what was observed."""

from collections import deque
from typing import Protocol

from twowire.caller.messages import FRAME_MS
from twowire.caller.script import Action, CallScript, HangUp, Plan, Press, Say
from twowire.caller.segments import VOICED_ABOVE, SpeechSegments, loudness, silent_tail_bytes, speech_above
from twowire.caller.stream import Tick
from twowire.caller.timeline import Moment, Timeline

KEY_SPACING_S = 0.24  # four keys a second: a quick hand


class CallerLine(Protocol):
    """The caller's end of a door, with a 20 ms media clock of its own. ``now`` is monotonic seconds."""

    ended: bool

    @property
    def unsent_bytes(self) -> int:
        """Caller's audio that is left to send."""

    @property
    def agent_buffered(self) -> bool:
        """True while there is agent's audio left to play."""

    def media_s(self, now: float) -> float:
        """``now`` on the media clock."""

    def next_due(self) -> float:
        """When the next tick is due."""

    def tick(self, now: float) -> Tick:
        """Send 20 ms and hear 20 ms. Run once per due time, however late."""

    def speak(self, ulaw: bytes) -> None:
        """Say this from the next tick on, after what is being said."""

    def press(self, digit: str) -> None:
        """Press a key."""

    def hang_up(self) -> None:
        """End the call; no tick may follow."""


class Conversation:
    """Runs a plan on a line. ``advance`` before anything the line received; drain ``heard`` after it."""

    def __init__(self, line: CallerLine, plan: Plan) -> None:
        self.line = line
        self.script = CallScript(plan)
        self.left: str | None = None
        """Why the caller hung up; None while it has not."""
        self.heard: deque[Tick] = deque()
        """Ticks for the recording."""
        self.late_s: list[float] = []
        self._agent = SpeechSegments()
        self._caller = SpeechSegments()
        self._clears_s: list[float] = []
        self._cleared = False  # since the last tick
        self._marks: list[Moment] = []
        self._keys: list[Moment] = []
        self._said: list[Moment] = []
        self._unpressed: deque[str] = deque()
        self._next_key_s = 0.0
        self._speech_above = VOICED_ABOVE
        self._silent_tail_bytes = 0  # of what is being said: an answer into a recording's last silence is an answer

    @property
    def ended(self) -> bool:
        return self.line.ended

    def next_deadline(self) -> float:
        """When ``advance`` has something to do."""
        return self.line.next_due()

    def advance(self, now: float) -> None:
        """Do every tick that is due."""
        while not self.line.ended and self.line.next_due() <= now:
            self._tick(now)

    def cleared(self, now: float) -> None:
        """The agent's side took back what was not played yet."""
        self._cleared = True
        self._clears_s.append(round(self.line.media_s(now), 4))

    def marked(self, name: str, now: float) -> None:
        """The agent's side set a mark."""
        self._marks.append(Moment(round(self.line.media_s(now), 4), name))

    def agent_left(self) -> None:
        """The agent's side ended the call."""
        self.line.ended = True
        self.script.end()

    def timeline(self) -> Timeline:
        return Timeline(self._agent.all(), self._caller.all(), self._clears_s, self._keys, self._marks, self._said)

    def _tick(self, now: float) -> None:
        tick = self.line.tick(now)
        at_s = tick.index * FRAME_MS / 1_000
        self.heard.append(tick)
        self.late_s.append(tick.late_s)
        self._caller.push(tick.index, loudness(tick.sent) > self._speech_above)
        voiced = loudness(tick.heard) > VOICED_ABOVE
        if self._cleared:
            self._cleared = False
            if not voiced:  # else the agent goes on, more quietly or as before
                self._agent.cut()
        self._agent.push(tick.index, voiced)
        action = self.script.advance(
            at_s,
            self._agent.open_since_s,
            agent_voiced=voiced,
            agent_buffered=self.line.agent_buffered,
            talking=self.line.unsent_bytes > self._silent_tail_bytes or bool(self._unpressed),
        )
        self._do(action, at_s)
        if self._unpressed and at_s >= self._next_key_s and not self.ended:
            key = self._unpressed.popleft()
            self._keys.append(Moment(at_s, key))
            self._next_key_s = round(at_s + KEY_SPACING_S, 3)
            self.line.press(key)

    def _do(self, action: Action | None, at_s: float) -> None:
        match action:
            case Say(ulaw, label):
                self._said.append(Moment(at_s, label))
                self._speech_above = speech_above(ulaw)
                self._silent_tail_bytes = silent_tail_bytes(ulaw, self._speech_above)
                self.line.speak(ulaw)
            case Press(keys):
                self._unpressed.extend(keys)
            case HangUp(reason):
                self.left = reason
                self.line.hang_up()
            case None:
                pass
