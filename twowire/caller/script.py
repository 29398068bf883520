"""What the caller does, and when: pure, decided once per 20 ms from what is heard.

The caller is polite. It lets the agent finish, says or presses the next thing, waits for the
answer, and hangs up after the last one. With ``barge_in_at_s`` the last thing is an interruption:
it is said that long after the agent's turn before it began (the greeting, if it is the only thing).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from twowire.caller.segments import PAUSE_S

GREETING_PATIENCE_S = 5.0  # an agent that does not greet is spoken to after this
ANSWER_PATIENCE_S = 10.0  # silence after which an answer is not coming any more


@dataclass(frozen=True, slots=True)
class Say:
    """Speech of the caller: µ-law 8 kHz; ``label`` is its text or the name of its file."""

    ulaw: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Press:
    """Keys in a row, 0-9, ``*``, ``#``, A-D, as a hand presses them."""

    keys: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """``reason``: why the caller leaves."""

    reason: str


Step = Say | Press
Action = Say | Press | HangUp


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one call, and what may cut it short. Times in seconds since the call was answered."""

    steps: Sequence[Step] = ()
    barge_in_at_s: float | None = None
    hang_up_after_s: float | None = None
    timeout_s: float = 120.0  # the demo's greeting takes 10 s, a question with its answer 12 s


class _State(Enum):
    WAITING = auto()
    """For the agent to begin and end a turn."""
    TALKING = auto()
    """Our own step is on its way."""
    DONE = auto()


class CallScript:
    """Carries out one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._next = 0
        self._state = _State.WAITING
        self._waiting_since_s = 0.0
        self._turn_heard_s: float | None = None
        self._old_turn_s: float | None = None
        self._quiet_since_s = 0.0
        self.unanswered = 0
        """Steps to which the agent said nothing."""
        self.barge_in_missed = False
        """The agent's turn was over before the time of the interruption came."""

    def advance(
        self, at_s: float, agent_since_s: float | None, *, agent_voiced: bool, agent_buffered: bool, talking: bool
    ) -> Action | None:
        """What to do after the tick at ``at_s``.

        ``agent_since_s``: start of the agent's utterance, None between two; ``talking``: a step is on its way.
        """
        if agent_voiced:
            self._quiet_since_s = at_s
        if self._state is _State.DONE:
            return None
        if self._plan.hang_up_after_s is not None and at_s >= self._plan.hang_up_after_s:
            return self._leave("hang_up_after")
        if at_s >= self._plan.timeout_s:
            self.end()
            return self._leave("timeout")
        if self._state is _State.TALKING:
            if talking:
                return None
            self._state, self._waiting_since_s = _State.WAITING, at_s
        if agent_voiced and agent_since_s is not None and agent_since_s != self._old_turn_s:
            self._turn_heard_s = agent_since_s
        return self._wait(at_s, agent_since_s, agent_buffered)

    @property
    def completed(self) -> bool:
        """True when every step was carried out."""
        return self._next == len(self._plan.steps)

    def end(self) -> None:
        """The call is over, whatever the plan was: a step that was not answered by now will not be."""
        if self._state is not _State.DONE:
            self._state = _State.DONE
            self.unanswered += self._next > 0 and self._turn_heard_s is None

    def _wait(self, at_s: float, agent_since_s: float | None, agent_buffered: bool) -> Action | None:
        heard_s = self._turn_heard_s
        quiet_s = at_s - max(self._quiet_since_s, self._waiting_since_s)
        if heard_s is None:
            patience_s = ANSWER_PATIENCE_S if self._next else GREETING_PATIENCE_S
            if quiet_s < patience_s:
                return None
            self.unanswered += self._next > 0
            return self._go_on(at_s, agent_since_s)
        if self._barge_in_next and at_s >= heard_s + (self._plan.barge_in_at_s or 0.0):
            return self._go_on(at_s, agent_since_s)
        if quiet_s >= PAUSE_S and not agent_buffered:
            self.barge_in_missed |= self._barge_in_next
            return self._go_on(at_s, agent_since_s)
        return None

    @property
    def _barge_in_next(self) -> bool:
        return self._plan.barge_in_at_s is not None and self._next == len(self._plan.steps) - 1

    def _go_on(self, at_s: float, agent_since_s: float | None) -> Action:
        if self._next == len(self._plan.steps):
            return self._leave("done")
        step = self._plan.steps[self._next]
        self._next += 1
        self._state, self._waiting_since_s = _State.TALKING, at_s
        self._turn_heard_s, self._old_turn_s = None, agent_since_s
        return step

    def _leave(self, reason: str) -> HangUp:
        self._state = _State.DONE
        return HangUp(reason)
