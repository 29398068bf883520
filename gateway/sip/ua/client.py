"""Sending a request until somebody answers it: resolution, failover, digest, and only then a response.

One ``ClientRequest`` may need several transactions: the next target after a timeout, a broken
transport or a 503 (RFC 3263 §4.3), and the same target again after a challenge.
"""

from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

from gateway.sip.flow import Flow, Target, Transport
from gateway.sip.message import Request, Response
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.ua.authenticator import Authenticator, Realm
from gateway.sip.ua.core import Core, Fields
from gateway.sip.ua.deadlines import Timer
from gateway.sip.ua.effects import BadInput, Resolve
from gateway.sip.ua.next_hop import asked_transport, literal_target
from gateway.sip.uri import SipUri, Uri

MAX_DATAGRAM_BYTES = 1_300  # §18.1.1
ROOM_FOR_VIA = 100
PRIVATE = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
WITH_CONTACT = frozenset({"INVITE", "UPDATE", "REFER", "NOTIFY"})
OnResponse = Callable[["ClientRequest", Response, float], None]


class ClientRequest:
    """One request as its sender sees it. ``sent`` is the last form that went out, ``flow`` where to.

    ``local`` is True when the response given to the owner is of our own making: 408 for silence,
    503 for no way (§8.1.3.1), 487 for one given up before it went out.
    """

    __slots__ = (
        "auth",
        "cancelled",
        "done",
        "flow",
        "flows",
        "local",
        "next_cseq",
        "next_hop",
        "on_response",
        "preferred",
        "request",
        "resolving",
        "sent",
        "transaction",
        "tries",
    )

    def __init__(
        self,
        request: Request,
        next_hop: Uri,
        on_response: OnResponse | None,
        next_cseq: Callable[[], int] | None = None,
        auth: Authenticator | None = None,
        preferred: Flow | None = None,
    ) -> None:
        self.request = request
        self.next_hop = next_hop
        self.on_response = on_response
        self.next_cseq = next_cseq
        self.auth = auth
        self.preferred = preferred
        self.flows: deque[Flow] = deque()
        self.flow: Flow | None = None
        self.sent = request
        self.transaction: TransactionId | None = None
        self.resolving: Timer | None = None
        self.tries: dict[Realm, int] = {}
        self.cancelled = False
        self.done = False
        self.local = False


