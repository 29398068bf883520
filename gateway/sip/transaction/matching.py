"""Which transaction a message belongs to, and where its response goes: RFC 3261 §17.1.3, §17.2.3, §18.2."""

from collections.abc import Hashable
from dataclasses import replace

from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.via import Via

MAGIC_COOKIE = "z9hG4bK"


def client_key(branch: str, method: str) -> Hashable:
    """§17.1.3. The method is part of it because a CANCEL has the branch of its INVITE."""
    return branch.lower(), method


def server_key(request: Request, via: Via, method: str) -> Hashable:
    """§17.2.3. ``method`` is that of the wanted transaction: INVITE for what an ACK or a CANCEL means.

    A branch without the cookie is that of an RFC 2543 client, for which the rest of the request
    speaks. The To tag is compared by ``same_2543_dialog``, because that of an ACK is ours.
    """
    host, port = via.sent_by
    branch = via.branch or ""
    if has_cookie(via):
        return branch.lower(), host.lower(), port, method
    number = request.cseq.number
    return str(request.uri), request.from_.tag, request.call_id, number, branch, host.lower(), port, method


def has_cookie(via: Via) -> bool:
    """A branch that is unique: the cookie and something behind it (RFC 4475 §3.2.1 has the cookie alone)."""
    branch = via.branch or ""
    return len(branch) > len(MAGIC_COOKIE) and branch[: len(MAGIC_COOKIE)].lower() == MAGIC_COOKIE.lower()


def same_2543_dialog(request: Request, original: Request, response: Response | None) -> bool:
    """The rest of RFC 2543 matching: the To tag of the first request, or for ACK of our response."""
    if request.method == "ACK":
        return response is not None and request.to.tag == response.to.tag
    return request.to.tag == original.to.tag


def note_source(request: Request, via: Via, flow: Flow) -> None:
    """Add ``received`` and ``rport`` to ``via``, the top one (§18.2.1, RFC 3581 §4)."""
    host, port = flow.remote
    params = via.params.without("received")
    if "rport" in params:
        params = params.with_("rport", str(port))
    elif via.host.lower() == host.lower() and "received" not in via.params:
        return
    below = request.headers.split("Via")[1:]
    request.headers.remove("Via")
    for element in reversed(below):
        request.headers.prepend("Via", element)
    # IPv6 stands bare here, unlike in the sent-by (§25.1 via-received); its zone means nothing elsewhere.
    request.headers.prepend("Via", f"{replace(via, params=params)};received={host.partition('%')[0]}")


def reply_flow(via: Via, flow: Flow) -> Flow:
    """Where responses go first (§18.2.2): back on the connection, or to the source address of the datagram.

    ``maddr`` is not followed: it would let anybody aim our responses at a third party.
    """
    if flow.transport.reliable or "rport" in via.params:
        return flow
    port = via.sent_by[1]
    return flow if port == flow.remote[1] else replace(flow, remote=(flow.remote[0], port))


def fallback_flow(via: Via, flow: Flow) -> Flow | None:
    """Where responses go when the connection is gone (§18.2.2): a new one to the port of the Via."""
    if not flow.transport.reliable:
        return None
    return replace(flow, remote=(flow.remote[0], via.sent_by[1]), connection=0)
