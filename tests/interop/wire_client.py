"""A caller made of raw messages, for what no well-behaved telephone sends.

It knows just enough SIP to be wrong on purpose: it never repeats, never corrects and never hides what came back.
"""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.interop.peers import LOOPBACK

Address = tuple[str, int]

ANSWER_S = 3.0
_serial = itertools.count(1)


def token() -> str:
    """A word that no other one of this machine has."""
    return f"{os.getpid():x}x{next(_serial):x}"


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came: the start line, the header lines and the body."""

    start: str
    lines: tuple[str, ...]
    body: str

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.start.split(" ", 2)[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of the request, or of the one that was answered."""
        return self.get("CSeq").split()[-1] if self.status else self.start.split(" ", 1)[0]

    def get(self, name: str) -> str:
        """The first header of this name, empty when there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        pairs = (line.partition(":") for line in self.lines)
        return [value.strip() for found, _, value in pairs if found.strip().lower() == name.lower()]

    @property
    def to_tag(self) -> str:
        found = re.search(r";\s*tag\s*=\s*([^;\s]+)", self.get("To").rpartition(">")[2] or self.get("To"))
        return found[1] if found else ""

    @property
    def contact(self) -> str:
        found = re.search(r"<([^>]+)>", self.get("Contact"))
        return found[1] if found else self.get("Contact")

    @staticmethod
    def parse(data: bytes) -> "Received":
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode("utf-8", "replace").split("\r\n")
        return Received(start, tuple(lines), body.decode("utf-8", "replace"))


@dataclass(slots=True)
class Sketch:
    """A request to be: change what you want to be wrong, then take ``data``."""

    method: str
    uri: str
    via: Address
    transport: str
    cseq: int = 1
    branch: str = field(default_factory=lambda: f"z9hG4bK{token()}")
    call_id: str = field(default_factory=lambda: f"{token()}@interop")
    from_tag: str = field(default_factory=token)
    to_tag: str = ""
    to_uri: str = ""
    body: str = ""
    content_type: str = "application/sdp"
    extra: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        host, port = self.via
        to = f"<{self.to_uri or self.uri}>" + (f";tag={self.to_tag}" if self.to_tag else "")
        lines = [
            f"{self.method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {host}:{port};branch={self.branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:probe@{host}:{port}>;tag={self.from_tag}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {self.method}",
            f"Contact: <sip:probe@{host}:{port};transport={self.transport}>",
            *self.extra,
        ]
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
        body = self.body.replace("\n", "\r\n").encode()
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def following(self, method: str, answer: "Received", body: str = "", cseq: int = 0) -> "Sketch":
        """A request within the dialog that ``answer``, a 2xx, made of this INVITE. ACK keeps the CSeq."""
        number = cseq or (self.cseq if method == "ACK" else self.cseq + 1)
        return Sketch(
            method,
            answer.contact or self.uri,
            self.via,
            self.transport,
            number,
            call_id=self.call_id,
            from_tag=self.from_tag,
            to_tag=answer.to_tag,
            to_uri=self.to_uri or self.uri,
            body=body,
            extra=tuple(f"Route: {value}" for value in reversed(answer.all("Record-Route"))),
        )

    def refusal_ack(self, answer: "Received") -> "Sketch":
        """The ACK to a final response other than 2xx: same branch (RFC 3261 17.1.1.3)."""
        return Sketch(
            "ACK",
            self.uri,
            self.via,
            self.transport,
            self.cseq,
            self.branch,
            self.call_id,
            self.from_tag,
            answer.to_tag,
            self.to_uri,
        )

    def cancel(self) -> "Sketch":
        return Sketch(
            "CANCEL",
            self.uri,
            self.via,
            self.transport,
            self.cseq,
            self.branch,
            self.call_id,
            self.from_tag,
            "",
            self.to_uri,
        )


def offer(host: str, port: int, payload_types: str = "0 8 101", direction: str = "sendrecv", version: int = 1) -> str:
    """An SDP offer of audio."""
    names = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "18": "G729/8000", "101": "telephone-event/8000"}
    lines = ["v=0", f"o=- 20 {version} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines.append(f"m=audio {port} RTP/AVP {payload_types}")
    lines += [f"a=rtpmap:{number} {names[number]}" for number in payload_types.split()]
    lines += ["a=ptime:20", f"a={direction}"]
    return "\n".join(lines) + "\n"


class WireClient:
    """One socket towards the system under test."""

    def __init__(self, target: Address, user: str, transport: str) -> None:
        self.target = target
        self.user = user
        self.transport = transport
        self.local: Address = ("", 0)
        self.closed = False
        self.raw = b""
        self._inbox: asyncio.Queue[Received] = asyncio.Queue()
        self._datagrams: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, local: Address) -> None:
        if self.transport == "udp":
            loop = asyncio.get_running_loop()
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Inbox(self.take), local_addr=local)
            self.local = self._datagrams.get_extra_info("sockname")[:2]
        else:
            reader, self._writer = await asyncio.open_connection(*self.target, local_addr=(local[0], 0))
            self.local = self._writer.get_extra_info("sockname")[:2]
            self._task = asyncio.get_running_loop().create_task(self._read(reader))

    async def close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._task is not None:
            self._task.cancel()
        if self._writer is not None:
            self._writer.close()

    def sketch(self, method: str, **fields: object) -> Sketch:
        host, port = self.target
        return Sketch(method, f"sip:{self.user}@{host}:{port}", self.local, self.transport, **fields)  # type: ignore[arg-type]

    def invite(self, body: str | None = None, **fields: object) -> Sketch:
        return self.sketch("INVITE", body=offer(self.local[0], 40_000) if body is None else body, **fields)

    def send(self, data: "bytes | Sketch") -> None:
        octets = data.data if isinstance(data, Sketch) else data
        if self._datagrams is not None:
            self._datagrams.sendto(octets, self.target)
        elif self._writer is not None:
            self._writer.write(octets)

    def take(self, data: bytes) -> None:
        if data.strip():
            self._inbox.put_nowait(Received.parse(data))

    async def receive(self, within_s: float = ANSWER_S) -> Received:
        """The next message. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            return await self._inbox.get()

    async def final(self, method: str, within_s: float = ANSWER_S, cseq: int = 0) -> Received:
        """The next final response to this method (and this CSeq); what else arrives is passed over."""
        async with asyncio.timeout(within_s):
            while True:
                message = await self._inbox.get()
                number = int(message.get("CSeq").split()[0])
                if message.status >= 200 and message.method == method and cseq in (0, number):
                    return message

    async def ask(self, sketch: Sketch, within_s: float = ANSWER_S) -> Received:
        """Send and wait for the final response. Over UDP it is sent once: loopback loses nothing."""
        self.send(sketch)
        return await self.final(sketch.method, within_s, sketch.cseq)

    async def everything(self, for_s: float) -> list[Received]:
        """All that arrives within a time."""
        found = []
        try:
            async with asyncio.timeout(for_s):
                while True:
                    found.append(await self._inbox.get())
        except TimeoutError:
            return found

    async def whole_call(self) -> None:
        """Call, confirm, hang up; fails unless all of it is answered with 200."""
        invite = self.invite()
        answer = await self.ask(invite, 10.0)
        assert answer.status == 200, f"expected a call to be answered, got {answer.start}"
        self.send(invite.following("ACK", answer))
        end = await self.ask(invite.following("BYE", answer))
        assert end.status == 200, f"expected BYE to be answered with 200, got {end.start}"

    async def hang_up(self, invite: Sketch, answer: Received, cseq: int = 0) -> None:
        """ACK and BYE a call that was answered."""
        self.send(invite.following("ACK", answer))
        end = await self.ask(invite.following("BYE", answer, cseq=cseq or invite.cseq + 1))
        assert end.status == 200, end.start

    async def _read(self, reader: asyncio.StreamReader) -> None:
        pending = b""
        while data := await reader.read(65_536):
            self.raw += data
            pending += data
            while True:
                pending = pending.lstrip(b"\r\n")
                head, gap, rest = pending.partition(b"\r\n\r\n")
                length = re.search(rb"\r\n(?:Content-Length|l)\s*:\s*(\d+)", head, re.I)
                size = int(length[1]) if length else 0
                if not gap or len(rest) < size:
                    break
                self.take(head + gap + rest[:size])
                pending = rest[size:]
        self.closed = True


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data)


@asynccontextmanager
async def wire_client(
    target: Address, user: str = "bot", transport: str = "udp", local: Address = (LOOPBACK, 0)
) -> AsyncIterator[WireClient]:
    """A client for the length of the block."""
    client = WireClient(target, user, transport)
    await client.open(local)
    try:
        yield client
    finally:
        await client.close()
