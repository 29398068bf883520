"""A foreign peer that speaks in raw messages, for what no user agent of ours would say."""

from collections.abc import Sequence
from typing import Any

from gateway.sip.flow import Transport
from gateway.sip.message import Message, Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.effects import CallHandle
from tests.gateway.sip.network import ANSWER, BOB, OFFER, Network, Peer, uri_of

STRANGER = ("198.51.100.7", 5080)


def invite(**changes: Any) -> str:
    """An INVITE with an offer; ``changes`` are those of ``request``."""
    return request("INVITE", **{"body": OFFER.decode(), **changes})


def request(
    method: str,
    *,
    uri: str = "sip:bob@192.0.2.2",
    branch: str = "1",
    cseq: int = 1,
    to_tag: str | None = "",
    from_tag: str | None = "f1",
    call_id: str = "raw@stranger",
    extra: str = "",
    body: str = "",
    content_type: str = "application/sdp",
    forwards: int = 70,
    contact: str = "<sip:stranger@198.51.100.7:5080>",
    version: str = "SIP/2.0",
) -> str:
    """A request of the stranger's; ``extra`` are whole header lines."""
    lines = [
        f"{method} {uri} {version}",
        f"Via: SIP/2.0/UDP 198.51.100.7:5080;branch=z9hG4bK-raw-{branch};rport",
        f"Max-Forwards: {forwards}",
        f"From: <sip:stranger@198.51.100.7>;tag={from_tag}",
        "To: <sip:bob@192.0.2.2>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
    ]
    lines += [f"Contact: {contact}"] if contact else []
    lines += extra.splitlines()
    body = body.replace("\r\n", "\n")
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body.replace(chr(10), chr(13) + chr(10)).encode())}")
    return "\n".join(lines) + "\n\n" + body


class Stranger:
    """Sends raw messages to Bob and reads what he says back."""

    def __init__(self, network: Network, bob: Peer) -> None:
        self.network = network
        self.bob = bob
        self.to_tag = ""

    def send(self, text: str) -> None:
        self.network.inject(text, BOB, STRANGER)

    def heard(self, name: str) -> list[Message]:
        return [sent.message for sent in self.network.sent(name, BOB)]

    def response(self, name: str) -> Response:
        message = self.heard(name)[-1]
        assert isinstance(message, Response)
        return message

    def request(self, name: str) -> Request:
        message = self.heard(name)[-1]
        assert isinstance(message, Request)
        return message

    def reply(
        self,
        request: Request,
        status: int,
        tag: str = "",
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        contact: str = "<sip:stranger@198.51.100.7:5080>",
        transport: Transport = Transport.UDP,
    ) -> None:
        """Answer a request of Bob's."""
        response = request.respond(status, "", tag)
        if contact and not any(name == "Contact" for name, _ in headers):
            response.headers.add("Contact", contact)
        for name, value in headers:
            response.headers.add(name, value)
        if body:
            response.headers.add("Content-Type", "application/sdp")
            response.body = body
        self.network.inject(response.to_bytes(), BOB, STRANGER, transport)

    def called(self, **arguments: object) -> tuple[CallHandle, Request]:
        """Bob calls the stranger: the handle and the INVITE."""
        target = uri_of(STRANGER, "stranger")
        handle = self.bob.agent.place_call(target, NameAddr(uri_of(BOB)), OFFER, self.network.now, **arguments)  # type: ignore[arg-type]
        self.network.settle()
        return handle, self.request("INVITE")

    def connect(self, **headers: str) -> tuple[CallHandle, Request]:
        """Bob calls the stranger, who answers."""
        handle, invite = self.called()
        self.reply(invite, 200, "t1", body=ANSWER, headers=[(n.replace("_", "-"), v) for n, v in headers.items()])
        return handle, invite

    def call(self, **changes: Any) -> str:
        """INVITE and ACK; returns Bob's tag. Bob must be one who answers."""
        self.send(invite(**changes))
        tag = self.response("200 INVITE").to.tag or ""
        self.ack(to_tag=tag)
        return tag

    def ack(self, to_tag: str, cseq: int = 1, body: str = "") -> None:
        self.send(request("ACK", branch=f"ack{cseq}", to_tag=to_tag, cseq=cseq, body=body))
