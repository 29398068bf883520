"""Being asked to change a session: re-INVITE, UPDATE and PRACK as server (RFC 3261 §14.2, RFC 3311 §5.2)."""

from collections.abc import Callable

from gateway.sip.ua import session_timer
from gateway.sip.ua.acceptance import Acceptances
from gateway.sip.ua.bodies import find_sdp
from gateway.sip.ua.core import Core, Fields, Incoming
from gateway.sip.ua.effects import EndCause, OfferAnswered, OfferReceived, OfferWithdrawn
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.offer_answer import Exchange, Step
from gateway.sip.ua.offers_out import OffersOut
from gateway.sip.ua.session import Call, Owed, Phase, Session
from gateway.sip.ua.session_expiry import SessionExpiry


class OffersIn:
    """Holds what the application owes, and answers for it when it does not."""

    def __init__(
        self, core: Core, endings: Endings, acceptances: Acceptances, expiry: SessionExpiry, out: OffersOut
    ) -> None:
        self._core = core
        self._endings = endings
        self._acceptances = acceptances
        self._expiry = expiry
        self._out = out

    def answer(self, call: Call, sdp: bytes, now: float) -> None:
        """Give the application's answer, or its offer where the peer asked for one."""
        for session in _sessions(call):
            if session.owed is not None:
                self._release(session).answer(sdp, now)
                return

    def reject(self, call: Call, status: int, now: float) -> None:
        for session in _sessions(call):
            if session.owed is not None:
                self._release(session).reject(status, now)
                return

    def owe(
        self,
        session: Session,
        answer: Callable[[bytes, float], None],
        reject: Callable[[int, float], None],
        now: float,
        incoming: Incoming | None = None,
    ) -> None:
        """The application owes an answer; when it gives none in time, the offer is rejected for it."""

        def too_late(at: float) -> None:
            self._core.emit(OfferWithdrawn(session.call.handle))
            self._release(session).reject(500, at)

        timer = self._core.deadlines.at(now + self._core.config.limits.offer_s, too_late)
        session.owed = Owed(answer, reject, timer, incoming)

    def receive_reinvite(self, session: Session, incoming: Incoming, now: float) -> None:
        request = incoming.request
        if not self._may_change(session, incoming, now):
            return
        if session.call.phase is not Phase.CONFIRMED:
            # §14.2: an INVITE within the dialog before the first one is finished.
            self._core.respond(incoming, 500, now, headers=[self._core.retry_after()])
            return
        timer = self._timer_of(session, incoming, now)
        if timer is None:
            return
        session.dialog.refresh_target(request)
        session.note_abilities(request)
        sdp = find_sdp(request)
        if sdp is not None:
            session.media.take(Step.RECEIVE_OFFER, sdp)

        def answer(ours: bytes, at: float) -> None:
            session.media.take(Step.SEND_OFFER if sdp is None else Step.SEND_ANSWER, ours)
            response = self._core.build_response(incoming, 200, headers=timer.fields, sdp=ours)
            self._acceptances.start(session, incoming, response, at, on_ack)
            self._expiry.restart(session, timer.terms, at)

        def on_ack(theirs: bytes | None, at: float) -> None:
            if sdp is None:
                if theirs is None or session.call.phase is Phase.ENDED:
                    self._endings.hang_up(session.call, EndCause.PROTOCOL_ERROR, at)
                    return
                session.media.take(Step.RECEIVE_ANSWER, theirs)
                self._core.emit(OfferAnswered(session.call.handle, theirs))
            self._out.settle(session, at)

        self.owe(session, answer, self._refuser(session, incoming), now, incoming)
        self._core.emit(OfferReceived(session.call.handle, sdp))

    def receive_update(self, session: Session, incoming: Incoming, now: float) -> None:
        request = incoming.request
        sdp = find_sdp(request)
        if sdp is not None and not self._may_change(session, incoming, now):
            return
        timer = self._timer_of(session, incoming, now)
        if timer is None:
            return
        session.dialog.refresh_target(request)
        session.note_abilities(request)
        if sdp is None:
            self._core.respond(incoming, 200, now, headers=timer.fields)
            self._take_terms(session, timer, now)
            return
        self._offered(session, incoming, sdp, timer.fields, now, lambda at: self._take_terms(session, timer, at))

    def receive_prack_offer(self, session: Session, incoming: Incoming, sdp: bytes, now: float) -> None:
        """A PRACK may carry a further offer once the exchange of the INVITE is through (RFC 3262 §5)."""
        if self._may_change(session, incoming, now):
            self._offered(session, incoming, sdp, (), now, lambda at: None)

    def receive_cancel(self, session: Session, now: float) -> None:
        """The peer cancelled its re-INVITE: answer 487, keep the session."""
        if session.owed is not None:
            owed = self._release(session)
            owed.reject(487, now)
            self._core.emit(OfferWithdrawn(session.call.handle))

    def _offered(
        self,
        session: Session,
        incoming: Incoming,
        sdp: bytes,
        fields: Fields,
        now: float,
        then: Callable[[float], None],
    ) -> None:
        session.media.take(Step.RECEIVE_OFFER, sdp)

        def answer(ours: bytes, at: float) -> None:
            session.media.take(Step.SEND_ANSWER, ours)
            self._core.respond(incoming, 200, at, headers=fields, sdp=ours)
            then(at)
            self._out.settle(session, at)

        self.owe(session, answer, self._refuser(session, incoming), now, incoming)
        self._core.emit(OfferReceived(session.call.handle, sdp))

    def _release(self, session: Session) -> Owed:
        owed, session.owed = session.owed, None
        assert owed is not None, "only asked for what is owed"
        owed.timer.cancel()
        return owed

    def _refuser(self, session: Session, incoming: Incoming) -> Callable[[int, float], None]:
        def refuse(status: int, at: float) -> None:
            session.media.roll_back()
            self._core.respond(incoming, status, at)
            self._out.settle(session, at)

        return refuse

    def _may_change(self, session: Session, incoming: Incoming, now: float) -> bool:
        """§14.2, RFC 3311 §5.2: 491 while our change is out, 500 while theirs waits for its answer or ACK."""
        if session.owed is not None or session.media.state is Exchange.REMOTE_OFFER or session.accepted is not None:
            self._core.respond(incoming, 500, now, headers=[self._core.retry_after()])
            return False
        if session.modifying is not None or session.media.state is Exchange.LOCAL_OFFER:
            self._core.respond(incoming, 491, now)
            return False
        return True

    def _timer_of(self, session: Session, incoming: Incoming, now: float) -> session_timer.Accepted | None:
        terms = session_timer.accept(incoming.request, self._core.config.session_timer, session.terms)
        if isinstance(terms, session_timer.TooShort):
            self._core.respond(incoming, 422, now, headers=[("Min-SE", str(terms.min_s))])
            return None
        return terms

    def _take_terms(self, session: Session, timer: session_timer.Accepted, now: float) -> None:
        if session.call.phase is Phase.CONFIRMED:
            self._expiry.restart(session, timer.terms, now)


def _sessions(call: Call) -> list[Session]:
    return [call.session] if call.session is not None else list(call.early.values())
