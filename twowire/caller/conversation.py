"""A whole call from the caller's side, still pure: stream, script and what was observed."""

from collections import deque

from twowire.caller.messages import FRAME_MS, Clear, Mark, Media, StreamIds
from twowire.caller.script import Action, CallScript, HangUp, Plan, Press, Say
from twowire.caller.segments import VOICED_ABOVE, SpeechSegments, loudness, silent_tail_bytes, speech_above
from twowire.caller.stream import Tick, TwilioCaller
from twowire.caller.timeline import Moment, Timeline

KEY_SPACING_S = 0.24  # four keys a second: a quick hand


class Conversation:
    """Runs a plan on a stream. ``advance`` before every ``receive``; drain ``poll`` and ``heard`` after each."""

    def __init__(self, ids: StreamIds, parameters: dict[str, str], plan: Plan, now: float) -> None:
        self.stream = TwilioCaller(ids, parameters, now)
        self.script = CallScript(plan)
        self.left: str | None = None
        """Why the caller hung up; None while it has not."""
        self.heard: deque[Tick] = deque()
        """Ticks for the recording."""
        self.late_s: list[float] = []
        self._agent = SpeechSegments()
        self._caller = SpeechSegments()
        self._clears_s: list[float] = []
        self._marks: list[Moment] = []
        self._keys: list[Moment] = []
        self._said: list[Moment] = []
        self._unpressed: deque[str] = deque()
        self._next_key_s = 0.0
        self._speech_above = VOICED_ABOVE
        self._silent_tail_bytes = 0  # of what is being said: an answer into a recording's last silence is an answer

    @property
    def ended(self) -> bool:
        return self.stream.ended

    def next_deadline(self) -> float:
        """When ``advance`` has something to do."""
        return self.stream.next_due()

    def advance(self, now: float) -> None:
        """Do every tick that is due."""
        while not self.stream.ended and self.stream.next_due() <= now:
            self._tick(now)

    def receive(self, text: str | bytes, now: float) -> None:
        """Take one message of the agent's side, which arrived at ``now``."""
        message = self.stream.receive(text)
        at_s = round(self.stream.media_s(now), 4)
        match message:
            case Clear():
                self._agent.cut()
                self._clears_s.append(at_s)
            case Mark():
                self._marks.append(Moment(at_s, message.mark.name))
            case Media() | None:
                pass  # audio counts when it is heard; what Twilio refuses is in the stream's violations

    def agent_left(self) -> None:
        """The application closed the stream."""
        self.stream.ended = True
        self.script.end()

    def poll(self) -> str | None:
        """The next text to send."""
        return self.stream.poll()

    def timeline(self) -> Timeline:
        return Timeline(self._agent.all(), self._caller.all(), self._clears_s, self._keys, self._marks, self._said)

    def _tick(self, now: float) -> None:
        tick = self.stream.tick(now)
        at_s = tick.index * FRAME_MS / 1_000
        self.heard.append(tick)
        self.late_s.append(tick.late_s)
        self._caller.push(tick.index, loudness(tick.sent) > self._speech_above)
        voiced = loudness(tick.heard) > VOICED_ABOVE
        self._agent.push(tick.index, voiced)
        action = self.script.advance(
            at_s,
            self._agent.open_since_s,
            agent_voiced=voiced,
            agent_buffered=self.stream.agent_buffered,
            talking=self.stream.unsent_bytes > self._silent_tail_bytes or bool(self._unpressed),
        )
        self._do(action, at_s)
        if self._unpressed and at_s >= self._next_key_s and not self.ended:
            key = self._unpressed.popleft()
            self._keys.append(Moment(at_s, key))
            self._next_key_s = round(at_s + KEY_SPACING_S, 3)
            self.stream.press(key)

    def _do(self, action: Action | None, at_s: float) -> None:
        match action:
            case Say(ulaw, label):
                self._said.append(Moment(at_s, label))
                self._speech_above = speech_above(ulaw)
                self._silent_tail_bytes = silent_tail_bytes(ulaw, self._speech_above)
                self.stream.speak(ulaw)
            case Press(keys):
                self._unpressed.extend(keys)
            case HangUp(reason):
                self.left = reason
                self.stream.hang_up()
            case None:
                pass
