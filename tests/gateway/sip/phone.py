"""A telephone made of raw messages and two UDP sockets: it notes every packet, and sends where a test wants it to."""

import asyncio
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from gateway.rtp.packet import build_header
from gateway.rtp.rtcp import Report, build_report, build_source_description
from gateway.rtp.srtp import SrtpSession, Suite
from tests.interop.wire_client import Address, Received, Sketch, WireClient, wire_client

FRAME = 160
TICK_S = 0.02
SSRC = 0x0000_CA11
MASTER_KEY = bytes(range(30))
_SUITE = Suite.AES_CM_128_HMAC_SHA1_80
_SIP_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet of the gateway's, as it arrived."""

    at: float
    source: Address
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class Port(asyncio.DatagramProtocol):
    """One UDP socket on loopback."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take
        self._transport: asyncio.DatagramTransport | None = None
        self.address: Address = ("", 0)

    async def open(self, host: str = "127.0.0.1") -> "Port":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        self.address = self._transport.get_extra_info("sockname")[:2]
        return self

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data, addr)

    def send(self, data: bytes, to: Address) -> None:
        assert self._transport is not None, "an open socket"
        self._transport.sendto(data, to)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SipPhone:
    """One caller. ``media_to`` is where its RTP goes: the gateway's port, unless a test puts a relay there."""

    def __init__(self, wire: WireClient, rtp: Port, rtcp: Port) -> None:
        self.heard: list[Packet] = []
        self.reports: list[bytes] = []
        self.late_s: list[float] = []
        """How far behind its time each packet was sent."""
        self.rtp = rtp
        self.rtcp = rtcp
        self.media_to: Address = ("", 0)
        self.rtcp_to: Address = ("", 0)
        self.sequence = 65_500  # wraps within the first second
        self.timestamp = 2**32 - 4_000
        self.srtp: SrtpSession | None = None
        self._wire = wire
        self._invite: Sketch | None = None
        self._answer: Received | None = None
        self._cseq = 1
        self._version = 1
        self._encrypted = False

    def offer(self, direction: str = "sendrecv", *, events: bool = True) -> str:
        host, port = self.rtp.address
        types = "0 101" if events else "0"
        lines = ["v=0", f"o=- 20 {self._version} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines += [f"m=audio {port} RTP/{'S' * self._encrypted}AVP {types}", "a=rtpmap:0 PCMU/8000"]
        lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] if events else []
        lines += [f"a=rtcp:{self.rtcp.address[1]}", "a=ptime:20", f"a={direction}"]
        if self._encrypted:
            lines.append(f"a=crypto:1 {_SUITE.value} inline:{b64encode(MASTER_KEY).decode()}")
        return "\n".join(lines) + "\n"

    async def dial(self, *, events: bool = True, encrypted: bool = False) -> None:
        """Call, and confirm the answer."""
        self._encrypted = encrypted
        self._invite = self._wire.invite(self.offer(events=events))
        self._answer = await self._wire.ask(self._invite, _SIP_WAIT_S)
        assert self._answer.status == 200, self._answer.start
        self._wire.send(self._invite.following("ACK", self._answer))
        self._learn(self._answer.body)

    async def reinvite(self, direction: str) -> str:
        """Offer another direction; the one that the gateway answers with."""
        assert self._invite is not None, "a call that was placed"
        assert self._answer is not None, "and answered"
        self._cseq += 1
        self._version += 1
        again = self._invite.following("INVITE", self._answer, self.offer(direction), self._cseq)
        answer = await self._wire.ask(again, _SIP_WAIT_S)
        assert answer.status == 200, answer.start
        self._wire.send(self._invite.following("ACK", self._answer, cseq=self._cseq))
        self._learn(answer.body)
        found = re.search(r"a=(sendrecv|sendonly|recvonly|inactive)", answer.body)
        return found[1] if found else "sendrecv"

    async def hang_up(self) -> None:
        """BYE, unless the call is over."""
        if self._invite is None or self._answer is None:
            return
        bye = self._invite.following("BYE", self._answer, cseq=self._cseq + 1)
        self._invite = None
        answer = await self._wire.ask(bye, _SIP_WAIT_S)
        assert answer.status == 200, answer.start

    async def hung_up(self, within_s: float) -> float:
        """Wait for the gateway's BYE and answer it; when it came."""
        async with asyncio.timeout(within_s):
            while (request := await self._wire.receive(within_s)).start.split()[0] != "BYE":
                pass
        at = monotonic()
        lines = [f"{name}: {request.get(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        self._wire.send("\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""]).encode())
        self._invite = None
        return at

    def send(self, payload: bytes, *, payload_type: int = 0, marker: bool = False, samples: int | None = None) -> None:
        """One packet, now; ``samples`` is how far it moves media time."""
        packet = build_header(payload_type, self.sequence, self.timestamp, SSRC, marker) + payload
        self.sequence = self.sequence + 1 & 0xFFFF
        self.pause(len(payload) if samples is None else samples)
        self.send_raw(packet)

    def pause(self, samples: int) -> None:
        """Media time passes without a packet."""
        self.timestamp = self.timestamp + samples & 0xFFFF_FFFF

    def send_raw(self, packet: bytes) -> None:
        protected = packet if self.srtp is None else self.srtp.protect(packet)
        assert protected is not None, "libsrtp takes what is well formed"
        self.rtp.send(protected, self.media_to)

    async def say(self, audio: bytes) -> None:
        """Send audio as a telephone does: a packet every 20 ms on an absolute clock."""
        begin = monotonic()
        for number, at in enumerate(range(0, len(audio), FRAME)):
            await asyncio.sleep(max(0.0, begin + number * TICK_S - monotonic()))
            self.late_s.append(monotonic() - begin - number * TICK_S)
            self.send(audio[at : at + FRAME])
        await asyncio.sleep(max(0.0, begin + len(audio) / 8_000 - monotonic()))

    def report(self) -> None:
        """Say by RTCP that we are there."""
        self.rtcp.send(build_report(Report(SSRC, (), None)) + build_source_description(SSRC, "phone"), self.rtcp_to)

    def take_rtp(self, data: bytes, source: Address) -> None:
        if self.srtp is not None:
            plain = self.srtp.unprotect(data)
            if plain is None:
                return
            data = plain
        header = int.from_bytes(data[:12])
        self.heard.append(
            Packet(
                monotonic(),
                source,
                bool(header >> 87 & 1),
                header >> 80 & 0x7F,
                header >> 64 & 0xFFFF,
                header >> 32 & 0xFFFF_FFFF,
                header & 0xFFFF_FFFF,
                data[12:],
            )
        )

    def take_rtcp(self, data: bytes, _source: Address) -> None:
        self.reports.append(data)

    def _learn(self, sdp: str) -> None:
        """Where the gateway wants media, and its key."""
        port = re.search(r"^m=audio (\d+)", sdp, re.M)
        assert port is not None, sdp
        self.media_to = (self.media_to[0] or "127.0.0.1", self.media_to[1] or int(port[1]))
        self.rtcp_to = "127.0.0.1", int(port[1]) + 1
        if self._encrypted and self.srtp is None:
            key = re.search(r"^a=crypto:1 \S+ inline:([A-Za-z0-9+/=]+)", sdp, re.M)
            assert key is not None, sdp
            self.srtp = SrtpSession(_SUITE.value, MASTER_KEY, b64decode(key[1]))


@asynccontextmanager
async def calling(uri: str) -> AsyncIterator[SipPhone]:
    """A phone for the length of the block; it hangs up at the end."""
    found = re.fullmatch(r"sip:(\w+)@([\d.]+):(\d+)", uri)
    assert found is not None, uri
    async with wire_client((found[2], int(found[3])), found[1]) as wire:
        rtp = await Port(lambda data, source: phone.take_rtp(data, source)).open()
        rtcp = await Port(lambda data, source: phone.take_rtcp(data, source)).open()
        phone = SipPhone(wire, rtp, rtcp)
        try:
            yield phone
            await phone.hang_up()
        finally:
            rtp.close()
            rtcp.close()
