"""Two or more user agents on one virtual wire: seeded loss, delay and reordering, a clock that is a number."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.sip.errors import SipParseError
from gateway.sip.flow import Address, Flow, Target, Transport
from gateway.sip.message import Message, Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.parser import parse_message
from gateway.sip.ua.agent import UserAgent
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.effects import (
    CallAnswered,
    CallConfirmed,
    CallHandle,
    Effect,
    IncomingCall,
    OfferReceived,
    Resolve,
    SendBytes,
)
from gateway.sip.ua.gate import Admitted, Verdict
from gateway.sip.uri import SipUri

ALICE: Address = ("192.0.2.1", 5060)
BOB: Address = ("192.0.2.2", 5060)
CAROL: Address = ("192.0.2.3", 5060)
OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=offer\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=answer\r\n"
REOFFER = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=again\r\n"
REANSWER = b"v=0\r\no=- 2 2 IN IP4 192.0.2.2\r\ns=answer again\r\n"

E = TypeVar("E")


class OpenGate:
    """Admits everybody as one trunk."""

    def check(self, request: Request, flow: Flow, now: float) -> Verdict:
        return Admitted("trunk")


@dataclass
class Sent:
    """A message on the wire, as it left."""

    at: float
    sender: Address
    receiver: Address
    message: Message
    transport: Transport

    @property
    def name(self) -> str:
        """``INVITE``, or ``200 INVITE`` for a response."""
        if isinstance(self.message, Request):
            return self.message.method
        return f"{self.message.status} {self.message.cseq.method}"


def uri_of(address: Address, user: str = "user", params: str = "") -> SipUri:
    from gateway.sip.uri import parse_uri

    uri = parse_uri(f"sip:{user}@{address[0]}:{address[1]}{params}")
    assert isinstance(uri, SipUri)
    return uri


@dataclass
class Peer:
    """A user agent, what it said, and what its application does about it."""

    agent: UserAgent
    address: Address
    effects: list[Effect] = field(default_factory=list)
    react: Callable[[Effect, float], None] = lambda effect, now: None

    def of(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def last(self, kind: type[E]) -> E:
        found = self.of(kind)
        assert found, f"expected a {kind.__name__}, got {self.effects}"
        return found[-1]


class Network:
    """Carries bytes between the peers; ``now`` moves only in ``run``.

    ``loss`` and ``jitter_s`` concern UDP only; streams keep order and lose nothing. Addresses
    nobody owns swallow datagrams, and fail for streams when they are in ``closed``.
    """

    def __init__(self, seed: int = 1, loss: float = 0.0, delay_s: float = 0.01, jitter_s: float = 0.0) -> None:
        self.now = 100.0
        self.loss = loss
        self.delay_s = delay_s
        self.jitter_s = jitter_s
        self.log: list[Sent] = []
        self.unreadable: list[bytes] = []
        self.peers: dict[Address, Peer] = {}
        self.closed: set[Address] = set()
        self.names: dict[str, Sequence[Target]] = {}
        self.drop: Callable[[Sent], bool] = lambda sent: False
        self._random = random.Random(seed)
        self._count = itertools.count()
        self._on_wire: list[tuple[float, int, Flow, bytes]] = []

    def add(self, address: Address, gate: object | None = None, **config: object) -> Peer:
        """Put a user agent at ``address``; ``config`` overrides fields of its ``UserAgentConfig``."""

        def contact(flow: Flow) -> SipUri:
            params = "" if flow.transport is Transport.UDP else f";transport={flow.transport.value.lower()}"
            return uri_of(address, "contact", params)

        def flow_to(target: Target) -> Flow:
            return Flow(target.transport, address, target.address)

        chance = random.Random(f"{address}{self._random.random()}")
        settings = UserAgentConfig(contact=contact, flow_to=flow_to, **config)  # type: ignore[arg-type]
        agent = UserAgent(settings, gate or OpenGate(), lambda: f"{chance.getrandbits(64):x}", chance.random)  # type: ignore[arg-type]
        peer = Peer(agent, address)
        self.peers[address] = peer
        return peer

    def inject(self, data: bytes | str, to: Address, sender: Address, transport: Transport = Transport.UDP) -> None:
        """Bytes of a foreign peer arrive at ``to`` now."""
        raw = data.replace("\n", "\r\n").encode() if isinstance(data, str) else data
        peer = self.peers[to]
        peer.agent.receive(raw, Flow(transport, to, sender, 0 if transport is Transport.UDP else 7), self.now)
        self._perform(peer)

    def run(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._settle(self.now + seconds)

    def settle(self) -> None:
        """Perform what commands brought about, without letting time pass."""
        for peer in list(self.peers.values()):
            self._perform(peer)

    def names_on_wire(self, sender: Address | None = None) -> list[str]:
        return [sent.name for sent in self.log if sender is None or sent.sender == sender]

    def sent(self, name: str, sender: Address | None = None) -> list[Sent]:
        return [sent for sent in self.log if sent.name == name and (sender is None or sent.sender == sender)]

    def request(self, name: str, sender: Address | None = None) -> Request:
        message = self.sent(name, sender)[-1].message
        assert isinstance(message, Request)
        return message

    def response(self, name: str, sender: Address | None = None) -> Response:
        message = self.sent(name, sender)[-1].message
        assert isinstance(message, Response)
        return message

    def _settle(self, until: float) -> None:
        self.settle()
        while True:
            deadlines = [peer.agent.next_deadline() for peer in self.peers.values()]
            times = [at for at in deadlines if at is not None] + [at for at, *_ in self._on_wire[:1]]
            when = min(times, default=None)
            if when is None or when > until:
                break
            self.now = max(self.now, when)
            if self._on_wire and self._on_wire[0][0] <= self.now:
                _, _, flow, data = heapq.heappop(self._on_wire)
                self._deliver(flow, data)
            for peer in list(self.peers.values()):
                deadline = peer.agent.next_deadline()
                if deadline is not None and deadline <= self.now:
                    peer.agent.handle_deadline(self.now)
                    self._perform(peer)
        self.now = until

    def _deliver(self, flow: Flow, data: bytes) -> None:
        peer = self.peers.get(flow.remote)
        if peer is not None:
            connection = 0 if flow.transport is Transport.UDP else flow.connection or 1
            peer.agent.receive(data, Flow(flow.transport, flow.remote, flow.local, connection), self.now)
            self._perform(peer)

    def _perform(self, peer: Peer) -> None:
        while (effect := peer.agent.poll()) is not None:
            match effect:
                case SendBytes(data, flow):
                    self._send(peer, data, flow)
                case Resolve(query, uri):
                    peer.effects.append(effect)
                    if isinstance(uri, SipUri) and uri.host in self.names:
                        peer.agent.resolved(query, self.names[uri.host], self.now)
                case _:
                    peer.effects.append(effect)
                    peer.react(effect, self.now)

    def _send(self, peer: Peer, data: bytes, flow: Flow) -> None:
        try:
            message = parse_message(data)
        except SipParseError:
            self.unreadable.append(data)
            return
        sent = Sent(self.now, peer.address, flow.remote, message, flow.transport)
        self.log.append(sent)
        delay_s = self.delay_s
        if flow.transport is Transport.UDP:
            lost = self._random.random() < self.loss
            delay_s += self._random.random() * self.jitter_s
            if lost or self.drop(sent):
                return
        elif flow.remote in self.closed:
            peer.agent.transport_failed(flow, self.now)
            return
        heapq.heappush(self._on_wire, (self.now + delay_s, next(self._count), flow, data))


def pair(network: Network, **config: object) -> tuple[Peer, Peer]:
    return network.add(ALICE, **config), network.add(BOB, **config)


def kinds(effects: Iterable[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def auto_answer(peer: Peer, sdp: bytes = ANSWER, ring: bool = True) -> None:
    """The application of ``peer`` rings, answers, and answers every further offer."""

    def react(effect: Effect, now: float) -> None:
        match effect:
            case IncomingCall(call):
                if ring:
                    peer.agent.ring(call, now)
                peer.agent.answer(call, sdp, now)
            case OfferReceived(call):
                peer.agent.answer_offer(call, REANSWER, now)

    peer.react = react


def connected(network: Network, **config: object) -> tuple[Peer, Peer, CallHandle, CallHandle]:
    """Alice has called Bob, and both know it."""
    alice, bob = pair(network, **config)
    auto_answer(bob)
    outgoing = alice.agent.place_call(uri_of(BOB), NameAddr(uri_of(ALICE)), OFFER, network.now)
    network.run(1.0)
    incoming = bob.last(IncomingCall).call
    assert alice.of(CallAnswered), alice.effects
    assert bob.of(CallConfirmed), bob.effects
    return alice, bob, outgoing, incoming
