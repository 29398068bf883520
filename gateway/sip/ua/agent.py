"""The user agent: bytes, commands and ``now`` in, effects out (RFC 3261 §8, §12 to §15).

```
bytes -> parser -> TransactionLayer -> UserAgent -+- FrontDoor -> IncomingCalls   a call's first INVITE, as callee
                                                  +- MidCall         requests within a dialog
                                                  |    +- OffersIn, Transfers, Endings
Clients (resolution, failover, digest) <----------+- OutgoingCalls   a call's first INVITE, as caller
                                                  +- OffersOut, SessionExpiry, Registrations, Pings
```
``CallTable`` holds the calls; ``Core`` what all parts share. Every call of the application goes
through here, and ends with everything drained from the transaction layer.
"""

from collections.abc import Callable, Sequence

from gateway.sip.dialog import DialogId
from gateway.sip.errors import SipParseError
from gateway.sip.flow import Address, Flow, Target
from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.parser import parse_message
from gateway.sip.transaction import effects as below
from gateway.sip.transaction import matching
from gateway.sip.transaction.layer import TransactionLayer
from gateway.sip.trunk import Credentials
from gateway.sip.ua.acceptance import Acceptances
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.effects import BadInput, CallHandle, Effect, EndCause, Reason, SendBytes
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.front_door import FrontDoor
from gateway.sip.ua.gate import Gate
from gateway.sip.ua.incoming_calls import IncomingCalls
from gateway.sip.ua.mid_call import MidCall
from gateway.sip.ua.offers_in import OffersIn
from gateway.sip.ua.offers_out import OffersOut
from gateway.sip.ua.outgoing_calls import OutgoingCalls
from gateway.sip.ua.ping import Pings
from gateway.sip.ua.registration import Registration, Registrations
from gateway.sip.ua.screening import screen
from gateway.sip.ua.session import Call, CallTable, Phase
from gateway.sip.ua.session_expiry import SessionExpiry
from gateway.sip.ua.transfer import Transfers
from gateway.sip.uri import Uri


