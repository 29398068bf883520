"""A user agent that answers calls, makes one of its own, and is told anything by a peer it trusts."""

from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from tests.gateway.sip.network import BOB, OFFER, Network, auto_answer, uri_of
from tests.gateway.sip.raw import STRANGER, invite, request

NEXT = b"\n%%\n"
"""Stands between the datagrams of one input."""
MAX_DATAGRAMS = 8
AFTER_S = 40.0  # every transaction has ended then

_RESPONSE = (
    b"SIP/2.0 %b\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=$BRANCH;rport\r\n"
    b"From: <sip:user@192.0.2.2:5060>;tag=$FROM\r\nTo: <sip:stranger@198.51.100.7:5080>;tag=s1\r\n"
    b"Call-ID: $CALL\r\nCSeq: $NUMBER %b\r\nContact: <sip:stranger@198.51.100.7:5080>\r\n%bContent-Length: 0\r\n\r\n"
)


def converse(data: bytes) -> None:
    """Deliver the datagrams of ``data``, with what the peer would have learned from ours in place of $ words."""
    network = Network()
    bob = network.add(BOB, allow_refer=True)
    auto_answer(bob)
    bob.agent.place_call(uri_of(STRANGER, "stranger"), NameAddr(uri_of(BOB)), OFFER, network.now)
    network.settle()
    for datagram in data.split(NEXT)[:MAX_DATAGRAMS]:
        network.inject(_fill_in(datagram, network), BOB, STRANGER)
        network.run(0.02)
    network.run(AFTER_S)


def _fill_in(datagram: bytes, network: Network) -> bytes:
    if b"$" not in datagram:
        return datagram
    words: dict[bytes, str] = {}
    for sent in network.log:
        message = sent.message
        if isinstance(message, Request) and message.method != "ACK":
            words[b"$BRANCH"] = message.via.branch or ""
            words[b"$FROM"] = message.from_.tag or ""
            words[b"$CALL"] = message.call_id
            words[b"$NUMBER"] = str(message.cseq.number)
        elif isinstance(message, Response) and message.to.tag:
            words[b"$TAG"] = message.to.tag
            words[b"$RSEQ"] = message.headers.get("RSeq") or "1"
    for word, value in words.items():
        datagram = datagram.replace(word, value.encode("utf-8", "surrogateescape"))
    return datagram


def conversations() -> tuple[bytes, ...]:
    """Calls in both directions with what may happen in them."""

    def within(method: str, cseq: int, extra: str = "", body: str = "") -> str:
        return request(method, branch=str(cseq), to_tag="$TAG", cseq=cseq, extra=extra, body=body)

    def told(*texts: str) -> bytes:
        return NEXT.join(text.replace("\n", "\r\n").encode() for text in texts)

    def answered(*responses: tuple[bytes, bytes, bytes]) -> bytes:
        return NEXT.join(_RESPONSE % response for response in responses)

    ack = request("ACK", branch="a", to_tag="$TAG")
    replaced = "Replaces: raw@stranger;to-tag=$TAG;from-tag=f1"
    rings = invite(extra="Supported: 100rel, timer\nSession-Expires: 1800;refresher=uac\nMin-SE: 90")
    return (
        told(rings, ack, within("BYE", 2)),
        told(invite(), ack, within("INVITE", 2), request("ACK", branch="b", to_tag="$TAG", cseq=2), within("BYE", 3)),
        told(
            invite(),
            ack,
            within("UPDATE", 2, "Session-Expires: 90"),
            within("INFO", 3, "Content-Type: application/dtmf"),
        ),
        told(invite(), ack, within("REFER", 2, "Refer-To: <sip:c@192.0.2.9?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>")),
        told(invite(body=""), request("ACK", branch="a", to_tag="$TAG", body=OFFER.decode()), within("OPTIONS", 2)),
        told(invite(extra="Require: 100rel"), within("PRACK", 2, "RAck: $RSEQ 1 INVITE"), ack),
        told(invite(), invite(branch="2", call_id="other", extra=replaced), ack, within("NOTIFY", 2, "Event: refer")),
        told(invite(), request("CANCEL"), invite(branch="9")),
        answered((b"100 Trying", b"INVITE", b""), (b"180 Ringing", b"INVITE", b""), (b"486 Busy", b"INVITE", b"")),
        answered((b"183 Progress", b"INVITE", b"Require: 100rel\r\nRSeq: 1\r\n"), (b"200 OK", b"PRACK", b"")),
        answered((b"302 Moved", b"INVITE", b"m: <sip:d@192.0.2.8>;q=0.5, <sip:e@192.0.2.8>\r\n")),
        answered(
            (
                b"401 Unauthorized",
                b"INVITE",
                b'WWW-Authenticate: Digest realm="a, b", nonce="n", qop="auth,auth-int"\r\n',
            )
        ),
        answered((b"200 OK", b"INVITE", b"Record-Route: <sip:h;lr>, <sip:i;lr>\r\n"), (b"200 OK", b"BYE", b"")),
        answered((b"422 Too Small", b"INVITE", b"Min-SE: 4000\r\n"), (b"491 Pending", b"INVITE", b"")),
    )
