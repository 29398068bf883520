"""What a session on a server wants done, or tells: the vocabulary between a protocol and the call that it serves."""

from dataclasses import dataclass, field
from enum import StrEnum

from model_worker.seams import Action, Pcm, SoundHeard, Translated
from wire.messages import Voice

Frame = str | bytes
"""One message of a WebSocket: text or binary."""


class SessionFault(StrEnum):
    """Why a session is of no use any more."""

    UNREACHABLE = "unreachable"
    """No connection: nobody listens there, or TLS does not hold."""
    REFUSED = "refused"
    """The key is missing or wrong, or the server does not serve this."""
    FULL = "full"
    """The server carries as many sessions as it can."""
    EXPIRED = "expired"
    """The server's limit of time or context was reached."""
    LOST = "lost"
    """The connection broke, or the server closed it without a word."""
    GARBAGE = "garbage"
    """What came is not of the protocol."""
    SERVER_ERROR = "server_error"
    """The server says that it failed."""
    TOO_SLOW = "too_slow"
    """It was not ready in the time in which a caller waits for it."""

    @property
    def worth_another_try(self) -> bool:
        """Whether the same server may well take the call again at once."""
        return self in (SessionFault.EXPIRED, SessionFault.LOST, SessionFault.SERVER_ERROR)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the server."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is set up: from here on sound of the caller may be sent."""


@dataclass(frozen=True, slots=True)
class Sound:
    """More of the agent's voice, int16 at ``Capabilities.output_rate_hz``; begins a turn where none is open."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Words:
    """More of the words of the agent's open turn, or of the one that begins; any split, spaces included."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnOver:
    """Nothing more comes of the open turn. ``cut``: the server ended it because it heard the caller."""

    cut: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """Final words of the caller."""

    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What the model itself says of the chunk that it decided on last: p(speak), where it tells."""

    p_speak: float


@dataclass(frozen=True, slots=True)
class Do:
    """Something is to be done to the call once the open turn has been played."""

    action: Action


@dataclass(frozen=True, slots=True)
class Expiring:
    """The server will end the session within ``left_s`` seconds: another one takes over before."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Resumable:
    """What the next session of the call may go on from (``Opening.resume``); it stands for all that was said so far.

    ``same_session``: it is the session itself that goes on, in the midst of its turn, with all that it heard. That is
    of use where its connection breaks, and not where its time is over.
    """

    token: str = field(repr=False)
    same_session: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """The session is over, nothing follows. ``reason`` is for our log: it quotes nothing that came from the server."""

    fault: SessionFault
    reason: str


Effect = (
    Send
    | Ready
    | Sound
    | Words
    | TurnOver
    | Heard
    | Translated
    | SoundHeard
    | Decided
    | Do
    | Expiring
    | Resumable
    | Broken
)


@dataclass(frozen=True, slots=True)
class Line:
    """Words of the conversation so far, as far as they were heard."""

    voice: Voice
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """Where a session's connection goes. ``headers`` may hold keys: they are kept out of ``repr``."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subprotocols: tuple[str, ...] = ()
