"""Chance: whatever is lost, doubled, delayed or broken, nothing raises and every transaction ends."""

import heapq
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sip.flow import Flow, Transport
from gateway.sip.message import Message, Request
from gateway.sip.parser import parse_message
from gateway.sip.transaction.effects import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    TransactionId,
    TransactionTimedOut,
    TransportFailed,
)
from gateway.sip.transaction.layer import TransactionLayer
from tests.gateway.sip.transactions import TCP, UDP, Bench, answer, our_request, request

STATUSES = st.sampled_from([100, 180, 183, 200, 202, 302, 401, 408, 486, 503, 603])
NO_ANSWER_S = 40.0


@dataclass
class Network:
    """Two layers and a wire between them that does what ``fates`` say: one for each message, then all arrive."""

    transport: Transport
    fates: list[tuple[str, float]]
    answers: list[tuple[float, int]]
    broken_at: float | None
    now: float = 0.0
    clock: int = 0
    agenda: list[tuple[float, int, str, object]] = field(default_factory=list)
    told: list[object] = field(default_factory=list)
    owed: dict[TransactionId, Request] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ends = {"client": self._layer("c"), "server": self._layer("s")}
        self.flows = {
            "client": Flow(self.transport, ("192.0.2.1", 5060), ("198.51.100.7", 5060), 0),
            "server": Flow(self.transport, ("198.51.100.7", 5060), ("192.0.2.1", 5060), 0),
        }

    def _layer(self, name: str) -> TransactionLayer:
        numbers = iter(range(1_000_000))
        return TransactionLayer(lambda: f"{name}{next(numbers)}", lambda flow: flow.local)

    def later(self, after: float, what: str, subject: object) -> None:
        self.clock += 1
        heapq.heappush(self.agenda, (self.now + after, self.clock, what, subject))

    def carry(self, end: str, message: Message) -> None:
        fate, delay = self.fates.pop() if self.fates else ("arrives", 0.01)
        other = "server" if end == "client" else "client"
        data = message.to_bytes()
        if fate != "lost" or self.transport.reliable:
            self.later(delay, other, data)
        if fate == "doubled" and not self.transport.reliable:
            self.later(2 * delay, other, data)

    def drain(self, end: str) -> None:
        layer = self.ends[end]
        while (effect := layer.poll()) is not None:
            match effect:
                case SendMessage(message, _):
                    self.carry(end, message)
                case RequestReceived(transaction, received, _):
                    assert transaction not in self.owed
                    self.owed[transaction] = received
                    for after, status in self.answers:
                        self.later(after, "respond", (transaction, received, status))
                    self.later(NO_ANSWER_S, "respond", (transaction, received, 486))
                case CancelReceived(invite, _):
                    self.later(0.0, "respond", (invite, self.owed[invite], 487))
                case ResponseReceived(_, response) if response.cseq.method == "INVITE" and 200 <= response.status < 300:
                    self.told.append(effect)
                    ack = our_request("ACK")
                    layer.send_ack(ack, self.flows[end], self.now)
                case StrayResponse() | AckReceived():
                    pass
                case _:
                    if end == "client":  # the server's transactions have numbers of their own
                        self.told.append(effect)

    def run(self) -> None:
        if self.broken_at is not None:
            self.later(self.broken_at, "break", None)
        for end in self.ends:
            self.drain(end)
        for _ in range(10_000):
            wakes = [layer.next_deadline() for layer in self.ends.values()]
            times = [at for at in (*wakes, self.agenda[0][0] if self.agenda else None) if at is not None]
            if not times:
                return
            assert min(times) >= self.now, "a deadline in the past would be handled for ever"
            self.now = min(times)
            for layer in self.ends.values():
                layer.handle_deadline(self.now)
            while self.agenda and self.agenda[0][0] <= self.now:
                self.happen(*heapq.heappop(self.agenda)[2:])
            for end in self.ends:
                self.drain(end)
        raise AssertionError("expected an end")

    def happen(self, what: str, subject: object) -> None:
        match what, subject:
            case (("client" | "server"), bytes(data)):
                self.ends[what].receive(parse_message(data), self.flows[what], self.now)
            case "respond", (int(transaction), Request() as received, int(status)):
                tag = "theirs" if status > 100 else ""
                self.ends["server"].respond(TransactionId(transaction), received.respond(status, to_tag=tag), self.now)
            case "cancel", int(transaction):
                self.ends["client"].send_cancel(TransactionId(transaction), self.now)
            case _:
                for end, layer in self.ends.items():
                    layer.transport_failed(self.flows[end], self.now)


