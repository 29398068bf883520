"""What a user agent says to its shell: bytes to send, names to resolve, and what happened to the calls."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.name_addr import NameAddr
from gateway.sip.uri import Uri

CallHandle = NewType("CallHandle", int)


@dataclass(frozen=True, slots=True)
class Reason:
    """The ``Reason`` of a BYE or CANCEL (RFC 3326), e.g. ``Reason("Q.850", 16, "Normal call clearing")``."""

    protocol: str
    cause: int
    text: str = ""

    def __str__(self) -> str:
        quoted = self.text.replace("\\", "\\\\").replace('"', '\\"')
        return f"{self.protocol};cause={self.cause}" + (f';text="{quoted}"' if self.text else "")


class EndCause(Enum):
    """Why a call ended; the value is a metric label."""

    HUNG_UP = "hung_up"  # hang_up() or stop() of this side
    PEER_HUNG_UP = "peer_hung_up"
    CANCELLED = "cancelled"  # the caller gave up before the answer
    REFUSED = "refused"  # refuse() of this side
    REJECTED = "rejected"  # the peer's final response; status says which
    REDIRECTED = "redirected"  # 3xx that is not to be followed
    NO_ANSWER = "no_answer"  # rang longer than the limit
    TIMED_OUT = "timed_out"  # the peer does not answer requests
    UNREACHABLE = "unreachable"  # no target took the request
    NO_ACK = "no_ack"
    SESSION_EXPIRED = "session_expired"  # RFC 4028
    REPLACED = "replaced"  # another call took its place (RFC 3891)
    PEER_LOST = "peer_lost"  # the peer does not know the call any more (481)
    PROTOCOL_ERROR = "protocol_error"  # the peer broke the offer/answer model


@dataclass(frozen=True, slots=True)
class SendBytes:
    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find the targets of ``uri`` and answer with ``resolved(query, …)``; no target means that it failed."""

    query: int
    uri: Uri


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE that the gate admitted. ``offer`` is None when the caller wants ours.

    ``request`` is as it came; what it claims about identity (P-Asserted-Identity, Diversion, …)
    is for the shell to trust or not, by ``trunk``. ``replaces`` names the call that ends when
    this one is answered.
    """

    call: CallHandle
    request: Request
    flow: Flow
    trunk: str
    offer: bytes | None
    replaces: CallHandle | None


@dataclass(frozen=True, slots=True)
class CallRinging:
    """A provisional response but 100. ``sdp`` is early media of this one of perhaps several callees."""

    call: CallHandle
    status: int
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Our call was answered. ``sdp`` is the answer; None when the callee offers: ``OfferReceived`` follows."""

    call: CallHandle
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The ACK to our 2xx came; ``sdp`` is the answer when the 2xx carried our offer."""

    call: CallHandle
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """The peer offers (None: asks for our offer). Owed: ``answer_offer`` or ``reject_offer``, before the limit."""

    call: CallHandle
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The peer took back what ``OfferReceived`` announced, or the answer came too late; the session stays as it was."""

    call: CallHandle


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    call: CallHandle
    sdp: bytes


@dataclass(frozen=True, slots=True)
class OfferRejected:
    """The peer refused our offer; the session stays as it was."""

    call: CallHandle
    status: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Said once for every handle. ``status`` is the final response where there was one, else 0.

    Only the ``TransferProgress`` of a transfer under way may still follow.
    """

    call: CallHandle
    cause: EndCause
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """How far ``refer`` got: the status the transferee sees; after ``final`` no more comes."""

    call: CallHandle
    status: int
    final: bool


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The peer wants us to call ``refer_to``. Tell it what became of that with ``report_transfer``."""

    call: CallHandle
    refer_to: NameAddr
    referred_by: NameAddr | None


@dataclass(frozen=True, slots=True)
class InfoReceived:
    call: CallHandle
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """``status`` is that of the deciding response; 408 and 503 also stand for no response and no way."""

    id: int
    registered: bool
    status: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """``status`` is None when nobody answered."""

    id: int
    status: int | None


@dataclass(frozen=True, slots=True)
class BadInput:
    """Bytes that are no SIP message, or a message nobody asked for; ``reason`` has few values."""

    reason: str


Effect = (
    SendBytes
    | Resolve
    | IncomingCall
    | CallRinging
    | CallAnswered
    | CallConfirmed
    | OfferReceived
    | OfferWithdrawn
    | OfferAnswered
    | OfferRejected
    | CallEnded
    | TransferProgress
    | TransferRequested
    | InfoReceived
    | RegistrationChanged
    | PingAnswered
    | BadInput
)
