"""What happens in a dialog (inputs, in the past tense) and what it does about it (outputs, imperative)."""

from dataclasses import dataclass

from model_worker.dialog.agent import Ending, Spoken


@dataclass(frozen=True, slots=True)
class Began:
    """The call is open."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Words were recognized with enough confidence to act on."""

    text: str


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The caller spoke, and nothing that was expected fits."""


@dataclass(frozen=True, slots=True)
class Key:
    """The caller pressed ``digit``."""

    digit: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody has spoken for ``seconds``, and the agent has nothing more to say. Comes again as it grows."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TurnPlayed:
    """The caller heard all that was said last."""


@dataclass(frozen=True, slots=True)
class BargedIn:
    """What was said last was cut off; the caller heard ``text`` of it."""

    text: str


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The call has lasted as long as the agent file allows. Comes once; from then on the caller can only leave."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The agent can no longer speak or listen in this call."""


Input = Began | Heard | NotUnderstood | Key | Silence | TurnPlayed | BargedIn | TimeUp | Broken


@dataclass(frozen=True, slots=True)
class Say:
    """Speak these, one after the other; takes the place of what is being said."""

    texts: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """From here on the caller is expected to say one of ``phrases`` (normalized)."""

    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """Do this to the call: after a ``Say`` of the same answer once that was played, else at once."""

    action: Ending
    to: str = ""


Output = Say | Expect | Act
