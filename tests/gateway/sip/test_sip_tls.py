"""TLS of the SIP door: our certificate is shown, the peer's is checked against whom we meant to reach (RFC 5922)."""

import asyncio
from pathlib import Path

import pytest

from gateway.config.sip import Listener, TlsEntry, client_context, server_context
from gateway.sip.flow import Flow, Target, Transport
from gateway.transports.sip_network import SipNetwork
from tests.interop.certificates import make_certificate

HOST = "127.0.0.1"
WAIT_S = 10.0


class End:
    """One network with a certificate, and what it was told."""

    def __init__(self, folder: Path, trusted: Path | None, *, asks: bool = False) -> None:
        folder.mkdir()
        certificate, key = make_certificate(folder, HOST)
        self.certificate = certificate
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.broken: asyncio.Queue[Flow] = asyncio.Queue()
        self.bad: list[str] = []
        tls = TlsEntry(certificate=certificate, key=key, ca=trusted, peer_certificates=asks)
        self.network = SipNetwork(
            [Listener(Transport.TLS, (HOST, 0))],
            server_context(tls),
            lambda: client_context(tls),
            lambda data, _flow: self.messages.put_nowait(data),
            self.broken.put_nowait,
            self.bad.append,
        )

    def flow_to(self, other: "End", name: str = HOST) -> Flow:
        address = other.network.bound[0].address
        self.network.expect(Target(Transport.TLS, address, name))
        return Flow(Transport.TLS, self.network.bound[0].address, address)


OPTIONS = (
    b"OPTIONS sip:agent@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


async def test_a_peer_with_the_right_certificate_is_spoken_to(tmp_path: Path):
    server = End(tmp_path / "server", None)
    client = End(tmp_path / "client", server.certificate)
    await server.network.start()
    await client.network.start()
    client.network.send(OPTIONS, client.flow_to(server))
    async with asyncio.timeout(WAIT_S):
        assert await server.messages.get() == OPTIONS
    client.network.close()
    server.network.close()


@pytest.mark.parametrize("fault", ["unknown authority", "another name"])
async def test_a_peer_with_a_wrong_certificate_gets_nothing(tmp_path: Path, fault: str):
    server = End(tmp_path / "server", None)
    client = End(tmp_path / "client", server.certificate if fault == "another name" else None)
    await server.network.start()
    await client.network.start()
    flow = client.flow_to(server, "pbx.example.com" if fault == "another name" else HOST)
    client.network.send(OPTIONS, flow)
    async with asyncio.timeout(WAIT_S):
        assert await client.broken.get() == flow
    assert client.bad == ["certificate_failed"]
    assert server.messages.empty()
    client.network.close()
    server.network.close()


async def test_a_caller_without_a_certificate_we_know_is_not_heard_where_we_ask_for_one(tmp_path: Path):
    stranger = End(tmp_path / "stranger", None)
    server = End(tmp_path / "server", stranger.certificate, asks=True)
    client = End(tmp_path / "client", server.certificate)
    for end in (stranger, server, client):
        await end.network.start()
    client.network.send(OPTIONS, client.flow_to(server))
    async with asyncio.timeout(WAIT_S):
        await client.broken.get()
    assert server.messages.empty()
    for end in (stranger, server, client):
        end.network.close()
