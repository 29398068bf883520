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
        """Engines that will do where the line's own is full, in order of preference."""
        return tuple(step.engine for step in self.steps if isinstance(step, SmallerEngine))

    @property
    def queue(self) -> Queue | None:
        """The queue of the line; None when nobody waits."""
        return next((step for step in self.steps if isinstance(step, Queue)), None)

    @property
    def transfer(self) -> Transfer | None:
        """Who takes calls over; None when nobody does."""
        return next((step for step in self.steps if isinstance(step, Transfer)), None)

    def before_queue(self) -> "Ladder":
        """What comes before anybody waits."""
        for number, step in enumerate(self.steps):
            if isinstance(step, Queue):
                return Ladder(self.steps[:number])
        return self

    def after_queue(self) -> "Ladder":
        """What is left for who has waited in vain."""
        for number, step in enumerate(self.steps):
            if isinstance(step, Queue):
                return Ladder(self.steps[number + 1 :])
        return Ladder()
