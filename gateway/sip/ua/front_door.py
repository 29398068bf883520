"""Requests outside any dialog: who may, and what they may ask for (RFC 3261 §8.2)."""

from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.effects import BadInput
from gateway.sip.ua.gate import Admitted, Challenged, Gate, Ignored, Refused
from gateway.sip.ua.incoming_calls import IncomingCalls
from gateway.sip.ua.mid_call import abilities
from gateway.sip.ua.screening import Refusal, RequestLog
from gateway.sip.ua.session import CallTable


class FrontDoor:
    """Asks the gate first: strangers learn nothing from how a bad request is refused. ``closed`` takes no calls."""

    def __init__(self, core: Core, gate: Gate, calls: CallTable, incoming_calls: IncomingCalls) -> None:
        self._core = core
        self._gate = gate
        self._calls = calls
        self._incoming = incoming_calls
        self._seen = RequestLog(core)
        self.closed = False

    def receive(self, incoming: Incoming, refusal: Refusal | None, now: float) -> None:
        """Serve a request without To tag; ``refusal`` is what the screening has against it."""
        request = incoming.request
        match self._gate.check(request, incoming.flow, now):
            case Ignored():
                self._core.layer.drop(incoming.transaction)
                self._core.emit(BadInput("ignored"))  # a stranger who insists: no answer, one more on the counter
            case Refused(status):
                self._core.emit(BadInput("refused"))
                self._core.respond(incoming, status, now)
            case Challenged(headers):
                self._core.respond(incoming, 401, now, headers=headers)
            case Admitted(trunk):
                if refusal is not None:
                    self._core.respond(incoming, refusal.status, now, headers=refusal.fields)
                else:
                    self._admitted(incoming, trunk, now)

    def _admitted(self, incoming: Incoming, trunk: str, now: float) -> None:
        request = incoming.request
        if self._seen.merged(request, incoming.transaction, now) or self._calls.started_here(
            request.call_id, request.from_.tag or ""
        ):
            self._core.respond(incoming, 482, now)
        elif request.method == "OPTIONS":
            self._core.respond(incoming, 200, now, headers=abilities(self._core))
        elif request.method == "INVITE":
            if self.closed:
                self._core.respond(incoming, 503, now)
                return
            self._incoming.receive(incoming, trunk, now)
        elif request.method == "REFER":
            self._core.respond(incoming, 403, now)  # who calls whom is decided within a call only
        else:
            self._core.respond(incoming, 481, now)
