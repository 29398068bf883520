"""A phone that takes every call and echoes its media, as late as it is told: the load generator's own test.

``python -m tests.load.stub_uas`` runs one and prints its SIP port.
"""

import argparse
import asyncio
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import uvloop

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Manners:
    """What the stub does wrong, on purpose."""

    delay_s: float = 0.0
    """Of every packet."""
    late_every: int = 0
    """Each so many-th packet of a call comes ``late_s`` later than the others."""
    late_s: float = 0.0
    lose_every: int = 0
    deaf: bool = False
    """Silence comes back, in place of what was said."""
    status: str = "200 OK"
    challenge: str = ""
    """Digest challenge for an INVITE without Authorization."""
    codec: int = 0
    mute_invites: int = 0
    """So many first INVITEs are not heard."""
    hang_up_after: int = 0
    """BYE after so many packets."""


class EchoPort:
    """The media of one call."""

    def __init__(self, manners: Manners, on_count: Callable[[int], None]) -> None:
        self._manners = manners
        self._on_count = on_count
        self._count = 0
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        try:
            packet, source = self._socket.recvfrom(2_048)
        except OSError:
            return
        manners = self._manners
        self._count = count = self._count + 1
        self._on_count(count)
        if manners.lose_every and count % manners.lose_every == 0:
            return
        if manners.deaf:
            packet = packet[:12] + b"\xff" * (len(packet) - 12)
        delay_s = manners.delay_s
        if manners.late_every and count % manners.late_every == 0:
            delay_s += manners.late_s
        if delay_s:
            self._loop.call_later(delay_s, self._send, packet, source)
        else:
            self._send(packet, source)

    def _send(self, packet: bytes, to: tuple[str, int]) -> None:
        if self._socket.fileno() >= 0:
            try:
                self._socket.sendto(packet, to)
            except OSError:
                return

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class StubUas(asyncio.DatagramProtocol):
    """Its SIP."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._calls: dict[str, tuple[EchoPort, bytes]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._mute = manners.mute_invites
        self.port = 0
        self.seen: list[str] = []
        """Methods of the requests, in order."""
        self.authorizations: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        if text.startswith("SIP/2.0"):
            return
        method = text.split(" ", 1)[0]
        self.seen.append(method)
        call_id = self._header(text, "Call-ID")
        match method:
            case "INVITE":
                if self._mute:
                    self._mute -= 1
                else:
                    self._take_invite(text, call_id, addr)
            case "BYE" | "CANCEL":
                if call_id in self._calls:
                    self._calls.pop(call_id)[0].close()
                self._send(self._response(text, "200 OK"), addr)
            case "OPTIONS":
                self._send(self._response(text, "200 OK"), addr)

    def _take_invite(self, text: str, call_id: str, addr: tuple[str, int]) -> None:
        manners = self._manners
        if manners.challenge and "\r\nAuthorization:" not in text:
            self._send(self._response(text, "401 Unauthorized", f"WWW-Authenticate: {manners.challenge}\r\n"), addr)
            return
        if "\r\nAuthorization:" in text:
            self.authorizations.append(self._header(text, "Authorization"))
        if not manners.status.startswith("2"):
            self._send(self._response(text, manners.status), addr)
            return
        if call_id not in self._calls:
            bye = self._bye(text, addr)

            def on_count(count: int) -> None:
                if count == manners.hang_up_after:
                    self._send(bye, addr)

            echo = EchoPort(manners, on_count)
            sdp = f"v=0\r\no=- 2 2 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            sdp += f"m=audio {echo.port} RTP/AVP {manners.codec}\r\n"
            more = f"Contact: <sip:echo@{HOST}:{self.port}>\r\nContent-Type: application/sdp\r\n"
            self._calls[call_id] = echo, self._response(text, manners.status, more, sdp)
        self._send(self._response(text, "100 Trying"), addr)
        self._send(self._calls[call_id][1], addr)

    def _bye(self, invite: str, addr: tuple[str, int]) -> bytes:
        lines = [
            f"BYE sip:load@{addr[0]}:{addr[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bKstub{self._header(invite, 'Call-ID')}",
            f"From: {self._header(invite, 'To')};tag=stub",
            f"To: {self._header(invite, 'From')}",
            f"Call-ID: {self._header(invite, 'Call-ID')}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _header(self, text: str, name: str) -> str:
        found = re.search(rf"^{name}: (.*?)\r$", text, re.MULTILINE)
        assert found is not None, f"no {name} in {text}"
        return found[1]

    def _response(self, request: str, status: str, more: str = "", body: str = "") -> bytes:
        to = self._header(request, "To")
        if ";tag=" not in to and not status.startswith("100"):
            to += ";tag=stub"
        same = "".join(f"{name}: {self._header(request, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        return f"SIP/2.0 {status}\r\n{same}To: {to}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _send(self, message: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None, "messages come after the connection"
        self._transport.sendto(message, addr)

    def close(self) -> None:
        for echo, _ in self._calls.values():
            echo.close()
        if self._transport is not None:
            self._transport.close()


class StubInThread:
    """A stub with a loop and a thread of its own, within the ``with`` block."""

    def __init__(self, manners: Manners) -> None:
        self._loop = uvloop.new_event_loop()
        self.uas = StubUas(manners)
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub-uas")

    def __enter__(self) -> StubUas:
        self._thread.start()
        bind = self._loop.create_datagram_endpoint(lambda: self.uas, local_addr=(HOST, 0))
        asyncio.run_coroutine_threadsafe(bind, self._loop).result(5)
        return self.uas

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        async def close() -> None:
            self.uas.close()
            await asyncio.sleep(0)  # the transport closes in the next turn of the loop

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--late-every", type=int, default=0)
    parser.add_argument("--late-ms", type=float, default=0.0)
    parser.add_argument("--lose-every", type=int, default=0)
    options = parser.parse_args()
    manners = Manners(options.delay_ms / 1e3, options.late_every, options.late_ms / 1e3, options.lose_every)

    async def run() -> None:
        uas = StubUas(manners)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: uas, local_addr=(HOST, 0))
        print(json.dumps({"port": uas.port}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is gone
        uas.close()

    uvloop.run(run())


if __name__ == "__main__":
    main()
