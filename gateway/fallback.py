"""What a line does with callers for whom there is no slot, before it refuses them: a ladder, taken step by step."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmallerEngine:
    """A slot of another engine will do as well."""

    name = "engine"
    engine: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """Tell the caller, by words or by a recording; then the next step."""

    name = "greeting"
    say: str
    play: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait for a slot, first come, first served. ``{place}`` in ``say`` is the caller's place, from 1."""

    name = "queue"
    max_wait_s: float
    announce_every_s: float
    say: str
    sound: str
    """Address of what is heard meanwhile; empty for silence."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """To a human."""

    name = "transfer"
    to: str


@dataclass(frozen=True, slots=True)
class Voicemail:
    """Take a message."""

    name = "voicemail"
    say: str
    max_s: int


Step = SmallerEngine | Greeting | Queue | Transfer | Voicemail


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of a line, in order; none: callers are refused at once."""

    steps: tuple[Step, ...] = ()

    @property
    def engines(self) -> tuple[str, ...]:
        """Every engine that will do where the line's own is full."""
        return tuple(step.engine for step in self.steps if isinstance(step, SmallerEngine))

    @property
    def engines_at_once(self) -> tuple[str, ...]:
        """Engines that are asked for before anything is said: no step before them waits for somebody.

        Who can be served needs no excuse, so a greeting does not hold them back; who waits, waits for these.
        """
        return tuple(step.engine for step in self.steps[: self._first_wait()] if isinstance(step, SmallerEngine))

    @property
    def in_turn(self) -> tuple[Step, ...]:
        """What is left for callers whom none of ``engines_at_once`` serves; doors name a step by its number here."""
        at = self._first_wait()
        return tuple(step for step in self.steps[:at] if not isinstance(step, SmallerEngine)) + self.steps[at:]

    @property
    def queue(self) -> Queue | None:
        """The queue of the line; None when nobody waits."""
        return next((step for step in self.steps if isinstance(step, Queue)), None)

    def after_queue(self) -> int:
        """The number of the step for who has waited in vain."""
        return next((number for number, step in enumerate(self.in_turn, 1) if isinstance(step, Queue)), 0)

    def _first_wait(self) -> int:
        takes_time = Queue | Transfer | Voicemail
        return next((at for at, step in enumerate(self.steps) if isinstance(step, takes_time)), len(self.steps))
