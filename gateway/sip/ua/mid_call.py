"""Requests within a dialog, each to the part that serves it (RFC 3261 §12.2.2)."""

from gateway.sip.dialog import DialogId
from gateway.sip.ua.bodies import ACCEPTED
from gateway.sip.ua.core import Core, Fields, Incoming
from gateway.sip.ua.effects import InfoReceived
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.incoming_calls import IncomingCalls
from gateway.sip.ua.offers_in import OffersIn
from gateway.sip.ua.session import CallTable, Phase, Session
from gateway.sip.ua.transfer import Transfers


def abilities(core: Core) -> Fields:
    """What an OPTIONS is answered with (§11.2)."""
    return (
        ("Allow", core.config.allow),
        ("Accept", ", ".join(ACCEPTED)),
        ("Accept-Encoding", "identity"),
        ("Accept-Language", "en"),
        ("Supported", core.config.supported),
        ("Allow-Events", "refer"),
    )


class MidCall:
    def __init__(
        self,
        core: Core,
        calls: CallTable,
        endings: Endings,
        incoming_calls: IncomingCalls,
        offers_in: OffersIn,
        transfers: Transfers,
    ) -> None:
        self._core = core
        self._calls = calls
        self._endings = endings
        self._incoming_calls = incoming_calls
        self._offers_in = offers_in
        self._transfers = transfers

    def receive(self, incoming: Incoming, now: float) -> None:
        """Serve a request with a To tag: 481 when it is of no dialog, 500 when a newer one came before."""
        request = incoming.request
        session = self._calls.session(DialogId.of_request(request))
        if session is None:
            if request.method == "NOTIFY" and self._transfers.receive_notify(incoming, now):
                return
            self._core.respond(incoming, 481, now)
            return
        if not session.dialog.receive_cseq(request.cseq.number):
            self._core.respond(incoming, 500, now)
            return
        session.flow = incoming.flow
        if request.method == "BYE":
            self._endings.receive_bye(session, incoming, now)
            self._transfers.call_ended(session.call.handle)
        elif request.method == "NOTIFY":
            if not self._transfers.receive_notify(incoming, now):
                self._core.respond(incoming, 481, now)
        elif session.call.phase is Phase.ENDED:
            self._core.respond(incoming, 481, now)
        else:
            self._serve(session, incoming, now)

    def _serve(self, session: Session, incoming: Incoming, now: float) -> None:
        request = incoming.request
        match request.method:
            case "INVITE":
                self._offers_in.receive_reinvite(session, incoming, now)
            case "UPDATE":
                self._offers_in.receive_update(session, incoming, now)
            case "PRACK":
                self._incoming_calls.receive_prack(session, incoming, now)
            case "REFER":
                self._transfers.receive_refer(session, incoming, now)
            case "INFO" if "Info-Package" in request.headers:  # RFC 6086 §4.2.2: none is announced
                self._core.respond(incoming, 469, now, "Bad Info Package", headers=[("Recv-Info", "")])
            case "INFO":
                self._core.respond(incoming, 200, now)
                self._core.emit(InfoReceived(session.call.handle, request.content_type, request.body))
            case "OPTIONS":
                self._core.respond(incoming, 200, now, headers=abilities(self._core))
            case method:
                raise AssertionError(f"screening lets {method} pass, and nobody serves it")
