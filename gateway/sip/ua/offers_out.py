"""Changing or refreshing a session from this side: re-INVITE and UPDATE as client (RFC 3261 §14.1, RFC 3311)."""

from gateway.sip.message import Response
from gateway.sip.ua import session_timer
from gateway.sip.ua.bodies import UnsupportedBodyError, find_sdp
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.core import Core
from gateway.sip.ua.effects import EndCause, OfferAnswered, OfferRejected
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.offer_answer import Exchange, Step
from gateway.sip.ua.session import Call, Phase, Session
from gateway.sip.ua.session_expiry import SessionExpiry

MAX_422 = 3


class OffersOut:
    """One change at a time and session; a newer offer that cannot go yet replaces the one that waits."""

    def __init__(self, core: Core, clients: Clients, endings: Endings, expiry: SessionExpiry) -> None:
        self._core = core
        self._clients = clients
        self._endings = endings
        self._expiry = expiry
        expiry.on_refresh = self.refresh

    def offer(self, call: Call, sdp: bytes, now: float) -> None:
        """Offer ``sdp`` as soon as nothing else is being negotiated."""
        session = call.session or next(iter(call.early.values()), None)
        if session is None:
            return
        session.queued_offer = sdp
        self.settle(session, now)

    def settle(self, session: Session, now: float) -> None:
        """Something came to its end: send what waits, if it may go now."""
        sdp = session.queued_offer
        if (
            session.call.phase is Phase.ENDED
            or sdp is None
            or not self._free(session)
            or session.media.state is not Exchange.SETTLED
        ):
            return
        if session.glare is not None and session.glare.pending:
            return
        confirmed = session.call.phase is Phase.CONFIRMED
        if not confirmed and "UPDATE" not in session.peer_allows:
            return  # after the ACK
        session.queued_offer = None
        session.media.take(Step.SEND_OFFER, sdp)
        self._send(session, "INVITE" if confirmed else "UPDATE", sdp, now)

    def refresh(self, session: Session, now: float) -> None:
        """Give the sign of life of RFC 4028: an UPDATE without SDP, or a re-INVITE that changes nothing (§7.4)."""
        if session.call.phase is not Phase.CONFIRMED:
            return
        if not self._free(session) or session.media.open:
            self._expiry.retry_refresh(session, 1.0, now)
        elif "UPDATE" in session.peer_allows:
            self._send(session, "UPDATE", None, now)
        else:
            assert session.media.local_sdp is not None, "a confirmed call has agreed on media"
            session.media.take(Step.SEND_OFFER, session.media.local_sdp)
            self._send(session, "INVITE", session.media.local_sdp, now)

    def _free(self, session: Session) -> bool:
        """§14.1: no new INVITE while another one is in progress, in either direction."""
        return session.modifying is None and session.owed is None and session.accepted is None

    def _send(self, session: Session, method: str, sdp: bytes | None, now: float) -> None:
        request = session.dialog.request(method)
        settings = self._core.config.session_timer
        for name, value in session_timer.ask(settings, session.min_se_s, session.terms):
            request.headers.add(name, value)
        if sdp is not None:
            request.headers.set("Content-Type", "application/sdp")
            request.body = sdp

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            self._answered(session, client, response, at)

        session.modifying = self._endings.in_dialog(session, request, answered)
        self._clients.send(session.modifying, now)

    def _answered(self, session: Session, client: ClientRequest, response: Response, now: float) -> None:
        status = response.status
        invite = client.request.method == "INVITE"
        if status < 200:
            return
        if invite and status < 300:
            if session.ack is not None and session.ack_cseq == client.sent.cseq.number:
                self._clients.resend_ack(session.ack, now)
                return
            session.dialog.refresh_target(response)
            self._endings.acknowledge(session, client, None, now)
        if session.modifying is not client:
            return
        session.modifying = None
        if session.call.phase is Phase.ENDED:
            return
        offered = bool(client.request.body)
        if status < 300:
            self._accepted(session, response, offered, now)
        else:
            self._refused(session, client, response, offered, now)
        self.settle(session, now)

    def _accepted(self, session: Session, response: Response, offered: bool, now: float) -> None:
        session.dialog.refresh_target(response)
        session.note_abilities(response)
        if session.call.phase is Phase.CONFIRMED:
            self._expiry.restart(session, session_timer.agreed(response), now)
        if not offered:
            return
        try:
            sdp = find_sdp(response)
        except UnsupportedBodyError:
            sdp = None
        if sdp is None:
            session.media.roll_back()
            self._endings.hang_up(session.call, EndCause.PROTOCOL_ERROR, now)
            return
        changed = (session.media.local_sdp, session.media.remote_sdp)
        session.media.take(Step.RECEIVE_ANSWER, sdp)
        if changed != (session.media.local_sdp, session.media.remote_sdp):  # else it was a refresh
            self._core.emit(OfferAnswered(session.call.handle, sdp))

    def _refused(self, session: Session, client: ClientRequest, response: Response, offered: bool, now: float) -> None:
        status, sdp = response.status, client.request.body or None
        refresh = not offered or sdp == session.media.local_sdp
        if offered:
            session.media.roll_back()
        self._endings.judge(session, client, response, now)
        if session.call.phase is Phase.ENDED:
            return
        if status == 491:
            self._wait_after_glare(session, sdp, now)
        elif status == 422 and session.min_se_s < session_timer.min_se(response):
            session.min_se_s = session_timer.min_se(response)
            if sdp is not None:
                session.queued_offer = session.queued_offer or sdp
            else:
                self._expiry.retry_refresh(session, 0.0, now)
        elif refresh:
            if status in (405, 501):
                session.peer_allows -= {client.request.method}
            self._expiry.retry_refresh(session, 0.0 if status in (405, 501) else 5.0, now)
        else:
            self._core.emit(OfferRejected(session.call.handle, status))

    def _wait_after_glare(self, session: Session, sdp: bytes | None, now: float) -> None:
        """§14.1: the owner of the Call-ID waits 2.1 to 4 s, the other side 0 to 2 s, in steps of 10 ms."""
        chance = self._core.chance()
        wait_s = 2.1 + round(chance * 190) / 100 if session.dialog.local_started else round(chance * 200) / 100
        if sdp is None:
            self._expiry.retry_refresh(session, wait_s, now)
            return
        session.queued_offer = session.queued_offer or sdp
        session.glare = self._core.deadlines.at(now + wait_s, lambda at: self.settle(session, at))
