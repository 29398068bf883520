"""What an engine must not do to a caller: say nothing, not stop, go round in circles.

Pure: ``now`` is given, in seconds. Each alarm is raised once per occasion; what is done about it is in
``gateway.call``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from gateway.turn.repetition import Repetition

_UNANSWERED_S = 3.0
"""Quiet after the caller's words that makes them an utterance that was not answered, not a pause in one. An engine
that is about to answer a long story is not called dead before that either."""


class Alarm(StrEnum):
    """What went wrong."""

    NEVER_SPEAKS = "never_speaks"
    """The caller has spoken, and in the whole call the engine has not."""
    DEAD_AIR = "dead_air"
    """The caller has spoken, and nobody says anything."""
    NEVER_YIELDS = "never_yields"
    """The caller goes on talking over a turn that does not end."""
    TOO_LONG = "too_long"
    """A turn has no end."""
    LOOPS = "loops"
    """A turn says the same over and over."""


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """Seconds, but for ``repeats``; ``inf`` turns an alarm off.

    ``never_speaks_s``: from the end of the caller's first words that 3 s of quiet followed, whatever he tries after
    them, but not while he speaks; the call then fails as if its worker were lost. ``dead_air_s``: from the end of the
    caller's words; counted. ``never_yields_s``: of speech over one turn, which then ends. ``reply_s``: of one turn,
    which then ends. ``repeats``: so often in a row a clause is a loop, and ends the turn.
    """

    never_speaks_s: float = 20.0
    dead_air_s: float = 3.0
    never_yields_s: float = 5.0
    reply_s: float = 180.0
    repeats: int = 3


class Watchdogs:
    """Of one call. Feed it; then ``bark`` at ``next_deadline`` at the latest."""

    def __init__(self, limits: WatchdogLimits | None = None) -> None:
        self._limits = limits or WatchdogLimits()
        self._repetition = Repetition(self._limits.repeats)
        self._spoke = False  # the engine, ever
        self._silent_since: float | None = None  # the caller's words ended then, and are not answered
        self._unanswered_since: float | None = None  # the first of the call that nobody answered ended then
        self._turn_since: float | None = None
        self._overlap_since: float | None = None
        self._overlap_until = 0.0
        self._raised: set[Alarm] = set()  # on this occasion

    def hear(self, *, speech: bool, begin_at: float, now: float) -> None:
        """A chunk of the caller that lasted from ``begin_at`` to ``now``, and whether somebody speaks in it."""
        silent_since = self._silent_since
        if self._unanswered_since is None and silent_since is not None and begin_at >= silent_since + _UNANSWERED_S:
            self._unanswered_since = silent_since
        if not speech:
            self._overlap_since = None
            return
        if self._turn_since is not None:
            self._overlap_since = begin_at if self._overlap_since is None else self._overlap_since
            self._overlap_until = now
            return
        self._silent_since = now
        self._raised.discard(Alarm.DEAD_AIR)

    def open_turn(self, now: float) -> None:
        """The engine begins to speak."""
        self._spoke = True
        self._silent_since = self._overlap_since = None
        self._turn_since = now
        self._repetition.clear()
        self._raised.clear()

    def end_turn(self) -> None:
        """The turn was heard to its end, or was cut."""
        if self._overlap_since is not None:
            self._silent_since = self._overlap_until  # who took the floor is owed an answer
        self._turn_since = self._overlap_since = None

    def say(self, text: str) -> Sequence[Alarm]:
        """Words of the open turn."""
        return self._raise(Alarm.LOOPS) if self._repetition.push(text) else ()

    def next_deadline(self) -> float | None:
        """When something will have gone on for too long, if nothing else comes."""
        due = min((at for alarm, at in self._deadlines() if alarm not in self._raised), default=inf)
        return due if due < inf else None

    def bark(self, now: float) -> Sequence[Alarm]:
        """What has gone on for too long."""
        return [alarm for alarm, at in self._deadlines() if now >= at and self._raise(alarm)]

    def _deadlines(self) -> Sequence[tuple[Alarm, float]]:
        limits = self._limits
        since = (
            (Alarm.DEAD_AIR, self._silent_since, limits.dead_air_s),
            (Alarm.NEVER_YIELDS, self._overlap_since, limits.never_yields_s),
            (Alarm.TOO_LONG, self._turn_since, limits.reply_s),
        )
        deadlines = [(alarm, at + limit_s) for alarm, at, limit_s in since if at is not None]
        if not self._spoke and self._silent_since is not None:
            deadlines.append((Alarm.NEVER_SPEAKS, self._never_speaks_at(self._silent_since)))  # last: it ends the call
        return deadlines

    def _never_speaks_at(self, silent_since: float) -> float:
        limit_s = self._limits.never_speaks_s
        if self._unanswered_since is None:
            return silent_since + limit_s
        return max(self._unanswered_since + limit_s, silent_since + min(limit_s, _UNANSWERED_S))

    def _raise(self, alarm: Alarm) -> Sequence[Alarm]:
        if alarm in self._raised:
            return ()
        self._raised.add(alarm)
        return (alarm,)
