"""The way to a browser on real sockets: connected, refused, sprayed by strangers, lost."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import ClientSession
from aiortc import RTCCertificate, RTCSessionDescription

import gateway.transports.webrtc_path as webrtc_path
from gateway.transports.webrtc_path import SCTP_PORT, BrowserPath, Ice, PathFailedError, SrtpKeys
from gateway.webrtc.answer import LocalPeer, write_answer
from gateway.webrtc.ice import MAX_CANDIDATES
from gateway.webrtc.offer import BrowserOffer, read_offer
from tests.gateway.webrtc.browser import Browser


@dataclass
class Meeting:
    """A browser and our path to it."""

    browser: Browser
    path: BrowserPath
    offer: BrowserOffer
    datagrams: list[bytes]
    lost: list[bool]
    channels: list[Any]
    answer: str
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self, offer: BrowserOffer | None = None) -> SrtpKeys:
        await self.path.add_candidates(self.offer.ice.candidates, end=True)
        await self.browser.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return await self.path.connect(offer or self.offer)

    async def until(self, found: list[Any]) -> None:
        """Wait for the first of what is noted elsewhere."""
        async with asyncio.timeout(10):
            while not found:
                self.news.clear()
                await self.news.wait()

    @property
    def ports(self) -> list[tuple[str, int]]:
        """Where our IPv4 sockets are."""
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ ([0-9.]+) (\d+) typ host", self.answer)
        return [(host, int(port)) for host, port in found]


@asynccontextmanager
async def meeting(ice: Ice | None = None) -> AsyncIterator[Meeting]:
    async with ClientSession() as http, Browser("", "", http) as browser:
        datagrams: list[bytes] = []
        lost: list[bool] = []
        channels: list[Any] = []
        certificate = RTCCertificate.generateCertificate()

        def note(into: list[Any], what: Any) -> None:
            into.append(what)
            it.news.set()

        path = BrowserPath(
            certificate,
            ice or Ice(),
            lambda datagram, now: note(datagrams, datagram),
            lambda: note(lost, True),
            lambda channel: note(channels, channel),
        )
        offer = read_offer((await browser.offer()).encode())
        await path.gather()
        fingerprint = certificate.getFingerprints()[0]
        local = LocalPeer(
            *path.credentials,
            path.candidates(),
            (fingerprint.algorithm, fingerprint.value),
            "active",
            1_234,
            "cname",
            SCTP_PORT,
            1,
        )
        it = Meeting(browser, path, offer, datagrams, lost, channels, write_answer(offer, local).decode())
        try:
            yield it
        finally:
            await path.close()


async def test_a_browser_is_reached_and_its_media_arrives_unopened():
    async with meeting() as it:
        keys = await it.connect()
        assert it.path.connected
        assert keys.local_key != keys.remote_key
        await it.until(it.datagrams)
        assert all(128 <= datagram[0] <= 191 for datagram in it.datagrams)
        await it.until(it.channels)
        assert it.channels[0].label == "events"


async def test_a_closed_browser_is_noticed_at_once():
    async with meeting() as it:
        await it.connect()
        await it.until(it.channels)
        await it.browser.pc.close()
        await it.until(it.lost)
        assert it.lost == [True]
        assert not it.path.connected


async def test_nothing_is_left_of_a_closed_path_and_closing_twice_is_harmless():
    before = asyncio.all_tasks()
    async with meeting() as it:
        await it.connect()
        await it.path.close()
        await it.path.close()
        assert it.lost == [], "our own goodbye is no loss"
    assert asyncio.all_tasks() - before == set()


async def test_a_path_that_was_never_connected_gives_its_sockets_back():
    before = asyncio.all_tasks()
    async with meeting() as it:
        ports = it.ports
    assert asyncio.all_tasks() - before == set()
    for address in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)


async def test_another_certificate_than_the_announced_one_ends_the_attempt():
    async with meeting() as it:
        other = (("sha-256", ":".join(["AB"] * 32)),)
        with pytest.raises(PathFailedError, match="dtls"):
            await it.connect(replace(it.offer, dtls=replace(it.offer.dtls, fingerprints=other)))
        assert not it.path.connected


async def test_a_browser_that_cannot_be_reached_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webrtc_path, "CONNECT_S", 0.2)
    async with meeting() as it:
        with pytest.raises(PathFailedError, match="timeout"):
            await it.path.connect(it.offer)


async def test_candidates_without_sense_are_counted_and_the_others_used():
    async with meeting() as it:
        await it.path.add_candidates(("nonsense", "1 1 udp x 1.2.3.4 5 typ host"), end=False)
        await it.connect()
        assert it.path.refused["candidate"] == 2


async def test_a_public_address_is_announced_beside_the_hosts_own():
    async with meeting(Ice(public_hosts=("203.0.113.7",))) as it:
        for _, port in it.ports:
            assert f" 203.0.113.7 {port} typ host" in it.answer
        await it.connect()


async def test_a_host_without_a_network_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [])
    with pytest.raises(PathFailedError, match="no_candidates"):
        async with meeting():
            raise AssertionError("nothing was gathered")
    path = BrowserPath(RTCCertificate.generateCertificate(), Ice(), lambda *_: None, lambda: None, lambda channel: None)
    with pytest.raises(PathFailedError, match="no_candidates"):
        await path.gather()
    await path.close()  # and does not spin


async def test_a_browser_may_name_so_many_candidates_and_no_more():
    async with meeting() as it:
        values = [f"1 1 udp 1 192.0.2.{n % 250 + 1} {1_024 + n} typ host" for n in range(200)]
        for at in range(0, 200, 50):
            await it.path.add_candidates(values[at : at + 50], end=False)
        assert it.path.refused["candidate"] == 200 - MAX_CANDIDATES


async def test_malformed_stun_is_counted_and_nothing_else():
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    header = bytes([0, 1, 0, 5]) + b"\x21\x12\xa4\x42" + bytes(12)
    async with meeting() as it:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for port in it.ports:
                for datagram in (header + bytes([0, 0x24, 0, 1, 0]), bytes(4), b"\x01" * 40):
                    stranger.sendto(datagram, port)
        await it.connect()
        await it.until(it.datagrams)
        assert it.path.refused["bad_stun"] == 3 * len(it.ports)
        assert faults == []


@pytest.mark.slow
async def test_a_stranger_cannot_end_a_handshake_or_get_media_in():
    """A spray of handshakes, alerts and media from a third socket while twenty calls are set up."""
    hello = bytes([22, 254, 253, *[0] * 9, 60]) + bytes(60)
    alert = bytes([21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40])
    media = b"\x80\x00" + bytes(170)
    refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(20):
            async with meeting() as it:

                async def spray(ports: list[tuple[str, int]]) -> None:
                    while True:
                        for port in ports:
                            for datagram in (hello, alert, media):
                                stranger.sendto(datagram, port)
                        await asyncio.sleep(0.002)

                spraying = asyncio.get_running_loop().create_task(spray(it.ports))
                await it.connect()
                await it.until(it.datagrams)
                spraying.cancel()
                assert media not in it.datagrams
                refused += it.path.refused["unchecked_address"]
    assert refused > 20
