"""A call that the gateway is asked to place: the order, and why it may be turned down."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from wire.ids import CallId


@dataclass(frozen=True, slots=True)
class DialOrder:
    """Whom to call, and who talks. Empty words leave the choice to the gateway."""

    to: str
    """A ``sip:`` or ``tel:`` URI, or a number; never logged bare."""
    trunk: str = ""
    agent: str = ""
    caller_id: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    ring_s: float = 60.0


class Fault(Enum):
    """Whose fault it is that nobody is called."""

    MALFORMED = "malformed"
    UNKNOWN_TRUNK = "unknown_trunk"
    NO_CAPACITY = "no_capacity"


class NotDialledError(Exception):
    """The order was turned down before anybody was called; the text is for who gave it."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


Dial = Callable[[DialOrder], Awaitable[CallId]]
"""Place a call; returns while it rings. Raises NotDialledError."""
