"""Which transaction a message belongs to, and where its response goes: RFC 3261 §17.1.3, §17.2.3, §18.2."""

from collections.abc import Hashable
from dataclasses import replace

from gateway.sip.flow import Flow
from gateway.sip.via import Via
from gateway.sip.message import Request, Response

MAGIC_COOKIE = "z9hG4bK"


def client_key(branch: str, method: str) -> Hashable:
    """§17.1.3. The method is part of it because a CANCEL has the branch of its INVITE."""
    return branch.lower(), method


def response_key(response: Response) -> Hashable:
    return client_key(response.via.branch or "", response.cseq.method)


def server_key(request: Request, method: str | None = None) -> Hashable:
    """§17.2.3; ``method`` instead of the request's own finds what an ACK or CANCEL means.

    A branch without the cookie is that of an RFC 2543 client, for which the rest of the request
    speaks. The To tag is compared by ``same_2543_dialog``, because that of an ACK is ours.
    """
    via = request.via
    host, port = via.sent_by
    kind = method or request.method
    branch = via.branch or ""
    if branch[: len(MAGIC_COOKIE)].lower() == MAGIC_COOKIE.lower():
        return branch.lower(), host.lower(), port, kind
    cseq = request.cseq.number
    return str(request.uri), request.from_.tag, request.call_id, cseq, branch, host.lower(), port, kind


def has_cookie(request: Request) -> bool:
    return (request.via.branch or "")[: len(MAGIC_COOKIE)].lower() == MAGIC_COOKIE.lower()


def same_2543_dialog(request: Request, original: Request, response: Response | None) -> bool:
    """The rest of RFC 2543 matching: the To tag of the first request, or for ACK of our response."""
    if request.method == "ACK":
        return response is not None and request.to.tag == response.to.tag
    return request.to.tag == original.to.tag


def note_source(request: Request, flow: Flow) -> None:
    """Add ``received`` and ``rport`` to the top Via (§18.2.1, RFC 3581 §4)."""
    via = request.via
    host, port = flow.remote
    params = via.params
    if "rport" in params:
        params = params.with_("rport", str(port)).with_("received", host)
    elif via.host.lower() != host.lower():
        params = params.with_("received", host)
    else:
        return
    replace_top_via(request, replace(via, params=params))


def replace_top_via(request: Request, via: Via) -> None:
    rest = request.headers.split("Via")[1:]
    request.headers.remove("Via")
    for element in reversed(rest):
        request.headers.prepend("Via", element)
    request.headers.prepend("Via", str(via))


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where responses go first (§18.2.2): back on the connection, or to the source address of the datagram.

    ``maddr`` is not followed: it would let anybody aim our responses at a third party.
    """
    if flow.transport.reliable or "rport" in request.via.params:
        return flow
    port = request.via.sent_by[1]
    return flow if port == flow.remote[1] else replace(flow, remote=(flow.remote[0], port))


def fallback_flow(request: Request, flow: Flow) -> Flow | None:
    """Where responses go when the connection is gone (§18.2.2): a new one to the port of the Via."""
    if not flow.transport.reliable:
        return None
    return replace(flow, remote=(flow.remote[0], request.via.sent_by[1]), connection=0)
