"""What is needed to send the INVITE of a call once more: elsewhere, or on other terms (RFC 3261 §8.1.3.4)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.sip.message import Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.client import ClientRequest
from gateway.sip.ua.session import Call
from gateway.sip.uri import SipUri, Uri


@dataclass(slots=True, eq=False)
class Attempt:
    """A call of ours before its answer. ``elsewhere`` are the Contacts of a 3xx still to try; ``lost`` the ACKs
    of callees that answered too late, by tag."""

    call: Call
    callee: NameAddr
    sdp: bytes | None
    routes: Sequence[NameAddr]
    headers: Sequence[tuple[str, str]]
    cseq: int = 0
    min_se_s: int = 0
    too_short: int = 0
    redirects: int = 0
    elsewhere: deque[Uri] = field(default_factory=deque)
    tried: set[str] = field(default_factory=set)
    lost: dict[str, ClientRequest] = field(default_factory=dict)

    def next_cseq(self) -> int:
        self.cseq += 1
        return self.cseq


def by_preference(response: Response) -> list[Uri]:
    """The Contacts of a 3xx by q, greatest first (§8.1.3.4)."""

    def weight(contact: NameAddr) -> float:
        try:
            return -float(contact.params.get("q") or "1")
        except ValueError:
            return 0.0

    return [contact.uri for contact in sorted(response.contacts, key=weight) if isinstance(contact.uri, SipUri)]


def without_headers(uri: Uri) -> Uri:
    """§19.1.5: the headers of a URI become header fields of the request, not part of its Request-URI."""
    return uri.without_headers() if isinstance(uri, SipUri) else uri


def fields_of(uri: Uri) -> list[tuple[str, str]]:
    """Only Replaces is taken over: §19.1.5 forbids to trust the others. An escaped line end would forge a header."""
    if not isinstance(uri, SipUri):
        return []
    return [("Replaces", value) for name, value in uri.headers if name.lower() == "replaces" and value.isprintable()]
