"""Duck, then decide: who has the floor once the caller sounds over the agent's voice.

The agent's voice is lowered at once and plays on. Then either somebody who can tell says whose turn it is
(the engine, ``Decision.floor``), or the length of the sound does: an acknowledgement is shorter than an
objection. A voice that was stopped on length alone is only *held*: when the sound turns out short after
all, the turn goes on from the word in which it was stopped.

An engine that judges is waited for. The sound may be over by then: the voice is back already, and yet a
"yield" takes the floor (*regained*). After "keep" the same sound is not asked about again (*tolerated*).
"""

from enum import Enum


class FloorState(Enum):
    """Whose turn it is while the agent has a turn open."""

    CLEAR = "clear"
    """The agent is heard; the caller is silent, as far as we can tell."""
    DUCKED = "ducked"
    """The caller sounds over the agent, whose voice is lowered."""
    HELD = "held"
    """The caller sounded for so long that the voice was stopped; it may go on."""
    REGAINED = "regained"
    """The sound was over before the engine judged it."""
    TOLERATED = "tolerated"
    """The sound goes on, but the engine said to go on too."""


class FloorEvent(Enum):
    """What moves it."""

    ONSET = "onset"
    LONG = "long"
    """The caller has spoken for ``stop_after_s``, and no engine is waited for."""
    SURE = "sure"
    """The caller has spoken for ``sure_after_s``, and no engine is waited for."""
    OVER = "over"
    """The caller has been quiet for ``over_after_s``."""
    OVERDUE = "overdue"
    """The engine that is waited for has not judged within ``judged_within_s``."""
    YIELD = "yield"
    """The engine gives the floor to the caller."""
    KEEP = "keep"
    """The engine says that it was nothing."""


class FloorAction(Enum):
    """What the agent's voice does."""

    NOTHING = "nothing"
    LOWER = "lower"
    RESTORE = "restore"
    STOP = "stop"
    RESUME = "resume"
    SETTLE = "settle"
    """It stays as it is: back, and heard."""
    GIVE = "give"
    """The turn is over: the caller has the floor."""


_S, _E, _A = FloorState, FloorEvent, FloorAction

TRANSITIONS: dict[FloorState, dict[FloorEvent, tuple[FloorState, FloorAction]]] = {
    _S.CLEAR: {_E.ONSET: (_S.DUCKED, _A.LOWER)},
    _S.DUCKED: {
        _E.LONG: (_S.HELD, _A.STOP),
        _E.OVER: (_S.CLEAR, _A.RESTORE),  # REGAINED where an engine is waited for
        _E.YIELD: (_S.CLEAR, _A.GIVE),
        _E.KEEP: (_S.TOLERATED, _A.RESTORE),
    },
    _S.HELD: {
        _E.SURE: (_S.CLEAR, _A.GIVE),
        _E.OVER: (_S.CLEAR, _A.RESUME),
        _E.YIELD: (_S.CLEAR, _A.GIVE),
        _E.KEEP: (_S.TOLERATED, _A.RESUME),
    },
    _S.REGAINED: {
        _E.ONSET: (_S.DUCKED, _A.LOWER),
        _E.YIELD: (_S.CLEAR, _A.GIVE),
        _E.KEEP: (_S.CLEAR, _A.SETTLE),
        _E.OVERDUE: (_S.CLEAR, _A.SETTLE),
    },
    _S.TOLERATED: {_E.OVER: (_S.CLEAR, _A.NOTHING)},
}


class FloorMachine:
    """Walks ``TRANSITIONS``; what the table does not know in a state changes nothing there."""

    def __init__(self) -> None:
        self.state = FloorState.CLEAR

    @property
    def undecided(self) -> bool:
        """True while it is open whose turn it is."""
        return self.state in (FloorState.DUCKED, FloorState.HELD, FloorState.REGAINED)

    def apply(self, event: FloorEvent, *, judge_awaited: bool = False) -> FloorAction:
        """Move on and return what the voice does. ``judge_awaited``: an engine has yet to say what the sound was."""
        known = TRANSITIONS[self.state].get(event)
        if known is None:
            return FloorAction.NOTHING
        was = self.state
        self.state, action = known
        if was is FloorState.DUCKED and event is FloorEvent.OVER and judge_awaited:
            self.state = FloorState.REGAINED
        return action

    def reset(self) -> None:
        self.state = FloorState.CLEAR
