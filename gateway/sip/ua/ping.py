"""Asking a peer whether it is there: OPTIONS outside a dialog (RFC 3261 §11)."""

from gateway.sip.dialog import MAX_FORWARDS
from gateway.sip.headers import Headers
from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.bodies import SDP
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.core import Core
from gateway.sip.ua.effects import PingAnswered
from gateway.sip.uri import SipUri, Uri


class Pings:
    def __init__(self, core: Core, clients: Clients) -> None:
        self._core = core
        self._clients = clients

    def ping(self, target: Uri, now: float) -> int:
        """Ask once; any response counts as an answer, also one that refuses."""
        id = self._core.next_number()
        asked = target.without_headers() if isinstance(target, SipUri) else target
        # §8.1.1.3: who asks does not matter here; the URI asked for is one that is surely legal.
        local = NameAddr(asked).with_tag(self._core.new_token())
        headers = Headers()
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", str(local))
        headers.add("To", str(NameAddr(asked)))
        headers.add("Call-ID", self._core.new_token())
        headers.add("CSeq", "1 OPTIONS")
        headers.add("Accept", SDP)

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            if response.status >= 200:
                self._core.emit(PingAnswered(id, None if client.local else response.status))

        self._clients.send(ClientRequest(Request("OPTIONS", asked, headers), asked, answered), now)
        return id
