"""Provisional responses that are acknowledged (RFC 3262), both roles."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gateway.sip.message import Request, Response
from gateway.sip.ua.core import Core, Fields, Incoming
from gateway.sip.ua.deadlines import Timer

MAX_WAITING = 8  # ring() without a PRACK in between


class Arrival(Enum):
    """What a reliable provisional response is to its receiver (§4)."""

    NEW = "new"
    REPEATED = "repeated"
    TOO_EARLY = "too early"  # one before it is missing; it will be repeated


def reliable(response: Response) -> bool:
    """True when a provisional response wants a PRACK."""
    tags = {tag.lower() for tag in response.tokens("Require")}
    return 100 < response.status < 200 and "100rel" in tags and _number(response.headers.get("RSeq")) is not None


def arrival(newest: int | None, response: Response) -> Arrival:
    """Judge a reliable response by the ``newest`` RSeq taken in its early dialog, None for the first one."""
    rseq = rseq_of(response)
    if newest is None or rseq == newest + 1:
        return Arrival.NEW
    return Arrival.REPEATED if rseq <= newest else Arrival.TOO_EARLY


def rseq_of(response: Response) -> int:
    return _number(response.headers.get("RSeq")) or 0


def rack(response: Response) -> str:
    """The RAck of the PRACK for ``response`` (§7.2)."""
    return f"{_number(response.headers.get('RSeq'))} {response.cseq.number} {response.cseq.method}"


@dataclass(slots=True)
class _Outstanding:
    rseq: int
    response: Response
    with_sdp: bool
    repeat: Timer
    give_up: Timer


class ReliableSender:
    """The callee's side for one INVITE: one response at a time is out, the next waits for its PRACK (§3).

    ``on_missing(now)`` is told when no PRACK comes for 64·T1.
    """

    def __init__(self, core: Core, incoming: Incoming, to_tag: str, on_missing: Callable[[float], None]) -> None:
        self._core = core
        self._incoming = incoming
        self._to_tag = to_tag
        self._on_missing = on_missing
        self._rseq = int(core.chance() * 2**16) + 1  # §3: between 1 and 2**31 - 1
        self._out: _Outstanding | None = None
        self._waiting: deque[tuple[int, bytes | None, Fields]] = deque()
        self._when_clear: Callable[[float], None] | None = None
        self._closed = False

    @property
    def sdp_unacknowledged(self) -> bool:
        """§3: no 2xx may go out meanwhile."""
        return (self._out is not None and self._out.with_sdp) or any(sdp is not None for _, sdp, _ in self._waiting)

    def send(self, status: int, sdp: bytes | None, headers: Fields, now: float) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((status, sdp, headers))
        self._send_next(now)

    def when_acknowledged(self, action: Callable[[float], None]) -> None:
        """Run ``action`` once all is acknowledged that holds back a 2xx."""
        self._when_clear = action

    def acknowledge(self, prack: Request, now: float) -> bool:
        """Take a PRACK; False when it matches no response that is out (481)."""
        if self._out is None:
            return False
        expected = (str(self._out.rseq), str(self._incoming.request.cseq.number), "INVITE")
        if tuple((prack.headers.get("RAck") or "").split()) != expected:
            return False
        self._out.repeat.cancel()
        self._out.give_up.cancel()
        self._out = None
        return True

    def resume(self, now: float) -> None:
        """After the PRACK was answered: send what waits."""
        self._send_next(now)
        if self._when_clear is not None and not self.sdp_unacknowledged:
            action, self._when_clear = self._when_clear, None
            action(now)

    def close(self) -> None:
        """The final response goes out: nothing provisional follows it."""
        self._closed = True
        self._waiting.clear()
        self._when_clear = None
        if self._out is not None:
            self._out.repeat.cancel()
            self._out.give_up.cancel()
            # A PRACK on its way is still answered.

    def _send_next(self, now: float) -> None:
        if self._out is not None or not self._waiting or self._closed:
            return
        status, sdp, headers = self._waiting.popleft()
        fields = [*headers, ("Require", "100rel"), ("RSeq", str(self._rseq))]
        response = self._core.build_response(self._incoming, status, to_tag=self._to_tag, headers=fields, sdp=sdp)
        timers = self._core.config.timers
        self._out = _Outstanding(
            self._rseq,
            response,
            sdp is not None,
            repeat=self._core.deadlines.at(now + timers.t1, self._repeat_after(timers.t1)),
            give_up=self._core.deadlines.at(now + 64 * timers.t1, self._give_up),
        )
        self._rseq += 1
        self._core.layer.respond(self._incoming.transaction, response, now)

    def _repeat_after(self, interval_s: float) -> Callable[[float], None]:
        def repeat(now: float) -> None:
            if self._out is None:
                return
            self._core.layer.respond(self._incoming.transaction, self._out.response, now)
            self._out.repeat = self._core.deadlines.at(now + 2 * interval_s, self._repeat_after(2 * interval_s))

        return repeat

    def _give_up(self, now: float) -> None:
        self.close()
        self._on_missing(now)


def _number(value: str | None) -> int | None:
    text = (value or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text)