DELAYS = st.floats(0.001, 6.0)
FATES = st.lists(st.tuples(st.sampled_from(["arrives", "lost", "doubled"]), DELAYS), max_size=40)
ANSWERS = st.lists(st.tuples(st.floats(0.0, 35.0), STATUSES), max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    transport=st.sampled_from(Transport),
    method=st.sampled_from(["INVITE", "OPTIONS", "BYE"]),
    fates=FATES,
    answers=ANSWERS,
    cancel_at=st.none() | st.floats(0.0, 20.0),
    broken_at=st.none() | st.floats(0.0, 20.0),
)
def test_a_request_ends_at_both_ends_and_its_sender_learns_how_once(
    transport: Transport,
    method: str,
    fates: list[tuple[str, float]],
    answers: list[tuple[float, int]],
    cancel_at: float | None,
    broken_at: float | None,
):
    network = Network(transport, fates, answers, broken_at)
    client = network.ends["client"]
    transaction = client.send_request(our_request(method), network.flows["client"], 0.0)
    # A callee that rings for ever, or whose answer is lost, is given up by whoever called it.
    network.later(60.0, "cancel", transaction)
    if cancel_at is not None:
        network.later(cancel_at, "cancel", transaction)
    network.run()
    for layer in network.ends.values():
        stats = layer.stats()
        assert stats["server_transactions"] + stats["client_transactions"] == 0
        assert layer.next_deadline() is None
    finals = []
    for effect in network.told:
        match effect:
            case ResponseReceived(number, response) if number == transaction and response.status >= 200:
                finals.append(response.status // 100)
            case TransactionTimedOut(number) | TransportFailed(number) if number == transaction:
                finals.append(0)
    assert len(finals) == 1 or (method == "INVITE" and set(finals) == {2}), finals


WORDS = st.tuples(
    st.sampled_from(["request", "response", "respond", "cancel", "drop", "break", "time"]),
    st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]),
    st.integers(1, 4),
    STATUSES,
    st.sampled_from([UDP, TCP, replace(TCP, connection=0)]),
    st.floats(0.0, 40.0),
)


@settings(max_examples=150, deadline=None)
@given(words=st.lists(WORDS, max_size=60))
def test_no_order_of_events_raises_or_leaves_anything_behind(words: list[tuple[str, str, int, int, Flow, float]]):
    bench = Bench()
    ours: list[tuple[TransactionId, Request]] = []
    theirs: list[RequestReceived] = []
    for what, method, number, status, flow, seconds in words:
        effects = []
        match what:
            case "request":
                branch = f"z9hG4bK{number}" if number < 4 else ""
                effects = bench.receive(request(method, branch=branch), flow)
            case "response" if ours:
                effects = bench.receive(answer(ours[number % len(ours)][1], status, str(number)), flow)
            case "response" if method not in ("ACK", "CANCEL"):
                ours.append(bench.send(our_request(method), flow))
            case "respond" if theirs:
                bench.respond(theirs[number % len(theirs)], status)
            case "cancel" if ours:
                bench.layer.send_cancel(ours[number % len(ours)][0], bench.now)
            case "drop" if theirs and number == 1:
                bench.layer.drop(theirs[0].transaction)
            case "break":
                bench.layer.transport_failed(flow, bench.now)
            case "time":
                effects = [effect for _, effect in bench.run(seconds)]
        theirs += [effect for effect in [*effects, *bench.drain()] if isinstance(effect, RequestReceived)]
    for received in theirs:
        bench.respond(received, 486)
    for transaction, _ in ours:
        bench.layer.send_cancel(transaction, bench.now)
    bench.run(130)
    assert bench.live == 0
    assert bench.layer.next_deadline() is None
    assert not bench.layer._live._by_peer
    assert not bench.layer._live._by_id
