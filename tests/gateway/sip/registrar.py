"""A registrar, and a proxy that answers OPTIONS, on a real socket."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from gateway.sip.digest import DigestVerifier, Verified
from gateway.sip.message import Request, Response
from gateway.sip.parser import parse_message
from tests.gateway.live import WAIT_S
from tests.gateway.sip.telephone import HOST


class Registrar(asyncio.DatagramProtocol):
    """A registrar that knows one user, and answers OPTIONS with ``status``."""

    def __init__(self, user: str, password: str) -> None:
        self.bindings: list[tuple[str, int]] = []
        """Contact and lifetime of each REGISTER that was taken."""
        self.challenges = 0
        self.pings = 0
        self.status = 200
        self.news = asyncio.Event()
        self._known = {user: password}
        self._verifier = DigestVerifier("office", secrets.token_bytes(32), lambda: secrets.token_hex(8))
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @property
    def host_port(self) -> str:
        assert self._transport is not None
        return f"{HOST}:{self._transport.get_extra_info('sockname')[1]}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = parse_message(data)
        assert isinstance(request, Request)
        assert self._transport is not None
        self._transport.sendto(self._answer(request).to_bytes(), addr)
        self.news.set()

    def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            self.pings += 1
            return request.respond(self.status, "", "r")
        if not isinstance(self._verifier.verify(request, self._known.get, monotonic()), Verified):
            self.challenges += 1
            response = request.respond(401, "", "r")
            for value in self._verifier.challenges(monotonic()):
                response.headers.add("WWW-Authenticate", value)
            return response
        self.bindings.append((str(request.contacts[0].uri), request.expires or 0))
        response = request.respond(200, "", "r")
        response.headers.add("Contact", str(request.contacts[0]))
        return response

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def registrar(user: str = "line7", password: str = "secret") -> AsyncIterator[Registrar]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Registrar(user, password), local_addr=(HOST, 0)
    )
    yield protocol
    transport.close()
