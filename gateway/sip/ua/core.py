"""What all parts of a user agent share: the tables, the timers, the way to answer."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.transaction.layer import TransactionLayer
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.deadlines import Deadlines
from gateway.sip.ua.effects import Effect

Fields = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that awaits its response."""

    transaction: TransactionId
    request: Request
    flow: Flow


class Core:
    """``new_token`` gives unguessable tags and Call-IDs, ``chance`` numbers in [0, 1)."""

    def __init__(
        self,
        config: UserAgentConfig,
        layer: TransactionLayer,
        new_token: Callable[[], str],
        chance: Callable[[], float],
    ) -> None:
        self.config = config
        self.layer = layer
        self.new_token = new_token
        self.chance = chance
        self.deadlines = Deadlines()
        self.effects: deque[Effect] = deque()
        self._number = 0

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def next_number(self) -> int:
        """A number for a handle, a query or an id; never the same twice."""
        self._number += 1
        return self._number

    def build_response(
        self,
        incoming: Incoming,
        status: int,
        reason: str = "",
        *,
        to_tag: str = "",
        headers: Fields = (),
        sdp: bytes | None = None,
    ) -> Response:
        """Any response of ours: a To tag unless it is 100 (§8.2.6.2), Server, and Contact and routes where a dialog
        is made or its target refreshed (§12.1.1)."""
        request = incoming.request
        if status > 100 and not request.to.tag and not to_tag:
            to_tag = self.new_token()
        response = request.respond(status, reason, to_tag if status > 100 else "")
        fields = response.headers
        if request.method in ("INVITE", "UPDATE", "REFER", "NOTIFY") and 100 < status < 300:
            fields.add("Contact", f"<{self.config.contact(incoming.flow)}>")
            if request.method == "INVITE":
                for value in request.headers.get_all("Record-Route"):
                    fields.add("Record-Route", value)
        if status > 100:
            fields.add("Server", self.config.user_agent)
        if request.method in ("INVITE", "UPDATE") and 100 < status < 300:
            fields.add("Allow", self.config.allow)
            fields.add("Supported", self.config.supported)
        for name, value in headers:
            fields.add(name, value)
        if sdp is not None:
            fields.set("Content-Type", "application/sdp")
            response.body = sdp
        return response

    def respond(
        self,
        incoming: Incoming,
        status: int,
        now: float,
        reason: str = "",
        *,
        to_tag: str = "",
        headers: Fields = (),
        sdp: bytes | None = None,
    ) -> Response:
        response = self.build_response(incoming, status, reason, to_tag=to_tag, headers=headers, sdp=sdp)
        self.layer.respond(incoming.transaction, response, now)
        return response

    def retry_after(self) -> tuple[str, str]:
        """§14.2, RFC 3311 §5.2: try again in 0 to 10 s, chosen at random."""
        return ("Retry-After", str(int(self.chance() * 11)))
