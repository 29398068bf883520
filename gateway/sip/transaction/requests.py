"""The requests a transaction layer makes of other requests: their Via, ACK for a failure, CANCEL."""

from collections.abc import Iterable

from gateway.sip.flow import Address, Flow
from gateway.sip.message import Request, Response

MAX_FORWARDS = "70"


def with_via(request: Request, flow: Flow, sent_by: Address, branch: str) -> Request:
    """A copy of ``request`` with a Via of ours on top (RFC 3261 §8.1.1.7, §18.1.1; RFC 3581 §3)."""
    host, port = sent_by
    literal = f"[{host}]" if ":" in host else host
    copy = Request(request.method, request.uri, request.headers.copy(), request.body)
    copy.headers.prepend("Via", f"SIP/2.0/{flow.transport.value} {literal}:{port};branch={branch};rport")
    return copy


def ack_for_failure(invite: Request, response: Response) -> Request:
    """RFC 3261 §17.1.1.3. Hop by hop: the branch of the INVITE, and the To of the response."""
    ack = _same_hop(invite, "ACK")
    ack.headers.set("To", response.headers.get("To") or "")
    return ack


def cancel_for(invite: Request, headers: Iterable[tuple[str, str]]) -> Request:
    """RFC 3261 §9.1; ``headers`` such as ``Reason`` go with it."""
    cancel = _same_hop(invite, "CANCEL")
    for name, value in headers:
        cancel.headers.add(name, value)
    return cancel


def _same_hop(invite: Request, method: str) -> Request:
    request = Request(method, invite.uri, type(invite.headers)(), b"")
    fields = request.headers
    fields.add("Via", str(invite.via))
    for value in invite.headers.get_all("Route"):
        fields.add("Route", value)
    fields.add("Max-Forwards", MAX_FORWARDS)
    for name in ("From", "To", "Call-ID"):
        fields.add(name, invite.headers.get(name) or "")
    fields.add("CSeq", f"{invite.cseq.number} {method}")
    return request
