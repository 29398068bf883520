"""What the transaction layer says: messages to send, and what happened."""

from dataclasses import dataclass
from typing import NewType

from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, Response

TransactionId = NewType("TransactionId", int)
"""Names one transaction for the life of its layer; never used twice."""


@dataclass(frozen=True, slots=True)
class SendMessage:
    """The same message object may be sent several times; do not change it."""

    message: Message
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request but ACK and CANCEL, once. Owed: ``respond`` or ``drop``."""

    transaction: TransactionId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The ACK for a 2xx, or one that belongs to nothing; the dialog knows. Retransmissions come again."""

    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The caller gives up an INVITE that has no final response yet; owed to it: 487. Said once.

    The CANCEL itself is answered already.
    """

    invite: TransactionId
    cancel: Request


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response to a request of ours: any number of provisional ones, then a final one.

    To INVITE several 2xx may come, of different forks (To tags) or the same again; each needs its ACK.
    """

    transaction: TransactionId
    response: Response


@dataclass(frozen=True, slots=True)
class StrayResponse:
    """A 2xx to an INVITE whose transaction is gone or has failed: somebody believes in a call, ACK (and BYE) it."""

    response: Response
    flow: Flow


@dataclass(frozen=True, slots=True)
class TransactionTimedOut:
    """No final response came to a request of ours; to be treated as 408 (RFC 3261 §8.1.3.1)."""

    transaction: TransactionId


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The message could not be sent, or its connection broke before the answer.

    A client transaction ends with this, to be treated as 503 (RFC 3261 §8.1.3.1). A server
    transaction of INVITE stays (RFC 6026 §8.8), others end.
    """

    transaction: TransactionId


@dataclass(frozen=True, slots=True)
class AckMissing:
    """A response of 300 or more to INVITE was never acknowledged (timer H); the transaction is gone."""

    transaction: TransactionId


TransactionEffect = (
    SendMessage
    | RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | StrayResponse
    | TransactionTimedOut
    | TransportFailed
    | AckMissing
)