class Clients:
    """All requests of ours that are under way."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_transaction: dict[TransactionId, ClientRequest] = {}
        self._by_query: dict[int, ClientRequest] = {}

    def __len__(self) -> int:
        return len(self._by_transaction) + len(self._by_query)

    def send(self, client: ClientRequest, now: float) -> ClientRequest:
        """Start ``client``. Its owner hears nothing before this returns."""
        try:
            target = literal_target(client.next_hop)
        except ValueError:
            self._fail_soon(client, now)
            return client
        if target is not None:
            self._set_flows(client, [target])
            self._send_next(client, now)
            return client
        query = self._core.next_number()
        self._by_query[query] = client
        client.resolving = self._core.deadlines.at(
            now + self._core.config.limits.resolve_s, lambda at: self.resolved(query, (), at)
        )
        self._core.emit(Resolve(query, client.next_hop))
        return client

    def resend_ack(self, client: ClientRequest, now: float) -> None:
        """Repeat an ACK for a repeated 2xx (§13.2.2.4)."""
        if client.flow is not None:
            self._core.layer.send_ack(client.sent, client.flow, now)

    def cancel(self, client: ClientRequest, now: float, headers: Fields = ()) -> None:
        """Give up an INVITE: by CANCEL when it went out, else by never sending it."""
        if client.done or client.cancelled:
            return
        client.cancelled = True
        if client.transaction is not None:
            self._core.layer.send_cancel(client.transaction, now, tuple(headers))
            return
        self._by_query = {query: other for query, other in self._by_query.items() if other is not client}
        if client.resolving is not None:
            client.resolving.cancel()
        self._core.deadlines.at(now, lambda at: self._finish_locally(client, 487, at))

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> None:
        """Take the answer to ``Resolve``; a late or unknown one is ignored."""
        client = self._by_query.pop(query, None)
        if client is None:
            return
        if client.resolving is not None:
            client.resolving.cancel()
        self._set_flows(client, targets[: self._core.config.limits.max_targets])
        self._send_next(client, now)

    def receive(self, transaction: TransactionId, response: Response, now: float) -> bool:
        """Take a response; False when nobody waits for it."""
        client = self._by_transaction.get(transaction)
        if client is None:
            return False
        client.local = False
        status = response.status
        if status < 200:
            self._tell(client, response, now)
            return True
        if status < 300 and client.request.method == "INVITE":
            # Every fork may still answer while the transaction lives (RFC 6026 timer M).
            if not client.done:
                client.done = True
                self._core.deadlines.at(now + 64 * self._core.config.timers.t1, lambda at: self._forget(transaction))
            self._tell(client, response, now)
            return True
        self._forget(transaction)
        if client.done:  # a 2xx came before: this one is of no account
            return True
        if not client.cancelled:
            if status in (401, 407) and self._answer_challenge(client, response, now):
                return True
            if status == 503 and client.flows:
                self._send_next(client, now)
                return True
        client.done = True
        self._tell(client, response, now)
        return True

    def fail(self, transaction: TransactionId, status: int, now: float) -> None:
        """No response: 408 when it timed out, 503 when the transport failed. The next target is tried."""
        client = self._by_transaction.pop(transaction, None)
        if client is None or client.done:
            return
        if client.flows and not client.cancelled:
            self._send_next(client, now)
        else:
            self._finish_locally(client, status, now)

    def _forget(self, transaction: TransactionId) -> None:
        self._by_transaction.pop(transaction, None)

    def _tell(self, client: ClientRequest, response: Response, now: float) -> None:
        if client.on_response is not None:
            client.on_response(client, response, now)

    def _finish_locally(self, client: ClientRequest, status: int, now: float) -> None:
        if client.done:
            return
        client.done = True
        client.local = True
        self._tell(client, client.sent.respond(status), now)

    def _fail_soon(self, client: ClientRequest, now: float) -> None:
        self._core.deadlines.at(now, lambda at: self._finish_locally(client, 503, at))

    def _answer_challenge(self, client: ClientRequest, response: Response, now: float) -> bool:
        if client.auth is None or client.next_cseq is None or client.flow is None:
            return False
        if not client.auth.learn(response, client.tries):
            return False
        client.request.headers.set("CSeq", f"{client.next_cseq()} {client.request.method}")
        client.flows.appendleft(client.flow)
        self._send_next(client, now)
        return True

    def _set_flows(self, client: ClientRequest, targets: Sequence[Target]) -> None:
        config, known = self._core.config, client.preferred
        flows: list[Flow] = []
        for target in targets:
            if known is not None and _is_known(known, target, routed="Route" in client.request.headers):
                flows.insert(0, known)  # it keeps the local address, and the connection
            flow = config.flow_to(target)
            if flow not in flows and not (known in flows and flow.remote == known.remote):
                flows.append(flow)
        if known is not None and known not in flows:
            flows.append(known)  # a Contact nobody can reach, and a peer that talks all the same
        if flows and flows[0].transport is Transport.UDP and self._wants_tcp(client, flows[0]):
            flows.insert(0, config.flow_to(Target(Transport.TCP, flows[0].remote)))
        client.flows = deque(flows)

    def _wants_tcp(self, client: ClientRequest, flow: Flow) -> bool:
        """§18.1.1: what is too long for a datagram goes over TCP, unless the URI or its owner insists on UDP."""
        if not self._core.config.large_requests_over_tcp:
            return False
        if isinstance(client.next_hop, SipUri) and asked_transport(client.next_hop) is not None:
            return False
        return len(self._dress(client, flow).to_bytes()) > MAX_DATAGRAM_BYTES - ROOM_FOR_VIA

    def _dress(self, client: ClientRequest, flow: Flow) -> Request:
        """The request as it goes out on ``flow``. The transaction layer adds the Via to this copy."""
        template = client.request
        request = Request(template.method, template.uri, template.headers.copy(), template.body)
        if template.method in WITH_CONTACT:
            request.headers.set("Contact", f"<{self._core.config.contact(flow)}>")
        if template.method in ("INVITE", "UPDATE"):
            request.headers.set("Allow", self._core.config.allow)
            request.headers.set("Supported", self._core.config.supported)
        request.headers.set("User-Agent", self._core.config.user_agent)
        return request

    def _send_next(self, client: ClientRequest, now: float) -> None:
        if not client.flows:
            self._fail_soon(client, now)
            return
        flow = client.flows.popleft()
        request = self._dress(client, flow)
        client.flow = flow
        client.sent = request
        if request.method == "ACK":
            client.done = True
            self._core.layer.send_ack(request, flow, now)
            return
        if client.auth is not None:
            client.auth.apply(request)
        try:
            client.transaction = self._core.layer.send_request(request, flow, now)
        except OverflowError:
            client.transaction = None
            self._core.emit(BadInput("too_many_transactions"))
            self._fail_soon(client, now)
            return
        self._by_transaction[client.transaction] = client


def _is_known(known: Flow, target: Target, routed: bool) -> bool:
    """True when ``known`` leads to ``target``: the same address, the connection of the same host, or the public
    side of a peer whose Contact is a private address (RFC 3581 is for responses only).

    Proxies know their addresses: what is ``routed`` goes where the Route says.
    """
    if known.transport is not target.transport:
        return False
    if known.remote == target.address or (known.connection and known.remote[0] == target.address[0]):
        return True
    return not routed and _behind_nat(target.address[0]) and not _behind_nat(known.remote[0])


def _behind_nat(host: str) -> bool:
    """True for addresses that mean something else elsewhere (RFC 1918, RFC 6598, RFC 4193)."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE)
