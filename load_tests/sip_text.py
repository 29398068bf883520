"""SIP and SDP as text, by hand: just enough for a peer that shares nothing with what it tests. Pure.

Only what a caller over UDP needs: RFC 3261 INVITE, ACK, CANCEL and BYE, digest (RFC 7616), an offer of PCMU.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

Address = tuple[str, int]

_COMPACT = {"i": "call-id", "f": "from", "t": "to", "v": "via", "m": "contact", "l": "content-length"}
_CHALLENGE = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_HASHES = {"MD5": "md5", "SHA-256": "sha256"}


class SipTextError(Exception):
    """What came is not SIP, or lacks what was needed; the text says what."""


@dataclass(slots=True)
class SipText:
    """One message as it was read: start line, headers with lower-case long names, body."""

    start: str
    headers: list[tuple[str, str]]
    body: str

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.start[8:11]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers."""
        return self.start.split(" ", 1)[0] if not self.status else self.get("cseq").split()[-1]

    def get(self, name: str) -> str:
        """The first value. Raises SipTextError when there is none."""
        for header, value in self.headers:
            if header == name:
                return value
        raise SipTextError(f"expected a {name} header in {self.start!r}")

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def answer(self, status: str) -> bytes:
        """The response to this request; ``status`` is e.g. ``200 OK``."""
        copied = [(name, value) for name, value in self.headers if name in ("via", "from", "to", "call-id", "cseq")]
        return compose(f"SIP/2.0 {status}", copied)


def read(datagram: bytes) -> SipText:
    """One datagram. Raises SipTextError."""
    head, _, body = datagram.decode("utf-8", "replace").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    if not (re.match(r"SIP/2\.0 \d{3}", start) or start.endswith(" SIP/2.0")):
        raise SipTextError(f"expected a SIP start line, got {start[:60]!r}")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.append((_COMPACT.get(name, name), value.strip()))
    return SipText(start, headers, body)


def compose(start: str, headers: Iterable[tuple[str, str]], body: str = "") -> bytes:
    """A message; Content-Length is added."""
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@dataclass(slots=True)
class Dialog:
    """The caller's side of one call: all requests of it, as bytes."""

    local: Address
    target: Address
    call_id: str
    user: str = "load"
    cseq: int = 1
    to_tag: str = ""
    remote_uri: str = ""
    """The Contact of the answer: where requests within the dialog go."""
    routes: list[str] = field(default_factory=list)

    @property
    def request_uri(self) -> str:
        return f"sip:load@{self.target[0]}:{self.target[1]}"

    def invite(self, sdp: str, authorization: str = "") -> bytes:
        """With the CSeq as it stands: the same bytes serve as retransmission."""
        headers = [("Contact", f"<sip:{self.user}@{self.local[0]}:{self.local[1]}>")]
        if authorization:
            headers.append(("Authorization", authorization))
        headers.append(("Content-Type", "application/sdp"))
        return self._request("INVITE", self.request_uri, "i", headers, sdp)

    def cancel(self) -> bytes:
        """Of the INVITE that was sent last."""
        return self._request("CANCEL", self.request_uri, "i")

    def confirm(self, ok: SipText) -> bytes:
        """Take the 2xx; the ACK to it (RFC 3261 §13.2.2.4). Raises SipTextError."""
        self.to_tag = _tag(ok.get("to"))
        contact = ok.get("contact")
        self.remote_uri = contact[contact.index("<") + 1 : contact.index(">")] if "<" in contact else contact
        self.routes = ok.all("record-route")[::-1]
        return self._request("ACK", self.remote_uri, "a")

    def reject(self, failure: SipText) -> bytes:
        """The ACK to a final failure: the INVITE's own branch (RFC 3261 §17.1.1.3)."""
        return self._request("ACK", self.request_uri, "i", to_tag=_tag(failure.get("to")))

    def bye(self) -> bytes:
        """The end of a confirmed call."""
        self.cseq += 1
        return self._request("BYE", self.remote_uri, "b")

    def _request(
        self,
        method: str,
        uri: str,
        branch: str,
        headers: Iterable[tuple[str, str]] = (),
        body: str = "",
        to_tag: str = "",
    ) -> bytes:
        host, port = self.local
        tag = to_tag or self.to_tag
        return compose(
            f"{method} {uri} SIP/2.0",
            [
                ("Via", f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self.call_id}{branch}{self.cseq};rport"),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in self.routes),
                ("From", f"<sip:{self.user}@{host}:{port}>;tag=f{self.call_id}"),
                ("To", f"<{self.request_uri}>" + (f";tag={tag}" if tag else "")),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self.cseq} {method}"),
                *headers,
            ],
            body,
        )


def _tag(value: str) -> str:
    return value.rpartition(";tag=")[2].partition(";")[0] if ";tag=" in value else ""


def pcmu_offer(host: str, port: int, rtcp_port: int) -> str:
    """PCMU and telephone events, 20 ms, both ways, as carriers offer it; RTCP goes to a port of its own (RFC 3605)."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        f"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:{rtcp_port}\r\na=sendrecv\r\n"
    )


def media_address(sdp: str) -> Address:
    """Where an answer wants its PCMU. Raises SipTextError when it wants none."""
    connection = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
    media = re.search(r"^m=audio (\d+) RTP/AVP (\d+)", sdp, re.MULTILINE)
    if connection is None or media is None or media[2] != "0" or media[1] == "0":
        raise SipTextError(f"expected an answer with PCMU, got {sdp!r}")
    return connection[1], int(media[1])


def digest_response(challenges: Iterable[str], credentials: tuple[str, str], method: str, uri: str, count: int) -> str:
    """The Authorization value for the first challenge whose algorithm is known (RFC 7616 §3.4); ``count`` is nc.

    Raises SipTextError.
    """
    for challenge in challenges:
        words = {name.lower(): quoted or bare for name, quoted, bare in _CHALLENGE.findall(challenge)}
        algorithm = words.get("algorithm", "MD5").upper()
        if algorithm in _HASHES:
            break
    else:
        raise SipTextError("expected a challenge of MD5 or SHA-256, got none")

    def digest(*parts: str) -> str:
        return hashlib.new(_HASHES[algorithm], ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    user, password = credentials
    realm, nonce = words.get("realm", ""), words.get("nonce", "")
    secret, request = digest(user, realm, password), digest(method, uri)
    fields = f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm={algorithm}'
    if "opaque" in words:
        fields += f', opaque="{words["opaque"]}"'
    if "auth" in words.get("qop", "").split(","):
        nc, cnonce = f"{count:08x}", f"c{count:x}"
        response = digest(secret, nonce, nc, cnonce, "auth", request)
        return f'{fields}, qop=auth, nc={nc}, cnonce="{cnonce}", response="{response}"'
    return f'{fields}, response="{digest(secret, nonce, request)}"'
