"""The turn machine: whether the agent has the floor.

A turn opens with the first word of the worker that names it, is *finishing* once the worker
has said all of it while its audio still plays, and ends by being played out or cancelled. A
newer turn takes the floor from an older one at once. Speech of any turn but the open one is
dropped by comparison of its id (``gateway.call``); no queue is ever searched for it.
"""

from enum import Enum


class TurnState(Enum):
    """Who has the floor."""

    LISTENING = "listening"
    SPEAKING = "speaking"
    FINISHING = "finishing"


class TurnEvent(Enum):
    """What moves it."""

    OPENED = "opened"
    """The worker begins a turn newer than the open one."""
    COMPLETED = "completed"
    """The worker has nothing more to say in the open turn."""
    PLAYED_OUT = "played out"
    """The caller heard the last sample of a completed turn."""
    CANCELLED = "cancelled"
    """The gateway stopped the open turn: barge-in, or the call ends."""


TRANSITIONS: dict[TurnState, dict[TurnEvent, TurnState]] = {
    TurnState.LISTENING: {TurnEvent.OPENED: TurnState.SPEAKING},
    TurnState.SPEAKING: {
        TurnEvent.OPENED: TurnState.SPEAKING,
        TurnEvent.COMPLETED: TurnState.FINISHING,
        TurnEvent.CANCELLED: TurnState.LISTENING,
    },
    TurnState.FINISHING: {
        TurnEvent.OPENED: TurnState.SPEAKING,
        TurnEvent.PLAYED_OUT: TurnState.LISTENING,
        TurnEvent.CANCELLED: TurnState.LISTENING,
    },
}


class TurnMachine:
    """Walks ``TRANSITIONS``; an event that the table does not know is a fault of the caller's."""

    def __init__(self) -> None:
        self.state = TurnState.LISTENING

    def apply(self, event: TurnEvent) -> None:
        """Move on. Raises KeyError for a pair that is not in the table."""
        self.state = TRANSITIONS[self.state][event]

    @property
    def has_floor(self) -> bool:
        """True while the agent speaks or is about to be heard to the end."""
        return self.state is not TurnState.LISTENING
