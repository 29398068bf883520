"""Ending a call from this side, whatever state it is in (RFC 3261 §9, §15)."""

from gateway.sip.message import Request, Response
from gateway.sip.ua.client import ClientRequest, Clients, OnResponse
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.effects import EndCause, Reason
from gateway.sip.ua.session import Call, CallTable, Phase, Session

TEXTS = {EndCause.SESSION_EXPIRED: Reason("SIP", 408, "session expired"), EndCause.NO_ACK: Reason("SIP", 408, "no ACK")}


class Endings:
    """BYE, CANCEL or a refusal: what the state of the call asks for."""

    def __init__(self, core: Core, calls: CallTable, clients: Clients) -> None:
        self._core = core
        self._calls = calls
        self._clients = clients

    def hang_up(self, call: Call, cause: EndCause, now: float, status: int = 0, reason: Reason | None = None) -> None:
        """End ``call`` for the application now; what the peer must still hear follows by itself."""
        if call.phase is Phase.ENDED:
            return
        phase, session = call.phase, call.session
        reason = reason or TEXTS.get(cause)
        self._calls.end(call, cause, status, reason.text if reason is not None else "")
        if session is None:
            if call.invite is not None:
                self._clients.cancel(call.invite, now, _fields(reason))
            return
        self.settle_debts(session, now)
        if phase is Phase.TRYING:
            assert call.incoming is not None, "a session without final response is a call that came in"
            self._core.respond(call.incoming, 480, now, to_tag=session.dialog.id.local_tag, headers=_fields(reason))
            self._calls.forget(session)
        elif phase is Phase.ANSWERED and not call.outgoing and session.accepted is not None:
            # §15: no BYE before the ACK came or will not come.
            session.accepted.on_ack = lambda sdp, at: self.bye(session, at, reason)
        else:
            if phase is Phase.ANSWERED and call.outgoing:
                self.send_ack(session, None, now)
            self._calls.stop_accepting(session)
            self.bye(session, now, reason)

    def settle_debts(self, session: Session, now: float) -> None:
        """The session ends: answer the request that waits for the application."""
        owed, session.owed = session.owed, None
        if owed is not None:
            owed.timer.cancel()
            if owed.incoming is not None:
                tag = session.dialog.id.local_tag
                self._core.respond(owed.incoming, 487, now, to_tag=tag)

    def bye(self, session: Session, now: float, reason: Reason | None = None) -> None:
        """Send BYE; its response, or none, ends the session."""
        request = session.dialog.request("BYE")
        for name, value in _fields(reason):
            request.headers.add(name, value)

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            if response.status >= 200:
                self._calls.forget(session)

        self._clients.send(self.in_dialog(session, request, answered), now)

    def in_dialog(self, session: Session, request: Request, on_response: OnResponse) -> ClientRequest:
        """Wrap a request of ``session`` for sending."""
        dialog = session.dialog
        return ClientRequest(
            request,
            dialog.next_hop,
            on_response,
            dialog.next_cseq,
            session.call.auth,
            session.flow,
        )

    def send_ack(self, session: Session, sdp: bytes | None, now: float) -> None:
        """Acknowledge the 2xx to the call's own INVITE."""
        assert session.call.invite is not None, "only calls of ours have a 2xx to acknowledge"
        self.acknowledge(session, session.call.invite, sdp, now)

    def acknowledge(self, session: Session, invite: ClientRequest, sdp: bytes | None, now: float) -> None:
        """Send the ACK to a 2xx; a repeated 2xx is answered by the same."""
        dialog = session.dialog
        request = dialog.ack(invite.sent)
        if sdp is not None:
            request.headers.set("Content-Type", "application/sdp")
            request.body = sdp
        session.ack = ClientRequest(request, dialog.next_hop, None, preferred=session.flow)
        session.ack_cseq = invite.sent.cseq.number
        self._clients.send(session.ack, now)

    def judge(self, session: Session, client: ClientRequest, response: Response, now: float) -> None:
        """§12.2.1.2: a peer that does not know the dialog, or answers nothing, has no call with us any more."""
        if response.status == 481 or (response.status == 408 and client.local):
            cause = EndCause.TIMED_OUT if client.local else EndCause.PEER_LOST
            self.hang_up(session.call, cause, now, response.status)

    def ack_missing(self, session: Session, now: float) -> None:
        """Nobody acknowledged a 2xx of ours for 64·T1: BYE (§13.3.1.4)."""
        if session.call.phase is Phase.ENDED:
            self.bye(session, now)
            return
        self._calls.end(session.call, EndCause.NO_ACK)
        self.settle_debts(session, now)
        self.bye(session, now, TEXTS[EndCause.NO_ACK])

    def receive_bye(self, session: Session, incoming: Incoming, now: float) -> None:
        """The peer hung up, in whatever phase (§15.1.2)."""
        call = session.call
        self._core.respond(incoming, 200, now)
        if call.phase is Phase.ENDED or (call.session is None and len(call.early) > 1):
            self._calls.forget(session)
            return
        phase = call.phase
        self.settle_debts(session, now)
        text = incoming.request.headers.get("Reason") or ""
        self._calls.end(call, EndCause.PEER_HUNG_UP, 0, text)
        if phase is Phase.TRYING:
            if call.incoming is not None:
                self._core.respond(call.incoming, 487, now, to_tag=session.dialog.id.local_tag)
            elif call.invite is not None:
                self._clients.cancel(call.invite, now)
        self._calls.forget(session)


def _fields(reason: Reason | None) -> tuple[tuple[str, str], ...]:
    return () if reason is None else (("Reason", str(reason)),)
