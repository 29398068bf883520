"""What is known of a call after it, through whichever door it went."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from twowire.caller.conversation import Conversation
from twowire.caller.stream import Tick


class CallRefusedError(Exception):
    """The gateway did not take the call; the text says why and what to do."""


class CannotConnectError(Exception):
    """Nothing answers at the address; the text names it and says what to do."""


class Tape(Protocol):
    """Keeps what both sides of a call sounded like."""

    def write(self, tick: Tick) -> None:
        """The next 20 ms."""


@dataclass(slots=True)
class CallResult:
    """All that is known of a call after it."""

    call: str
    """Its id, as far as the caller knows it: Twilio's CallSid, or the Call-ID."""
    door: str
    conversation: Conversation
    answer_s: float
    """First request sent to media open."""
    ended_by: str
    """Why the caller left, or ``agent``: the other side ended the call."""
    close_code: int | None = None
    """How the media socket was closed; None where there is none."""
    after: tuple[str, ...] = ()
    """What the network carries out next; empty when the call was over."""
    after_trouble: str = ""
    violations: list[str] = field(default_factory=list)
    """What the other side did against the rules of the door."""
    media: dict[str, Any] = field(default_factory=dict)
    """Packets received, lost and late, where the caller counts them."""
    record: dict[str, Any] = field(default_factory=dict)
    record_trouble: str = ""
