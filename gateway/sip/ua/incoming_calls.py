"""The callee's side of a call's first INVITE (RFC 3261 §13.3)."""

from collections.abc import Sequence

from gateway.sip.dialog import Dialog
from gateway.sip.message import Request
from gateway.sip.ua import session_timer
from gateway.sip.ua.acceptance import Acceptances
from gateway.sip.ua.bodies import find_sdp
from gateway.sip.ua.config import Reliability
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.effects import CallConfirmed, CallHandle, EndCause, IncomingCall, OfferAnswered
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.offer_answer import Exchange, Step
from gateway.sip.ua.offers_in import OffersIn
from gateway.sip.ua.offers_out import OffersOut
from gateway.sip.ua.reliable_provisional import ReliableSender
from gateway.sip.ua.replaces import ReplacesError, find_replaced
from gateway.sip.ua.session import Call, CallTable, Phase, Session
from gateway.sip.ua.session_expiry import SessionExpiry

KEEP_RINGING_S = 60.0  # §13.3.1.1: each minute, or proxies give up
OVERLOAD_RETRY_S = 5


class IncomingCalls:
    """From the INVITE to its ACK, its refusal or its CANCEL."""

    def __init__(
        self,
        core: Core,
        calls: CallTable,
        endings: Endings,
        acceptances: Acceptances,
        expiry: SessionExpiry,
        offers_in: OffersIn,
        offers_out: OffersOut,
    ) -> None:
        self._core = core
        self._calls = calls
        self._endings = endings
        self._acceptances = acceptances
        self._expiry = expiry
        self._offers_in = offers_in
        self._offers_out = offers_out

    def receive(self, incoming: Incoming, trunk: str, now: float) -> None:
        """Take an admitted INVITE without To tag."""
        request = incoming.request
        if self._calls.full:
            self._core.respond(incoming, 503, now, headers=[("Retry-After", str(OVERLOAD_RETRY_S))])
            return
        if not request.contacts:
            self._core.respond(incoming, 400, now, "Missing Contact")
            return
        timer = session_timer.accept(request, self._core.config.session_timer)
        if isinstance(timer, session_timer.TooShort):
            self._core.respond(incoming, 422, now, headers=[("Min-SE", str(timer.min_s))])
            return
        try:
            replaced = find_replaced(self._calls, request, trunk)
        except ReplacesError as error:
            self._core.respond(incoming, error.status, now)
            return
        tag = self._core.new_token()
        dialog = Dialog.accept(request, tag)
        handle = CallHandle(self._core.next_number())
        call = Call(handle, False, dialog.local, request.call_id, trunk=trunk, incoming=incoming, replaces=replaced)
        session = Session(call, dialog, incoming.flow)
        session.note_abilities(request)
        call.session = session
        self._calls.add(call)
        self._calls.add_session(session)
        call.agreed_timer = timer
        offer = find_sdp(request)
        if offer is not None:
            session.media.take(Step.RECEIVE_OFFER, offer)
        limit_s = self._core.config.limits.ringing_s
        asked_s = session_timer.delta_seconds(request.headers.get("Expires"))
        if asked_s:
            limit_s = min(limit_s, float(asked_s))
        call.timers.append(
            self._core.deadlines.at(now + limit_s, lambda at: self._refuse(call, 480, EndCause.NO_ANSWER, at))
        )
        self._core.emit(
            IncomingCall(
                handle, request, incoming.flow, trunk, offer, replaced.handle if replaced is not None else None
            )
        )

    def ring(self, call: Call, sdp: bytes | None, status: int, now: float) -> None:
        """Send 180, or 183 and the like; ``sdp`` is the answer (or, sent reliably, our offer)."""
        session, incoming = call.session, call.incoming
        if session is None or incoming is None or call.phase is not Phase.TRYING:
            return
        if not 101 <= status <= 199:
            raise ValueError(f"expected a provisional status from 101 to 199, got {status}")
        media = session.media
        if self._sends_reliably(session, incoming.request):
            if call.reliable is None:
                call.reliable = ReliableSender(
                    self._core,
                    incoming,
                    session.dialog.id.local_tag,
                    lambda at: self._refuse(call, 504, EndCause.TIMED_OUT, at),
                )
            if sdp is not None:
                if media.state is Exchange.REMOTE_OFFER:
                    media.take(Step.SEND_ANSWER, sdp)
                elif media.state is Exchange.NONE:
                    media.take(Step.SEND_OFFER, sdp)
                else:
                    sdp = None  # said already; what is settled changes by offer()
            call.reliable.send(status, sdp, (), now)
            return
        if media.state is not Exchange.REMOTE_OFFER:
            sdp = None  # §13.2.1: an offer goes into a reliable response only
        self._core.respond(incoming, status, now, to_tag=session.dialog.id.local_tag, sdp=sdp)
        if not call.ringing_status:
            self._keep_ringing(call, incoming, now)
        call.ringing_status = status

    def answer(self, call: Call, sdp: bytes | None, now: float) -> None:
        """Send 200. ``sdp`` is the answer, or our offer when the INVITE had none; None where 18x carried it."""
        session, incoming = call.session, call.incoming
        if session is None or incoming is None or call.phase is not Phase.TRYING:
            return
        sender = call.reliable
        if sender is not None and sender.sdp_unacknowledged:
            sender.when_acknowledged(lambda at: self.answer(call, sdp, at))
            return
        media = session.media
        if media.state is Exchange.SETTLED:
            sdp = None
        elif sdp is None:
            raise ValueError(f"expected a session description while the exchange is at {media.state.value}, got none")
        elif media.state is Exchange.REMOTE_OFFER:
            media.take(Step.SEND_ANSWER, sdp)
        elif media.state is Exchange.NONE:
            media.take(Step.SEND_OFFER, sdp)
        else:
            sdp = None  # our offer is in an UPDATE on its way
        timer = call.agreed_timer
        call.end_setup()
        call.phase = Phase.ANSWERED
        session.dialog.confirmed = True
        response = self._core.build_response(
            incoming, 200, to_tag=session.dialog.id.local_tag, headers=timer.fields, sdp=sdp
        )
        replaced = call.replaces

        def on_ack(theirs: bytes | None, at: float) -> None:
            self._confirm(session, theirs, at)

        self._acceptances.start(session, incoming, response, now, on_ack)
        self._expiry.restart(session, timer.terms, now)
        if replaced is not None:
            self._endings.hang_up(replaced, EndCause.REPLACED, now)

    def refuse(self, call: Call, status: int, reason: str, headers: Sequence[tuple[str, str]], now: float) -> None:
        if call.outgoing or call.phase is not Phase.TRYING:
            return
        if not 300 <= status <= 699:
            raise ValueError(f"expected a final status from 300 to 699, got {status}")
        self._refuse(call, status, EndCause.REFUSED, now, reason, headers)

    def cancelled(self, call: Call, cancel: Request, now: float) -> None:
        """The caller gave up (§9.2). After a 2xx it comes too late and changes nothing."""
        if call.phase is Phase.TRYING:
            self._refuse(call, 487, EndCause.CANCELLED, now, ended_by=cancel.headers.get("Reason") or "")

    def receive_prack(self, session: Session, incoming: Incoming, now: float) -> None:
        sender = session.call.reliable
        if sender is None or not sender.acknowledge(incoming.request, now):
            self._core.respond(incoming, 481, now)
            return
        sdp = find_sdp(incoming.request)
        media = session.media
        if sdp is not None and media.state is Exchange.SETTLED:
            self._offers_in.receive_prack_offer(session, incoming, sdp, now)
        else:
            self._core.respond(incoming, 200, now)
            if media.state is Exchange.LOCAL_OFFER and session.modifying is None:
                if sdp is None:  # RFC 3262 §5: the PRACK must answer the offer
                    self._refuse(session.call, 500, EndCause.PROTOCOL_ERROR, now)
                    return
                media.take(Step.RECEIVE_ANSWER, sdp)
                self._core.emit(OfferAnswered(session.call.handle, sdp))
        sender.resume(now)
        self._offers_out.settle(session, now)

    def _sends_reliably(self, session: Session, invite: Request) -> bool:
        if "100rel" in {tag.lower() for tag in invite.tokens("Require")}:
            return True
        supported = self._core.config.reliability is Reliability.WHEN_SUPPORTED
        return supported and "100rel" in session.peer_supports

    def _keep_ringing(self, call: Call, incoming: Incoming, now: float) -> None:
        def again(at: float) -> None:
            assert call.session is not None, "a call that came in has its session from the start"
            tag = call.session.dialog.id.local_tag
            self._core.respond(incoming, call.ringing_status, at, to_tag=tag)
            call.timers.append(self._core.deadlines.at(at + KEEP_RINGING_S, again))

        call.timers.append(self._core.deadlines.at(now + KEEP_RINGING_S, again))

    def _confirm(self, session: Session, sdp: bytes | None, now: float) -> None:
        call = session.call
        answer: bytes | None = None
        if session.media.state is Exchange.LOCAL_OFFER and session.modifying is None:
            if sdp is None:
                self._endings.hang_up(call, EndCause.PROTOCOL_ERROR, now)
                return
            session.media.take(Step.RECEIVE_ANSWER, sdp)
            answer = sdp
        call.phase = Phase.CONFIRMED
        self._core.emit(CallConfirmed(call.handle, answer))
        self._offers_out.settle(session, now)

    def _refuse(
        self,
        call: Call,
        status: int,
        cause: EndCause,
        now: float,
        reason: str = "",
        headers: Sequence[tuple[str, str]] = (),
        ended_by: str = "",
    ) -> None:
        session, incoming = call.session, call.incoming
        assert session is not None, "a call that came in has its session from the start"
        assert incoming is not None, "a call that came in has its INVITE"
        call.end_setup()
        self._endings.settle_debts(session, now)
        self._core.respond(incoming, status, now, reason, to_tag=session.dialog.id.local_tag, headers=headers)
        self._calls.end(call, cause, status, ended_by or reason)
        self._calls.forget(session)
