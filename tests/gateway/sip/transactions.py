"""A transaction layer with a clock that stands, and the messages of a peer."""

from collections.abc import Iterator
from itertools import count

from gateway.sip.flow import Flow, Transport
from gateway.sip.message import Message, Request, Response
from gateway.sip.parser import parse_message
from gateway.sip.transaction.effects import (
    RequestReceived,
    ResponseReceived,
    SendMessage,
    TransactionEffect,
    TransactionId,
)
from gateway.sip.transaction.layer import MAX_TRANSACTIONS, TransactionLayer
from gateway.sip.transaction.timers import Timers

UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("198.51.100.7", 5070))
TCP = Flow(Transport.TCP, ("192.0.2.1", 5060), ("198.51.100.7", 40_001), connection=3)


class Bench:
    """One layer; effects are taken out as they come."""

    def __init__(self, timers: Timers | None = None, max_transactions: int = MAX_TRANSACTIONS) -> None:
        self._branches = count(1)
        self.layer = TransactionLayer(
            new_branch=lambda: f"ours{next(self._branches)}",
            sent_by=lambda flow: flow.local,
            timers=timers,
            max_transactions=max_transactions,
        )
        self.now = 100.0

    def drain(self) -> list[TransactionEffect]:
        return list(iter(self.layer.poll, None))

    def receive(self, message: Message, flow: Flow = UDP) -> list[TransactionEffect]:
        self.layer.receive(message, flow, self.now)
        return self.drain()

    def send(self, request: Request, flow: Flow = UDP) -> tuple[TransactionId, Request]:
        """Returns the transaction and the request as it went out."""
        transaction = self.layer.send_request(request, flow, self.now)
        [effect] = self.drain()
        assert isinstance(effect, SendMessage)
        assert isinstance(effect.message, Request)
        assert effect.flow == flow
        return transaction, effect.message

    def accept(self, request: Request, flow: Flow = UDP) -> RequestReceived:
        """Let a new request come in."""
        [effect] = self.receive(request, flow)
        assert isinstance(effect, RequestReceived)
        return effect

    def respond(
        self, received: RequestReceived, status: int, to_tag: str = "ours"
    ) -> tuple[Response, list[TransactionEffect]]:
        response = received.request.respond(status, to_tag=to_tag if status > 100 else "")
        self.layer.respond(received.transaction, response, self.now)
        return response, self.drain()

    def run(self, seconds: float) -> list[tuple[float, TransactionEffect]]:
        """Let time pass; effects with the time since the start of the run."""
        start, end = self.now, self.now + seconds
        found = []
        while (deadline := self.layer.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.layer.handle_deadline(deadline)
            found += [(round(deadline - start, 6), effect) for effect in self.drain()]
        self.now = end
        return found

    @property
    def live(self) -> float:
        stats = self.layer.stats()
        return stats["server_transactions"] + stats["client_transactions"]


def request(
    method: str = "INVITE",
    *,
    branch: str = "z9hG4bKpeer1",
    to_tag: str = "",
    from_tag: str = "peer",
    call_id: str = "c1@peer",
    cseq: int = 1,
    via: str = "198.51.100.7:5070",
    via_params: str = "",
    transport: str = "UDP",
    headers: str = "",
    uri: str = "sip:agent@192.0.2.1",
) -> Request:
    """A request as a peer sends it, read from its bytes."""
    tag = f";tag={to_tag}" if to_tag else ""
    branch_param = f";branch={branch}" if branch else ""
    text = (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {via}{branch_param}{via_params}\r\n"
        f"{headers}"
        "Max-Forwards: 70\r\n"
        f"From: <sip:caller@198.51.100.7>;tag={from_tag}\r\n"
        f"To: <sip:agent@192.0.2.1>{tag}\r\n"
        f"Call-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


def our_request(method: str = "INVITE", routes: str = "") -> Request:
    """A request as the transaction user hands it down: without a Via."""
    built = request(method, headers=routes, uri="sip:callee@198.51.100.7")
    built.headers.remove("Via")
    return built


def answer(sent: Request, status: int, to_tag: str = "theirs") -> Response:
    """The peer's response to what we sent, read from its bytes."""
    message = parse_message(sent.respond(status, to_tag=to_tag if status > 100 else "").to_bytes())
    assert isinstance(message, Response)
    return message


def sent(effects: list[TransactionEffect]) -> Iterator[Message]:
    return (effect.message for effect in effects if isinstance(effect, SendMessage))


def statuses(effects: list[TransactionEffect]) -> list[int]:
    """Of the responses that went out."""
    return [message.status for message in sent(effects) if isinstance(message, Response)]


def reported(effects: list[TransactionEffect]) -> list[int]:
    """Of the responses told to the transaction user."""
    return [effect.response.status for effect in effects if isinstance(effect, ResponseReceived)]
