"""Who owes whom a session description (RFC 3264, RFC 6337 §2).

A session is settled, or exactly one offer is open. Everything that carries SDP (INVITE, its
responses, ACK, PRACK, UPDATE) is one of four steps; which step it is depends on what is open.
"""

from enum import Enum


class Exchange(Enum):
    NONE = "none"
    LOCAL_OFFER = "local offer"  # the peer owes the answer
    REMOTE_OFFER = "remote offer"  # we owe the answer
    SETTLED = "settled"


class Step(Enum):
    SEND_OFFER = "send an offer"
    RECEIVE_OFFER = "receive an offer"
    SEND_ANSWER = "send an answer"
    RECEIVE_ANSWER = "receive an answer"


TRANSITIONS: dict[Exchange, dict[Step, Exchange]] = {
    Exchange.NONE: {Step.SEND_OFFER: Exchange.LOCAL_OFFER, Step.RECEIVE_OFFER: Exchange.REMOTE_OFFER},
    Exchange.LOCAL_OFFER: {Step.RECEIVE_ANSWER: Exchange.SETTLED},
    Exchange.REMOTE_OFFER: {Step.SEND_ANSWER: Exchange.SETTLED},
    Exchange.SETTLED: {Step.SEND_OFFER: Exchange.LOCAL_OFFER, Step.RECEIVE_OFFER: Exchange.REMOTE_OFFER},
}


class OfferAnswer:
    """The exchange of one dialog. ``local_sdp`` and ``remote_sdp`` are those both sides agreed on last."""

    __slots__ = ("_open", "local_sdp", "remote_sdp", "state")

    def __init__(self) -> None:
        self.state = Exchange.NONE
        self.local_sdp: bytes | None = None
        self.remote_sdp: bytes | None = None
        self._open: bytes | None = None

    def allows(self, step: Step) -> bool:
        return step in TRANSITIONS[self.state]

    @property
    def open(self) -> bool:
        return self.state in (Exchange.LOCAL_OFFER, Exchange.REMOTE_OFFER)

    def take(self, step: Step, sdp: bytes) -> None:
        """Advance by ``step``. Ask ``allows`` first: a step the state forbids is an error of the caller."""
        after = TRANSITIONS[self.state].get(step)
        if after is None:
            raise ValueError(f"cannot {step.value} while the exchange is at {self.state.value}")
        self.state = after
        match step:
            case Step.SEND_OFFER | Step.RECEIVE_OFFER:
                self._open = sdp
            case Step.SEND_ANSWER:
                self.local_sdp, self.remote_sdp = sdp, self._open
            case Step.RECEIVE_ANSWER:
                self.local_sdp, self.remote_sdp = self._open, sdp

    def roll_back(self) -> None:
        """The open offer was refused or withdrawn: the session is what it was before (RFC 3261 §14.1)."""
        if self.open:
            self.state = Exchange.NONE if self.local_sdp is None else Exchange.SETTLED
        self._open = None
