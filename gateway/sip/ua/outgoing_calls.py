"""The caller's side of a call's first INVITE (RFC 3261 §13.2)."""

from collections.abc import Sequence

from gateway.sip.dialog import MAX_FORWARDS, Dialog, apply_route_set
from gateway.sip.headers import Headers
from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.trunk import Credentials
from gateway.sip.ua import reliable_provisional, session_timer
from gateway.sip.ua.attempt import Attempt, by_preference, fields_of, without_headers
from gateway.sip.ua.authenticator import Authenticator
from gateway.sip.ua.bodies import UnsupportedBodyError, find_sdp
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.core import Core
from gateway.sip.ua.effects import CallAnswered, CallHandle, CallRinging, EndCause, OfferReceived
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.offer_answer import Exchange, Step
from gateway.sip.ua.offers_in import OffersIn
from gateway.sip.ua.offers_out import OffersOut
from gateway.sip.ua.reliable_provisional import Arrival
from gateway.sip.ua.session import Call, CallTable, Phase, Session
from gateway.sip.ua.session_expiry import SessionExpiry
from gateway.sip.uri import Uri

MAX_422 = 3  # a proxy that raises its minimum each time would else keep us busy


class OutgoingCalls:
    """From the INVITE to the ACK of the one 2xx that counts."""

    def __init__(
        self,
        core: Core,
        calls: CallTable,
        clients: Clients,
        endings: Endings,
        expiry: SessionExpiry,
        offers_in: OffersIn,
        offers_out: OffersOut,
    ) -> None:
        self._core = core
        self._calls = calls
        self._clients = clients
        self._endings = endings
        self._expiry = expiry
        self._offers_in = offers_in
        self._offers_out = offers_out

    def place(
        self,
        target: Uri,
        from_: NameAddr,
        sdp: bytes | None,
        credentials: Credentials | None,
        routes: Sequence[NameAddr],
        headers: Sequence[tuple[str, str]],
        now: float,
    ) -> CallHandle:
        """Send an INVITE; everything else comes as effects."""
        handle = CallHandle(self._core.next_number())
        local = from_.with_tag(self._core.new_token())
        auth = Authenticator(credentials, self._core.new_token) if credentials is not None else None
        call = Call(handle, True, local, self._core.new_token(), auth)
        full = self._calls.full
        self._calls.add(call)
        if full:
            self._core.deadlines.at(now, lambda at: self._calls.end(call, EndCause.UNREACHABLE, 503))
            return handle
        limit_s = self._core.config.limits.ringing_s
        call.timers.append(
            self._core.deadlines.at(now + limit_s, lambda at: self._endings.hang_up(call, EndCause.NO_ANSWER, at, 408))
        )
        self._invite(Attempt(call, NameAddr(without_headers(target)), sdp, tuple(routes), tuple(headers)), target, now)
        return handle

    def _invite(self, attempt: Attempt, target: Uri, now: float) -> None:
        call = attempt.call
        attempt.tried.add(str(target))
        headers = Headers()
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", str(call.local))
        headers.add("To", str(attempt.callee))
        headers.add("Call-ID", call.call_id)
        headers.add("CSeq", f"{attempt.next_cseq()} INVITE")
        for name, value in session_timer.ask(self._core.config.session_timer, attempt.min_se_s):
            headers.add(name, value)
        for name, value in (*fields_of(target), *attempt.headers):
            headers.add(name, value)
        request = Request("INVITE", without_headers(target), headers, attempt.sdp or b"")
        if attempt.sdp is not None:
            headers.set("Content-Type", "application/sdp")
        next_hop = apply_route_set(request, without_headers(target), attempt.routes)

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            self._answered(attempt, client, response, at)

        call.invite = ClientRequest(request, next_hop, answered, attempt.next_cseq, call.auth)
        self._clients.send(call.invite, now)

    def _answered(self, attempt: Attempt, client: ClientRequest, response: Response, now: float) -> None:
        call, status = attempt.call, response.status
        if 200 <= status < 300:
            self._succeeded(attempt, client, response, now)
        elif call.phase is Phase.ENDED:
            if status >= 200:
                self._calls.forget_early(call)
        elif status < 200:
            if status > 100 and call.phase is Phase.TRYING:
                self._progressed(call, client, response, now)
        elif call.phase is Phase.TRYING:
            self._failed(attempt, client, response, now)

    def _progressed(self, call: Call, client: ClientRequest, response: Response, now: float) -> None:
        session = self._early_session(call, client, response)
        wants_prack = session is not None and reliable_provisional.reliable(response)
        if wants_prack:
            assert session is not None, "decided above"
            if reliable_provisional.arrival(session.peer_rseq, response) is not Arrival.NEW:
                return
            session.peer_rseq = reliable_provisional.rseq_of(response)
        sdp = _sdp_in(response)
        if session is None:
            self._core.emit(CallRinging(call.handle, response.status, None))
            return
        state = session.media.state
        if sdp is not None and state is Exchange.NONE and wants_prack:
            session.media.take(Step.RECEIVE_OFFER, sdp)
            self._core.emit(CallRinging(call.handle, response.status, None))
            self._owe_in_prack(session, response, now)
            self._core.emit(OfferReceived(call.handle, sdp))
            return
        early: bytes | None = None
        if sdp is not None and state is Exchange.LOCAL_OFFER and session.modifying is None:
            early = session.preview = sdp
            if wants_prack:
                session.media.take(Step.RECEIVE_ANSWER, sdp)
        if wants_prack:
            self._send_prack(session, response, None, now)
        self._core.emit(CallRinging(call.handle, response.status, early))
        self._offers_out.settle(session, now)

    def _owe_in_prack(self, session: Session, response: Response, now: float) -> None:
        def answer(sdp: bytes, at: float) -> None:
            session.media.take(Step.SEND_ANSWER, sdp)
            self._send_prack(session, response, sdp, at)

        def reject(status: int, at: float) -> None:
            session.media.roll_back()
            self._endings.hang_up(session.call, EndCause.HUNG_UP, at)

        self._offers_in.owe(session, answer, reject, now)

    def _send_prack(self, session: Session, response: Response, sdp: bytes | None, now: float) -> None:
        request = session.dialog.request("PRACK")
        request.headers.add("RAck", reliable_provisional.rack(response))
        if sdp is not None:
            request.headers.set("Content-Type", "application/sdp")
            request.body = sdp
        self._clients.send(self._endings.in_dialog(session, request, lambda client, answer, at: None), now)

    def _early_session(self, call: Call, client: ClientRequest, response: Response) -> Session | None:
        """The session of one callee; None when it has no tag or there are too many."""
        tag = response.to.tag
        if not tag:
            return None
        session = call.early.get(tag)
        if session is None:
            limits = self._core.config.limits
            if len(call.early) >= limits.max_forks or self._calls.dialogs >= limits.max_dialogs:
                return None
            session = self._new_session(call, client, response)
            call.early[tag] = session
            self._calls.add_session(session)
        session.note_abilities(response)
        return session

    def _new_session(self, call: Call, client: ClientRequest, response: Response) -> Session:
        session = Session(call, Dialog.establish(client.sent, response), client.flow)
        if client.sent.body:
            session.media.take(Step.SEND_OFFER, client.sent.body)
        return session

    def _succeeded(self, attempt: Attempt, client: ClientRequest, response: Response, now: float) -> None:
        call, tag = attempt.call, response.to.tag or ""
        if call.session is not None and call.session.dialog.id.remote_tag == tag:
            if call.session.ack is not None and call.session.ack_cseq == response.cseq.number:
                self._clients.resend_ack(call.session.ack, now)
            return
        if call.phase is Phase.ENDED or call.session is not None:
            self._hang_up_fork(attempt, client, response, tag, now)
            return
        session = call.early.get(tag) or self._new_session(call, client, response)
        self._calls.forget_early(call, but=session)
        call.early.clear()
        call.end_setup()
        call.session = session
        call.phase = Phase.ANSWERED
        session.note_abilities(response)
        session.dialog.confirm(response)
        session.min_se_s = attempt.min_se_s
        self._calls.add_session(session)
        self._agree(session, response, now)

    def _agree(self, session: Session, response: Response, now: float) -> None:
        call, media, sdp = session.call, session.media, _sdp_in(response)
        if media.state is Exchange.NONE and sdp is not None:
            media.take(Step.RECEIVE_OFFER, sdp)
            self._core.emit(CallAnswered(call.handle, None))
            self._owe_in_ack(session, response, now)
            self._core.emit(OfferReceived(call.handle, sdp))
            return
        if media.state is Exchange.LOCAL_OFFER and session.modifying is None:
            answer = sdp if sdp is not None else session.preview  # §13.2.1: early SDP is that of the 2xx
            if answer is not None:
                media.take(Step.RECEIVE_ANSWER, answer)
        if media.local_sdp is None:
            self._endings.hang_up(call, EndCause.PROTOCOL_ERROR, now)
            return
        call.phase = Phase.CONFIRMED
        self._endings.send_ack(session, None, now)
        self._expiry.restart(session, session_timer.agreed(response), now)
        self._core.emit(CallAnswered(call.handle, media.remote_sdp))
        self._offers_out.settle(session, now)

    def _owe_in_ack(self, session: Session, response: Response, now: float) -> None:
        def answer(sdp: bytes, at: float) -> None:
            session.media.take(Step.SEND_ANSWER, sdp)
            session.call.phase = Phase.CONFIRMED
            self._endings.send_ack(session, sdp, at)
            self._expiry.restart(session, session_timer.agreed(response), at)
            self._offers_out.settle(session, at)

        def reject(status: int, at: float) -> None:
            self._endings.hang_up(session.call, EndCause.HUNG_UP, at)

        self._offers_in.owe(session, answer, reject, now)

    def _hang_up_fork(self, attempt: Attempt, client: ClientRequest, response: Response, tag: str, now: float) -> None:
        """A second callee answered, or one we had given up: ACK and BYE (§13.2.2.4)."""
        if tag in attempt.lost:
            self._clients.resend_ack(attempt.lost[tag], now)
            return
        early = attempt.call.early.get(tag)
        if early is not None:
            self._calls.forget(early)
        session = early or self._new_session(attempt.call, client, response)
        session.dialog.confirm(response)
        self._endings.acknowledge(session, client, None, now)
        assert session.ack is not None, "acknowledged above"
        attempt.lost[tag] = session.ack
        self._endings.bye(session, now)

    def _failed(self, attempt: Attempt, client: ClientRequest, response: Response, now: float) -> None:
        call, status = attempt.call, response.status
        self._calls.forget_early(call)
        if status == 422 and attempt.too_short < MAX_422 and session_timer.min_se(response) > attempt.min_se_s:
            attempt.too_short += 1
            attempt.min_se_s = session_timer.min_se(response)
            self._invite(attempt, client.request.uri, now)
            return
        if 300 <= status < 400 and status != 380:
            attempt.elsewhere.extend(by_preference(response))
        while attempt.elsewhere and (300 <= status < 400 or status < 600):
            uri = attempt.elsewhere.popleft()
            if attempt.redirects >= self._core.config.limits.max_redirects:
                break
            if str(uri) not in attempt.tried:
                attempt.redirects += 1
                self._invite(attempt, uri, now)
                return
        if client.local:
            cause = {408: EndCause.TIMED_OUT, 503: EndCause.UNREACHABLE}.get(status, EndCause.HUNG_UP)
        else:
            cause = EndCause.REDIRECTED if 300 <= status < 400 else EndCause.REJECTED
        self._calls.end(call, cause, status, response.headers.get("Reason") or response.reason)


def _sdp_in(response: Response) -> bytes | None:
    try:
        return find_sdp(response)
    except UnsupportedBodyError:
        return None
