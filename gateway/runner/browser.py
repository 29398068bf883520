"""The seam between the HTTP face of browser calls and the door that carries them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.webrtc.offer import BrowserOffer
from gateway.webrtc.trickle import Fragment
from wire.ids import CallId


class TooManyOffersError(Exception):
    """So many offers were answered and not followed by a connection that no more are."""


class UnknownSessionError(Exception):
    """No live call has a session of that name."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A browser that has our answer. ``session`` is unguessable: whoever knows it may have the call."""

    session: str = field(repr=False)
    call: CallId
    sdp: bytes = field(repr=False)


class BrowserCalls(Protocol):
    """Calls with browsers, for whoever does their signalling."""

    async def open(self, offer: BrowserOffer, agent: str, variables: Mapping[str, str]) -> Answered:
        """Answer a new call; no ``agent`` is the gateway's own. Raises NoSlotError (``runner.hub``) and
        TooManyOffersError.
        """
        ...

    async def reattach(self, session: str, offer: BrowserOffer) -> Answered:
        """Answer a browser that comes back to its call. Raises UnknownSessionError."""
        ...

    async def add_candidates(self, session: str, fragment: Fragment) -> None:
        """Candidates that the browser found since. Raises UnknownSessionError."""
        ...

    async def close(self, session: str) -> None:
        """The browser hangs up. Raises UnknownSessionError."""
        ...
