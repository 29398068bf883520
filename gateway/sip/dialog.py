"""A dialog: what two user agents share between the first response and the last BYE (RFC 3261 §12)."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sip.headers import Headers
from gateway.sip.message import Message, Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.uri import SipUri, Uri

MAX_FORWARDS = 70  # RFC 3261 §8.1.1.6


@dataclass(frozen=True, slots=True)
class DialogId:
    """Call-ID and both tags, seen from this side. A peer of RFC 2543 may have no tag: ""."""

    call_id: str
    local_tag: str
    remote_tag: str

    @classmethod
    def of_request(cls, request: Request) -> "DialogId":
        """The dialog a received request belongs to: its To tag is ours."""
        return cls(request.call_id, request.to.tag or "", request.from_.tag or "")

    @classmethod
    def of_response(cls, response: Response) -> "DialogId":
        """The dialog a received response belongs to: its From tag is ours."""
        return cls(response.call_id, response.from_.tag or "", response.to.tag or "")


class Dialog:
    """Route set, remote target and both CSeq counters of one dialog.

    ``confirmed`` is False while it is early. ``local_started`` says whether this side sent the
    INVITE that created it, which decides who waits longer after a 491 (§14.1) and whether a
    Replaces may match it while it is early (RFC 3891 §3).
    """

    __slots__ = (
        "confirmed",
        "id",
        "local",
        "local_cseq",
        "local_started",
        "remote",
        "remote_cseq",
        "remote_target",
        "route_set",
    )

    def __init__(
        self,
        local: NameAddr,
        remote: NameAddr,
        call_id: str,
        remote_target: Uri,
        route_set: Sequence[NameAddr],
        local_cseq: int,
        remote_cseq: int | None,
        local_started: bool,
    ) -> None:
        self.id = DialogId(call_id, local.tag or "", remote.tag or "")
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.route_set = tuple(route_set)
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.local_started = local_started
        self.confirmed = False

    @classmethod
    def accept(cls, invite: Request, local_tag: str, local_cseq: int = 0) -> "Dialog":
        """The callee's side (§12.1.1). ``invite`` must have a Contact."""
        return cls(
            local=invite.to.with_tag(local_tag),
            remote=invite.from_,
            call_id=invite.call_id,
            remote_target=invite.contacts[0].uri,
            route_set=invite.record_routes,
            local_cseq=local_cseq,
            remote_cseq=invite.cseq.number,
            local_started=False,
        )

    @classmethod
    def establish(cls, invite: Request, response: Response) -> "Dialog":
        """The caller's side (§12.1.2). Without a Contact in ``response`` the URI first asked stays the target."""
        contacts = response.contacts
        return cls(
            local=invite.from_,
            remote=response.to,
            call_id=invite.call_id,
            remote_target=contacts[0].uri if contacts else invite.uri,
            route_set=tuple(reversed(response.record_routes)),
            local_cseq=invite.cseq.number,
            remote_cseq=None,
            local_started=True,
        )

    @property
    def next_hop(self) -> Uri:
        """Where requests go first (§8.1.2, §12.2.1.1)."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def confirm(self, response: Response) -> None:
        """Take the 2xx to our INVITE: it fixes the route set anew (§13.2.2.4)."""
        if not self.confirmed:
            self.route_set = tuple(reversed(response.record_routes))
            self.confirmed = True
        self.refresh_target(response)

    def refresh_target(self, message: Message) -> None:
        """Take the Contact of a target refresh request or of its 2xx (§12.2)."""
        contacts = message.contacts
        if contacts:
            self.remote_target = contacts[0].uri

    def receive_cseq(self, number: int) -> bool:
        """Note the CSeq of a request; False when it is older than the newest seen (§12.2.2)."""
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def next_cseq(self) -> int:
        self.local_cseq += 1
        return self.local_cseq

    def request(self, method: str) -> Request:
        """Build the next request of this dialog (§12.2.1.1), without Via and Contact."""
        return self._build(method, self.next_cseq())

    def ack(self, invite: Request) -> Request:
        """Build the ACK to a 2xx: the INVITE's number, its credentials (§13.2.2.4, §22.1), the dialog's route."""
        ack = self._build("ACK", invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            for value in invite.headers.get_all(name):
                ack.headers.add(name, value)
        return ack

    def _build(self, method: str, cseq: int) -> Request:
        headers = Headers()
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.id.call_id)
        headers.add("CSeq", f"{cseq} {method}")
        request = Request(method, self.remote_target, headers, b"")
        apply_route_set(request, self.remote_target, self.route_set)
        return request


def apply_route_set(request: Request, target: Uri, route_set: Sequence[NameAddr]) -> Uri:
    """Set Request-URI and Route for ``target`` behind ``route_set``; return the next hop (§12.2.1.1).

    A first route without ``lr`` is a strict router: it wants to find itself in the Request-URI and
    the target at the end of the Route.
    """
    request.headers.remove("Route")
    if not route_set:
        request.uri = target
        return target
    first = route_set[0].uri
    if isinstance(first, SipUri) and first.lr:
        request.uri = target
        for route in route_set:
            request.headers.add("Route", str(route))
        return first
    request.uri = first
    for route in route_set[1:]:
        request.headers.add("Route", str(route))
    request.headers.add("Route", f"<{target}>")
    return first
