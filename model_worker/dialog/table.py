"""The dialog's states, and the step it takes for each cue in each of them."""

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    NEW = "new"
    MENU = "menu"
    """Waiting for a question."""
    CONFIRM = "confirm"
    """A yes/no question stands."""
    MORE = "more"
    """An answer was given: another question, yes, no or goodbye."""
    CLOSING = "closing"
    """The last words are being said; an action follows them."""
    CUT = "cut"
    """The caller spoke into the last words, so that the action was not done."""
    ENDED = "ended"


class Cue(Enum):
    """What an input amounts to in the state it meets."""

    BEGAN = "began"
    ASKED = "asked"
    YES = "yes"
    NO = "no"
    MENU = "menu"
    GOODBYE = "goodbye"
    UNCLEAR = "unclear"
    QUIET = "quiet"
    PLAYED = "played"
    BARGED_IN = "barged in"
    TIME_UP = "time up"
    BROKEN = "broken"


class Step(Enum):
    """What the dialog does; each is a method of ``Dialog``."""

    GREET = "greet"
    ANSWER = "answer, or ask to confirm"
    CONFIRMED = "answer the question that was confirmed"
    DECLINED = "offer something else"
    OFFER_MENU = "say the menu"
    ASK_AGAIN = "ask the yes/no question again"
    PART = "say goodbye and hang up"
    REPROMPT = "count a failure; ask again or give up"
    NUDGE = "resume, prompt, or end a silent call"
    NOTE_PLAYED = "nothing was cut"
    NOTE_CUT = "remember that the last words were cut"
    LEAVE_OPEN = "the action was cut off with the words"
    DONE = "the action is the gateway's now"
    ACT_NOW = "do without words what was cut off"
    ACT_IF_QUIET = "the same once the caller has been quiet"
    RUN_OUT = "say that the time is up and hang up"
    GIVE_UP = "end as after too many failures, without words"
    IGNORE = "nothing"


_OPEN: Mapping[Cue, Step] = {
    Cue.BEGAN: Step.IGNORE,
    Cue.ASKED: Step.ANSWER,
    Cue.YES: Step.OFFER_MENU,
    Cue.NO: Step.PART,
    Cue.MENU: Step.OFFER_MENU,
    Cue.GOODBYE: Step.PART,
    Cue.UNCLEAR: Step.REPROMPT,
    Cue.QUIET: Step.NUDGE,
    Cue.PLAYED: Step.NOTE_PLAYED,
    Cue.BARGED_IN: Step.NOTE_CUT,
    Cue.TIME_UP: Step.RUN_OUT,
    Cue.BROKEN: Step.GIVE_UP,
}
_NOTHING: Mapping[Cue, Step] = dict.fromkeys(Cue, Step.IGNORE)

TABLE: Mapping[State, Mapping[Cue, Step]] = {
    State.NEW: {**_NOTHING, Cue.BEGAN: Step.GREET, Cue.BROKEN: Step.GIVE_UP},
    State.MENU: {**_OPEN, Cue.YES: Step.REPROMPT, Cue.NO: Step.REPROMPT},
    State.CONFIRM: {**_OPEN, Cue.YES: Step.CONFIRMED, Cue.NO: Step.DECLINED, Cue.MENU: Step.ASK_AGAIN},
    State.MORE: _OPEN,
    State.CLOSING: {
        **_NOTHING,
        Cue.ASKED: Step.ANSWER,
        Cue.YES: Step.ACT_NOW,
        Cue.NO: Step.OFFER_MENU,
        Cue.MENU: Step.OFFER_MENU,
        Cue.GOODBYE: Step.ACT_NOW,
        Cue.PLAYED: Step.DONE,
        Cue.BARGED_IN: Step.LEAVE_OPEN,
        Cue.BROKEN: Step.ACT_NOW,
    },
    State.CUT: {
        **_NOTHING,
        Cue.ASKED: Step.ANSWER,
        Cue.YES: Step.ACT_NOW,
        Cue.NO: Step.OFFER_MENU,
        Cue.MENU: Step.OFFER_MENU,
        Cue.GOODBYE: Step.ACT_NOW,
        Cue.UNCLEAR: Step.ACT_NOW,
        Cue.QUIET: Step.ACT_IF_QUIET,
        Cue.TIME_UP: Step.ACT_NOW,
        Cue.BROKEN: Step.ACT_NOW,
    },
    State.ENDED: _NOTHING,
}
"""Every pair has a step; ``IGNORE`` is one.

YES and NO have keys of their own in CONFIRM alone. Wherever else they are understood they take the
step of a key that means something there: in MORE, yes is ``*`` and no is ``#``; in CLOSING and CUT,
no is ``*`` (back to the menu) and yes is ``#`` (go ahead).
"""
