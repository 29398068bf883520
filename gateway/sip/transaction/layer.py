"""All transactions of one user agent: matching, timers, and a bound on their number.

Three things never get state: CANCEL, which is answered out of the INVITE it means; the ACK for a
2xx, whose retransmissions belong to the dialog; and requests beyond the bound, which are answered
503 and forgotten. A stranger who asks for much therefore costs little.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable

from gateway.sip.flow import Address, Flow
from gateway.sip.message import Message, Request, Response
from gateway.sip.transaction import matching
from gateway.sip.transaction.effects import (
    AckMissing,
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    TransactionEffect,
    TransactionId,
    TransactionTimedOut,
    TransportFailed,
)
from gateway.sip.transaction.invite_client import INVITE_CLIENT
from gateway.sip.transaction.invite_server import INVITE_SERVER
from gateway.sip.transaction.non_invite_client import NON_INVITE_CLIENT
from gateway.sip.transaction.non_invite_server import NON_INVITE_SERVER
from gateway.sip.transaction.requests import ack_for_failure, cancel_for, with_via
from gateway.sip.transaction.table import Action, Event, State
from gateway.sip.transaction.timers import RETRANSMIT, Timer, Timers
from gateway.sip.transaction.transaction import Transaction
from gateway.sip.transaction.transactions import Transactions
from gateway.sip.via import Via

__all__ = ["MAX_TRANSACTIONS", "TransactionId", "TransactionLayer"]

# 30 calls/s (one carrier's limit) are 30 INVITE and 30 BYE that live for 32 s over UDP: 2,000. A bare INVITE takes
# 3 KB here, so a flood of them takes 25 MB.
MAX_TRANSACTIONS = 8_192


class TransactionLayer:
    """Feed it parsed messages, the wishes of the transaction user and the time; drain ``poll``.

    ``new_branch`` gives tokens that never repeat; the cookie of RFC 3261 §8.1.1.7 is put before
    them. ``sent_by`` says how peers on a flow may address this side. At most ``max_transactions``
    server transactions live at once (an eighth more for requests within a dialog, so that calls
    can end during a flood), and as many client transactions.
    """

    def __init__(
        self,
        new_branch: Callable[[], str],
        sent_by: Callable[[Flow], Address],
        timers: Timers | None = None,
        max_transactions: int = MAX_TRANSACTIONS,
    ) -> None:
        if max_transactions < 1:
            raise ValueError(f"expected at least 1 transaction, got {max_transactions}")
        self._new_branch = new_branch
        self._sent_by = sent_by
        self._timers = timers or Timers()
        self._max = max_transactions
        self._last_id = 0
        self._live = Transactions()
        self._effects: deque[TransactionEffect] = deque()
        self._refused = 0
        self._absorbed = 0
        self._retransmitted = 0
        self._timed_out = 0
        self._strays = 0
        self._ignored = 0

    def receive(self, message: Message, flow: Flow, now: float) -> None:
        """Take a message that came on ``flow``. A new request gets ``received`` and ``rport`` into its top Via."""
        vias = message.vias
        if isinstance(message, Response):
            # More than one Via: not ours, or misrouted (§8.1.3.3).
            if len(vias) == 1:
                self._receive_response(message, vias[0], flow, now)
            else:
                self._strays += 1
        elif not vias:
            self._refused += 1  # nowhere to answer to
        elif message.method == "ACK":
            self._receive_ack(message, vias[0], flow, now)
        elif message.method == "CANCEL":
            self._receive_cancel(message, vias[0], flow)
        else:
            self._receive_request(message, vias[0], flow, now)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """A connection is gone, could not be opened, or a datagram to ``flow.remote`` was refused.

        Concerns the transactions on this connection, and those that left the choice of it open. A
        server's responses go to the address of the Via from now on (§18.2.2); only when that
        fails too is it told.
        """
        for transaction in self._live.on(flow):
            if transaction.fallback is not None:
                self._live.move(transaction, transaction.fallback)
                transaction.fallback = None
                # Nothing is retransmitted over a stream, so this may have been lost with it. A 2xx
                # is the transaction user's to repeat, a provisional response may be missed.
                if transaction.state is State.COMPLETED and transaction.response is not None:
                    self._send(transaction.response, transaction.flow)
            else:
                self._apply(transaction, Event.TRANSPORT_ERROR, now)

    def send_request(self, request: Request, flow: Flow, now: float) -> TransactionId:
        """Send a copy of ``request``, with a Via on top, until it is answered. Not for ACK and CANCEL.

        Raises OverflowError when too many requests are unanswered.
        """
        if request.method in ("ACK", "CANCEL"):
            raise ValueError(f"expected a request with a transaction of its own, got {request.method}")
        count = len(self._live.clients)
        if count >= self._max:
            raise OverflowError(f"expected fewer than {self._max} client transactions, got {count}")
        branch = matching.MAGIC_COOKIE + self._new_branch()
        copy = with_via(request, flow, self._sent_by(flow), branch)
        return self._start_client(copy, branch, flow, now)

    def send_cancel(
        self, invite: TransactionId, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> TransactionId | None:
        """Cancel an INVITE of ours, once a provisional response allows it (§9.1).

        Returns the transaction of the CANCEL, or None when it was not sent: not yet (it will be,
        and its response told under an id not known before), or not any more, because the INVITE
        was answered. Whether the INVITE is over, its own response says: 487, or 2xx if that was
        faster, or ``TransactionTimedOut`` when it never comes.
        """
        transaction = self._live.get(invite)
        if transaction is None or not transaction.knows(Event.CANCEL):
            return None
        transaction.cancel_headers = tuple(headers)
        last_id = self._last_id
        self._apply(transaction, Event.CANCEL, now)
        return TransactionId(self._last_id) if self._last_id != last_id else None

    def send_ack(self, request: Request, flow: Flow, now: float) -> None:
        """Send a copy of the ACK for a 2xx once: a transaction of its own that has no response (§13.2.2.4)."""
        if request.method != "ACK":
            raise ValueError(f"expected ACK, got {request.method}")
        branch = matching.MAGIC_COOKIE + self._new_branch()
        self._send(with_via(request, flow, self._sent_by(flow), branch), flow)

    def respond(self, transaction: TransactionId, response: Response, now: float) -> None:
        """Answer a request. What can no longer be said, or must not be (RFC 4320), is dropped and counted.

        A 2xx to INVITE may be given again and again, each is sent; its retransmission is the
        caller's duty (§13.3.1.4).
        """
        server = self._live.get(transaction)
        if server is None or not server.machine.server:
            self._ignored += 1
            return
        event = _class_of(response)
        if server.machine is NON_INVITE_SERVER:
            early = not server.reliable and now < server.started + self._timers.late_trying_s
            if event is Event.PROVISIONAL and (response.status > 100 or early):
                self._ignored += 1
                return
            if response.status == 408:
                event = Event.TIMEOUT_SENT
        if not server.knows(event):
            self._ignored += 1
            return
        server.response = response
        self._apply(server, event, now)

    def drop(self, transaction: TransactionId, response: Response | None = None) -> None:
        """Forget a server transaction, after saying ``response`` once.

        For strangers: neither memory nor retransmissions for a request that is not wanted (§8.2.7).
        Should it come again, ``RequestReceived`` does too.
        """
        server = self._live.get(transaction)
        if server is None or not server.machine.server:
            return
        if response is not None:
            self._send(response, server.flow)
        self._live.remove(server)

    def handle_deadline(self, now: float) -> None:
        """Fire what is due. A late call fires each retransmission once, not those it slept through."""
        while (transaction := self._live.pop_due(now)) is not None:
            timer = transaction.pop_due(now)
            assert timer is not None, "the schedule follows the timers"
            if timer in RETRANSMIT:
                self._retransmitted += 1
            self._apply(transaction, timer, now)

    def next_deadline(self) -> float | None:
        return self._live.next_deadline()

    def poll(self) -> TransactionEffect | None:
        return self._effects.popleft() if self._effects else None

    def stats(self) -> dict[str, float]:
        """Two gauges, then counters since the start."""
        return {
            "server_transactions": len(self._live.servers),
            "client_transactions": len(self._live.clients),
            "refused_requests": self._refused,
            "absorbed_requests": self._absorbed,
            "retransmissions": self._retransmitted,
            "timeouts": self._timed_out,
            "stray_responses": self._strays,
            "ignored_responses": self._ignored,
        }

    def _receive_response(self, response: Response, via: Via, flow: Flow, now: float) -> None:
        method = response.cseq.method
        client = self._live.clients.get(matching.client_key(via.branch or "", method))
        if client is not None:
            self._apply(client, _class_of(response), now, response, flow)
        elif method == "INVITE" and 200 <= response.status < 300:
            self._effects.append(StrayResponse(response, flow))
        else:
            self._strays += 1

    def _receive_ack(self, ack: Request, via: Via, flow: Flow, now: float) -> None:
        invite = self._find(ack, via, "INVITE")
        if invite is None:
            self._effects.append(AckReceived(ack, flow))
        else:
            self._apply(invite, Event.ACK, now, ack, flow)

    def _receive_cancel(self, cancel: Request, via: Via, flow: Flow) -> None:
        invite = self._find(cancel, via, "INVITE")
        matching.note_source(cancel, via, flow)
        if invite is None:
            self._answer_without_state(cancel, via, 481, flow)
            return
        # §9.2: the tag of the responses to the INVITE, if it has one.
        tag = (invite.response.to.tag if invite.response is not None else None) or _stable_tag(cancel, via)
        self._send(cancel.respond(200, to_tag=tag), matching.reply_flow(via, flow))
        if not invite.cancelled and invite.state in (State.TRYING, State.PROCEEDING):
            invite.cancelled = True
            self._effects.append(CancelReceived(invite.id, cancel))

    def _receive_request(self, request: Request, via: Via, flow: Flow, now: float) -> None:
        known = self._find(request, via, request.method)
        if known is not None:
            self._absorbed += 1
            self._apply(known, Event.REQUEST, now)
            return
        key = matching.server_key(request, via, request.method)
        matching.note_source(request, via, flow)
        limit = self._max + (self._max // 8 if request.to.tag else 0)
        # The key of an RFC 2543 client may be taken by a request with another To tag: not worth a second table.
        if len(self._live.servers) >= limit or key in self._live.servers:
            self._refused += 1
            self._answer_without_state(request, via, 503, flow)
            return
        machine = INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER
        reply, fallback = matching.reply_flow(via, flow), matching.fallback_flow(via, flow)
        server = Transaction(self._next_id(), machine, key, request, reply, now, fallback)
        server.start(now, self._timers)
        self._live.add(server)
        self._effects.append(RequestReceived(server.id, request, flow))

    def _find(self, request: Request, via: Via, method: str) -> Transaction | None:
        known = self._live.servers.get(matching.server_key(request, via, method))
        if known is None or matching.has_cookie(via):
            return known
        return known if matching.same_2543_dialog(request, known.request, known.response) else None

    def _answer_without_state(self, request: Request, via: Via, status: int, flow: Flow) -> None:
        """§8.2.7: the same answer to the same request, whenever it comes."""
        self._send(request.respond(status, to_tag=_stable_tag(request, via)), matching.reply_flow(via, flow))

    def _start_client(self, request: Request, branch: str, flow: Flow, now: float) -> TransactionId:
        machine = INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT
        key = matching.client_key(branch, request.method)
        client = Transaction(self._next_id(), machine, key, request, flow, now)
        client.start(now, self._timers)
        self._live.add(client)
        self._send(request, flow)
        return client.id

    def _apply(
        self,
        transaction: Transaction,
        event: Event | Timer,
        now: float,
        message: Message | None = None,
        flow: Flow | None = None,
    ) -> None:
        for action in transaction.apply(event, now, self._timers):
            self._perform(action, transaction, now, message, flow)
        if transaction.state is State.TERMINATED:
            self._live.remove(transaction)
        else:
            self._live.wake(transaction)

    def _perform(
        self, action: Action, transaction: Transaction, now: float, message: Message | None, flow: Flow | None
    ) -> None:
        """``message`` came on ``flow``, if it was a message that caused ``action``."""
        match action:
            case Action.SEND_REQUEST:
                self._send(transaction.request, transaction.flow)
            case Action.SEND_RESPONSE:
                assert transaction.response is not None, "no table sends a response before there is one"
                self._send(transaction.response, transaction.flow)
            case Action.SEND_TRYING:
                transaction.response = transaction.request.respond(100)
                self._send(transaction.response, transaction.flow)
            case Action.SEND_ACK:
                assert isinstance(message, Response), "only a response is acknowledged"
                self._send(ack_for_failure(transaction.request, message), transaction.flow)
            case Action.SEND_CANCEL:
                cancel = cancel_for(transaction.request, transaction.cancel_headers)
                self._start_client(cancel, transaction.request.via.branch or "", transaction.flow, now)
            case Action.REPORT_RESPONSE:
                assert isinstance(message, Response), "only a response leads here"
                self._effects.append(ResponseReceived(transaction.id, message))
            case Action.REPORT_STRAY:
                assert isinstance(message, Response), "only a response leads here"
                assert flow is not None, "a message comes on a flow"
                self._effects.append(StrayResponse(message, flow))
            case Action.REPORT_ACK:
                assert isinstance(message, Request), "only an ACK leads here"
                assert flow is not None, "a message comes on a flow"
                self._effects.append(AckReceived(message, flow))
            case Action.REPORT_TIMEOUT:
                self._timed_out += 1
                self._effects.append(TransactionTimedOut(transaction.id))
            case Action.REPORT_TRANSPORT:
                self._effects.append(TransportFailed(transaction.id))
            case Action.REPORT_NO_ACK:
                self._timed_out += 1
                self._effects.append(AckMissing(transaction.id))
            case _:
                raise AssertionError(f"expected an action of the layer, got {action}")

    def _send(self, message: Message, flow: Flow) -> None:
        self._effects.append(SendMessage(message, flow))

    def _next_id(self) -> TransactionId:
        self._last_id += 1
        return TransactionId(self._last_id)


def _class_of(response: Response) -> Event:
    if response.status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if response.status < 300 else Event.FAILURE


def _stable_tag(request: Request, via: Via) -> str:
    """A To tag without state: equal for every copy of the same request."""
    seed = f"{via.branch}\0{request.call_id}\0{request.headers.get('From')}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(seed, digest_size=8).hexdigest()
