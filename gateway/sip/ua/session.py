"""Calls and their sessions as data, and the tables they stand in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.sip.dialog import Dialog, DialogId
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.ua.authenticator import Authenticator
from gateway.sip.ua.client import ClientRequest
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.deadlines import Timer
from gateway.sip.ua.effects import CallEnded, CallHandle, EndCause
from gateway.sip.ua.offer_answer import OfferAnswer
from gateway.sip.ua.reliable_provisional import ReliableSender
from gateway.sip.ua.session_timer import Accepted, Terms


class Phase(Enum):
    TRYING = "trying"  # an INVITE without final response
    ANSWERED = "answered"  # 2xx on the way: the ACK is missing
    CONFIRMED = "confirmed"
    ENDED = "ended"  # for the application; transactions may still finish


@dataclass(slots=True)
class Owed:
    """An offer the application must answer, and how the answer or the refusal travels."""

    answer: Callable[[bytes, float], None]
    reject: Callable[[int, float], None]
    timer: Timer
    incoming: Incoming | None = None  # the request that is open meanwhile


@dataclass(slots=True)
class AcceptedInvite:
    """A 2xx of ours that is repeated until its ACK comes (§13.3.1.4)."""

    incoming: Incoming
    response: Response
    repeat: Timer
    give_up: Timer
    on_ack: Callable[[bytes | None, float], None]


@dataclass(slots=True, eq=False)
class Session:
    """One dialog of a call with all that is negotiated in it. A forked call of ours has several for a while."""

    call: "Call"
    dialog: Dialog
    flow: Flow | None  # where the peer was last heard
    media: OfferAnswer = field(default_factory=OfferAnswer)
    peer_allows: frozenset[str] = frozenset()
    peer_supports: frozenset[str] = frozenset()
    preview: bytes | None = None  # the answer of an unreliable provisional response
    peer_rseq: int | None = None
    owed: Owed | None = None
    accepted: AcceptedInvite | None = None
    modifying: ClientRequest | None = None  # our re-INVITE or UPDATE
    queued_offer: bytes | None = None
    glare: Timer | None = None
    ack: ClientRequest | None = None  # the newest, to be repeated
    ack_cseq: int = 0
    terms: Terms | None = None
    refresh: Timer | None = None
    expiry: Timer | None = None
    min_se_s: int = 0

    def note_abilities(self, message: Message) -> None:
        """Take Allow and Supported where a message has them."""
        if "Allow" in message.headers:
            self.peer_allows = frozenset(method.upper() for method in message.tokens("Allow"))
        if "Supported" in message.headers:
            self.peer_supports = frozenset(tag.lower() for tag in message.tokens("Supported"))


@dataclass(slots=True, eq=False)
class Call:
    """One call. ``session`` is None until a callee of ours won; ``early`` are the ringing ones by tag."""

    handle: CallHandle
    outgoing: bool
    local: NameAddr
    call_id: str
    auth: Authenticator | None = None
    trunk: str = ""
    phase: Phase = Phase.TRYING
    session: Session | None = None
    early: dict[str, Session] = field(default_factory=dict)
    invite: ClientRequest | None = None
    incoming: Incoming | None = None
    replaces: "Call | None" = None
    timers: list[Timer] = field(default_factory=list)  # of the set-up; all end with it
    reliable: ReliableSender | None = None
    ringing_status: int = 0
    agreed_timer: Accepted = field(default_factory=lambda: Accepted(None))

    def end_setup(self) -> None:
        """The INVITE has its final response."""
        if self.reliable is not None:
            self.reliable.close()
            self.reliable = None
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class CallTable:
    """All calls by handle, all sessions by dialog."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._calls: dict[CallHandle, Call] = {}
        self._sessions: dict[DialogId, Session] = {}
        self._started: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def dialogs(self) -> int:
        return len(self._sessions)

    @property
    def full(self) -> bool:
        limits = self._core.config.limits
        return len(self._calls) >= limits.max_calls or len(self._sessions) >= limits.max_dialogs

    def add(self, call: Call) -> None:
        self._calls[call.handle] = call
        if call.outgoing:
            self._started.add((call.call_id, call.local.tag or ""))

    def get(self, handle: CallHandle) -> Call | None:
        """The call, until it ended. Commands about an ended call do nothing: its end may be on the way."""
        return self._calls.get(handle)

    def calls(self) -> list[Call]:
        return list(self._calls.values())

    def add_session(self, session: Session) -> None:
        self._sessions[session.dialog.id] = session

    def session(self, dialog: DialogId) -> Session | None:
        return self._sessions.get(dialog)

    def session_of_invite(self, invite: TransactionId) -> Session | None:
        """Find the session whose INVITE or re-INVITE is unanswered. A walk: CANCELs that match one are rare."""
        for session in self._sessions.values():
            for incoming in (session.call.incoming, session.owed.incoming if session.owed is not None else None):
                if incoming is not None and incoming.transaction == invite:
                    return session
        return None

    def started_here(self, call_id: str, from_tag: str) -> bool:
        """True when a request with these came from a call of ours and went round in a circle."""
        return (call_id, from_tag) in self._started

    def end(self, call: Call, cause: EndCause, status: int = 0, reason: str = "") -> None:
        """Tell the application, once. Sessions stay for what is still to be said on the wire."""
        if call.phase is Phase.ENDED:
            return
        call.phase = Phase.ENDED
        call.end_setup()
        call.replaces = None
        self._calls.pop(call.handle, None)
        self._started.discard((call.call_id, call.local.tag or ""))
        for session in (*call.early.values(), *([call.session] if call.session is not None else [])):
            _stop(session)
        self._core.emit(CallEnded(call.handle, cause, status, reason))

    def forget(self, session: Session) -> None:
        """Nothing more is expected in this dialog."""
        _stop(session)
        self.stop_accepting(session)
        self._sessions.pop(session.dialog.id, None)
        session.call.early.pop(session.dialog.id.remote_tag, None)

    def stop_accepting(self, session: Session) -> None:
        """Whether the ACK to a 2xx of ours still comes does not matter any more."""
        accepted, session.accepted = session.accepted, None
        if accepted is not None:
            accepted.repeat.cancel()
            accepted.give_up.cancel()

    def forget_early(self, call: Call, but: Session | None = None) -> None:
        for session in list(call.early.values()):
            if session is not but:
                self.forget(session)


def _stop(session: Session) -> None:
    for timer in (session.refresh, session.expiry, session.glare, session.owed.timer if session.owed else None):
        if timer is not None:
            timer.cancel()
    session.queued_offer = None