class UserAgent:
    """All calls, registrations and pings of a gateway.

    ``new_token`` gives unguessable strings of token characters, ``chance`` numbers in [0, 1).
    A command about a call that has ended does nothing: its ``CallEnded`` may be on the way.
    """

    def __init__(
        self,
        config: UserAgentConfig,
        gate: Gate,
        new_token: Callable[[], str],
        chance: Callable[[], float],
    ) -> None:
        def sent_by(flow: Flow) -> Address:
            contact = config.contact(flow)
            return (contact.host, contact.port or flow.transport.default_port)

        self._config = config
        layer = TransactionLayer(new_token, sent_by, config.timers)
        self._core = core = Core(config, layer, new_token, chance)
        self._layer = layer
        self._calls = calls = CallTable(core)
        self._clients = clients = Clients(core)
        self._endings = endings = Endings(core, calls, clients)
        self._acceptances = acceptances = Acceptances(core, endings.ack_missing)
        expiry = SessionExpiry(core, endings)
        self._offers_out = out = OffersOut(core, clients, endings, expiry)
        self._offers_in = offers_in = OffersIn(core, endings, acceptances, expiry, out)
        self._incoming = IncomingCalls(core, calls, endings, acceptances, expiry, offers_in, out)
        self._outgoing = OutgoingCalls(core, calls, clients, endings, expiry, offers_in, out)
        self._transfers = Transfers(core, clients, endings)
        self._mid_call = MidCall(core, calls, endings, self._incoming, offers_in, self._transfers)
        self._registrations = Registrations(core, clients)
        self._pings = Pings(core, clients)
        self._front_door = FrontDoor(core, gate, calls, self._incoming)

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one message as it came on ``flow``: a datagram, or what a ``StreamFramer`` cut out."""
        try:
            message = parse_message(data, stream=flow.transport.reliable)
        except SipParseError as error:
            self._core.emit(BadInput(error.reason))
            if error.status is not None and error.request is not None and error.request.method != "ACK":
                # Without a transaction: a repeated bad request gets a repeated answer.
                request = error.request
                try:
                    via = request.via
                    matching.note_source(request, via, flow)
                    flow = matching.reply_flow(via, flow)
                except SipParseError:
                    pass  # even its Via is not to be read: back to where it came from
                response = request.respond(error.status, "", self._core.new_token())
                self._core.emit(SendBytes(response.to_bytes(), flow))
            return
        self._layer.receive(message, flow, now)
        self._drain(now)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """``flow`` is broken, or what was given to it did not go out."""
        self._layer.transport_failed(flow, now)
        self._drain(now)

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> None:
        """Answer a ``Resolve``: the targets in the order to try them, none when there are none."""
        self._clients.resolved(query, targets, now)
        self._drain(now)

    def ring(self, call: CallHandle, now: float, sdp: bytes | None = None, status: int = 180) -> None:
        if (known := self._calls.get(call)) is not None:
            self._incoming.ring(known, sdp, status, now)
        self._drain(now)

    def answer(self, call: CallHandle, sdp: bytes | None, now: float) -> None:
        """Accept the call. ``sdp`` may be None only where a reliable ``ring`` has settled the session."""
        if (known := self._calls.get(call)) is not None:
            self._incoming.answer(known, sdp, now)
        self._drain(now)

    def refuse(
        self, call: CallHandle, status: int, now: float, reason: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        if (known := self._calls.get(call)) is not None:
            self._incoming.refuse(known, status, reason, headers, now)
        self._drain(now)

    def hang_up(self, call: CallHandle, now: float, reason: Reason | None = None) -> None:
        """End the call in whatever state it is: ``CallEnded`` follows at once."""
        if (known := self._calls.get(call)) is not None:
            self._hang_up(known, now, reason)
        self._drain(now)

    def place_call(
        self,
        target: Uri,
        from_: NameAddr,
        sdp: bytes | None,
        now: float,
        *,
        credentials: Credentials | None = None,
        routes: Sequence[NameAddr] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> CallHandle:
        """Call ``target``; with ``sdp`` None the callee offers. ``routes`` are proxies to go through."""
        call = self._outgoing.place(target, from_, sdp, credentials, routes, headers, now)
        self._drain(now)
        return call

    def offer(self, call: CallHandle, sdp: bytes, now: float) -> None:
        """Change the session, as soon as that may be: ``OfferAnswered`` or ``OfferRejected`` follows."""
        if (known := self._calls.get(call)) is not None:
            self._offers_out.offer(known, sdp, now)
        self._drain(now)

    def answer_offer(self, call: CallHandle, sdp: bytes, now: float) -> None:
        if (known := self._calls.get(call)) is not None:
            self._offers_in.answer(known, sdp, now)
        self._drain(now)

    def reject_offer(self, call: CallHandle, status: int, now: float) -> None:
        if (known := self._calls.get(call)) is not None:
            self._offers_in.reject(known, status, now)
        self._drain(now)

    def refer(self, call: CallHandle, to: Uri, now: float, replaces: CallHandle | None = None) -> None:
        """Transfer the peer to ``to``, or into the place of our call ``replaces``: ``TransferProgress`` follows."""
        if (known := self._calls.get(call)) is not None:
            other = self._calls.get(replaces) if replaces is not None else None
            self._transfers.refer(known, to, other, now)
        self._drain(now)

    def takes(self, call: CallHandle, method: str) -> bool:
        """Whether the peer takes ``method`` in this call: False where its Allow leaves it out (RFC 3261 §20.5)."""
        known = self._calls.get(call)
        if known is None or known.session is None:
            return False
        return not known.session.peer_allows or method in known.session.peer_allows

    def report_transfer(self, call: CallHandle, status: int, now: float) -> None:
        """Tell the peer how the transfer goes that it asked for; a final status is the last word."""
        self._transfers.report(call, status, now)
        self._drain(now)

    def send_info(self, call: CallHandle, content_type: str, body: bytes, now: float) -> None:
        known = self._calls.get(call)
        if known is not None and known.session is not None and known.session.dialog.confirmed:
            session = known.session
            request = session.dialog.request("INFO")
            request.headers.set("Content-Type", content_type)
            request.body = body

            def answered(client: ClientRequest, response: Response, at: float) -> None:
                self._endings.judge(session, client, response, at)

            self._clients.send(self._endings.in_dialog(session, request, answered), now)
        self._drain(now)

    def register(self, registration: Registration, now: float) -> int:
        id = self._registrations.register(registration, now)
        self._drain(now)
        return id

    def unregister(self, id: int, now: float) -> None:
        self._registrations.unregister(id, now)
        self._drain(now)

    def ping(self, target: Uri, now: float) -> int:
        id = self._pings.ping(target, now)
        self._drain(now)
        return id

    def stop(self, now: float) -> None:
        """Take no more calls, end all there are, unregister. ``idle`` says when all that is done."""
        self._front_door.closed = True
        for call in self._calls.calls():
            self._hang_up(call, now, None)
        for id in self._registrations.ids():
            self._registrations.unregister(id, now)
        self._drain(now)

    @property
    def idle(self) -> bool:
        """True when nothing is left of any call, request or registration."""
        return not (self._calls or self._calls.dialogs or self._clients or self._registrations or self._transfers)

    def handle_deadline(self, now: float) -> None:
        self._layer.handle_deadline(now)
        self._drain(now)
        self._core.deadlines.run(now)
        self._drain(now)

    def next_deadline(self) -> float | None:
        ours, theirs = self._core.deadlines.next(), self._layer.next_deadline()
        if ours is None or theirs is None:
            return theirs if ours is None else ours
        return min(ours, theirs)

    def poll(self) -> Effect | None:
        return self._core.effects.popleft() if self._core.effects else None

    def stats(self) -> dict[str, float]:
        own = {
            "calls": len(self._calls),
            "dialogs": self._calls.dialogs,
            "client_requests": len(self._clients),
            "registrations": len(self._registrations),
            "transfers": len(self._transfers),
            "timers": len(self._core.deadlines),
        }
        return {**{name: float(value) for name, value in own.items()}, **self._layer.stats()}

    def _hang_up(self, call: Call, now: float, reason: Reason | None) -> None:
        self._transfers.call_ended(call.handle)
        self._endings.hang_up(call, EndCause.HUNG_UP, now, reason=reason)

    def _drain(self, now: float) -> None:
        while (event := self._layer.poll()) is not None:
            match event:
                case below.SendMessage(message, flow):
                    self._core.emit(SendBytes(message.to_bytes(), flow))
                case below.RequestReceived(transaction, request, flow):
                    self._receive_request(Incoming(transaction, request, flow), now)
                case below.ResponseReceived(transaction, response):
                    if not self._clients.receive(transaction, response, now):
                        self._receive_stray(response, now)
                case below.AckReceived(request, flow):
                    session = self._calls.session(DialogId.of_request(request))
                    if session is not None:
                        self._acceptances.receive_ack(session, request, now)
                case below.CancelReceived(invite, cancel):
                    self._receive_cancel(invite, cancel, now)
                case below.StrayResponse(response):
                    self._receive_stray(response, now)
                case below.TransactionTimedOut(transaction):
                    self._clients.fail(transaction, 408, now)
                case below.TransportFailed(transaction):
                    self._clients.fail(transaction, 503, now)
                case below.AckMissing():
                    pass  # the refused call is long forgotten here

    def _receive_request(self, incoming: Incoming, now: float) -> None:
        request = incoming.request
        refusal = screen(request, self._config)
        if request.to.tag:
            if refusal is not None:
                self._core.respond(incoming, refusal.status, now, headers=refusal.fields)
                return
            self._mid_call.receive(incoming, now)
            return
        self._front_door.receive(incoming, refusal, now)

    def _receive_cancel(self, invite: below.TransactionId, cancel: Request, now: float) -> None:
        session = self._calls.session_of_invite(invite)
        if session is None:
            return
        if session.call.phase is Phase.TRYING:
            self._incoming.cancelled(session.call, cancel, now)
        else:
            self._offers_in.receive_cancel(session, now)

    def _receive_stray(self, response: Response, now: float) -> None:
        """A response nobody waits for. A 2xx to INVITE gets its ACK again, if the call is ours (§13.2.2.4)."""
        if response.cseq.method == "CANCEL":
            return  # what became of the INVITE, its own response says
        session = self._calls.session(DialogId.of_response(response))
        if session is not None and session.ack is not None and session.ack_cseq == response.cseq.number:
            self._clients.resend_ack(session.ack, now)
        else:
            self._core.emit(BadInput("stray_response"))
