"""A browser's place taken by aiortc as its users use it: its own codecs, its own path, none of ours."""

import asyncio
import fractions
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from tests.interop.audio import Samples

RATE_HZ = 48_000
CONNECT_S = 15.0
_FRAME = RATE_HZ // 50


class Microphone(MediaStreamTrack):
    """Plays samples at 48 kHz once, then silence, at the pace of the clock."""

    kind = "audio"

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self._samples = samples
        self._at = 0
        self._begun: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._begun is None:
            self._begun = loop.time()
        await asyncio.sleep(max(0.0, self._begun + self._at / RATE_HZ - loop.time()))
        part = np.zeros(_FRAME, np.int16)
        rest = self._samples[self._at : self._at + _FRAME]
        part[: len(rest)] = rest
        frame = av.AudioFrame(format="s16", layout="mono", samples=_FRAME)
        frame.planes[0].update(part.tobytes())
        frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = self._at, fractions.Fraction(1, RATE_HZ)
        self._at += _FRAME
        return frame


class AiortcCaller:
    """One call through ``calling``."""

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.pc = pc
        self.events: list[dict[str, Any]] = []
        """What came over the data channel."""
        self._pieces: list[Samples] = []
        self._listening: asyncio.Task[None] | None = None

    @property
    def heard(self) -> Samples:
        """What its decoder gave so far: 48 kHz, one channel, without a hole."""
        return np.concatenate(self._pieces) if self._pieces else np.empty(0, np.int16)

    @property
    def pairs(self) -> list[tuple[str, tuple[str, int]]]:
        """Of each nominated pair: the type of our candidate, and where the other side is."""
        assert self.pc.sctp is not None
        nominated = self.pc.sctp.transport.transport._connection._nominated
        return [(pair.local_candidate.type, pair.remote_addr) for pair in nominated.values()]

    def follow(self, track: MediaStreamTrack) -> None:
        """Keep what a track plays."""
        self._listening = asyncio.get_running_loop().create_task(self._listen(track))

    def take(self, message: str | bytes) -> None:
        self.events += json.loads(message)

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
            self._pieces.append(samples.astype(np.int16))


@asynccontextmanager
async def calling(
    url: str,
    token: str,
    microphone: Samples,
    ice_servers: Sequence[dict[str, Any]] = (),
    *,
    relay_only: bool = False,
    within_s: float = CONNECT_S,
) -> AsyncIterator[AiortcCaller]:
    """A call to the gateway at ``url`` that is connected, and hung up after the block.

    ``ice_servers`` as the gateway gives them to pages. Raises AssertionError when the call does not come up.
    """
    policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
    servers = [RTCIceServer(**server) for server in ice_servers]
    pc = RTCPeerConnection(RTCConfiguration(iceServers=servers, iceTransportPolicy=policy))
    caller = AiortcCaller(pc)
    pc.on("track", caller.follow)
    pc.addTrack(Microphone(microphone))
    pc.createDataChannel("events").on("message", caller.take)
    session = ""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http:
        try:
            await pc.setLocalDescription(await pc.createOffer())
            async with http.post(url + "/whip", data=pc.localDescription.sdp, headers=headers) as response:
                text = await response.text()
                assert response.status == 201, f"{response.status}: {text}"
                session = urljoin(url, response.headers["Location"])
            await pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
            await _connected(pc, within_s)
            yield caller
        finally:
            if session:
                async with http.delete(session):
                    pass
            await pc.close()


async def _connected(pc: RTCPeerConnection, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            while pc.connectionState != "connected":
                assert pc.connectionState in ("new", "connecting"), f"the connection is {pc.connectionState}"
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"expected a connection within {within_s} s, it is {pc.connectionState}") from None
