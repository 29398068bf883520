"""A browser for tests: aiortc as the other end, with a voice it plays and an ear that keeps what it hears."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import ClientSession
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

Pcm = npt.NDArray[np.int16]

RATE_HZ = 48_000
FRAME = RATE_HZ // 50


class Voice(MediaStreamTrack):
    """Says what it is given, at 48 kHz, and is silent otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._words: Pcm = np.empty(0, np.int16)
        self._due: float | None = None
        self._samples = 0
        self.done = asyncio.Event()
        """Everything given was said."""

    def say(self, pcm: Pcm) -> None:
        self._words = np.concatenate((self._words, pcm))
        self.done.clear()

    async def recv(self) -> AudioFrame:
        now = monotonic()
        self._due = now if self._due is None else self._due + 0.02
        if self._due > now:
            await asyncio.sleep(self._due - now)
        frame, self._words = self._words[:FRAME], self._words[FRAME:]
        out = AudioFrame(format="s16", layout="mono", samples=FRAME)
        out.planes[0].update(np.pad(frame, (0, FRAME - len(frame))).tobytes())
        out.sample_rate = RATE_HZ
        out.pts = self._samples
        self._samples += FRAME
        if not len(self._words):
            self.done.set()
        return out


class Browser:
    """One page: offers, listens, keeps the events. ``session`` is where its call is found again."""

    def __init__(self, base_url: str, token: str, http: ClientSession) -> None:
        self.voice = Voice()
        self.heard: list[Pcm] = []
        self.events: list[dict[str, Any]] = []
        self.session = ""
        self.change_offer: Callable[[str], str] = lambda sdp: sdp
        """What is posted in the offer's place."""
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._base_url = base_url
        self._token = token
        self._http = http
        self._ear: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        """The SDP of an offer with microphone and events."""
        self.pc.addTrack(self.voice)
        channel = self.pc.createDataChannel("events")
        channel.on("message", self._read)
        self.pc.on("track", self._listen)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def dial(self, *, again: str = "") -> None:
        """Call, or come back to the call of session ``again``; returns when the path stands."""
        connected = asyncio.Event()

        def note() -> None:
            if self.pc.connectionState == "connected":
                connected.set()

        self.pc.on("connectionstatechange", note)
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self._token}"}
        path = again or "/whip"
        async with self._http.post(
            self._base_url + path, data=self.change_offer(await self.offer()), headers=headers
        ) as response:
            body = await response.text()
            assert response.status == 201, f"{response.status}: {body}"
            self.session = response.headers["Location"]
        await self.pc.setRemoteDescription(RTCSessionDescription(body, "answer"))
        async with asyncio.timeout(10):
            await connected.wait()

    def vanish(self) -> None:
        """The cable is pulled: no goodbye, and nothing is heard any more."""
        for transceiver in self.pc.getTransceivers():
            for protocol in transceiver.sender.transport.transport._connection._protocols:
                protocol.transport.abort()

    async def hang_up(self) -> None:
        async with self._http.delete(self._base_url + self.session) as response:
            assert response.status in (200, 204)

    async def until(self, event: str, **wanted: object) -> dict[str, Any]:
        """The first event of that kind, past or to come."""
        async with asyncio.timeout(20):
            while True:
                for found in self.events:
                    if found["event"] == event and wanted.items() <= found.items():
                        return found
                await asyncio.sleep(0.02)

    async def said(self) -> None:
        """Wait until everything given to the voice was said."""
        await self.voice.done.wait()

    @property
    def pcm(self) -> Pcm:
        """What was heard so far, at the codec's rate: 48 kHz of Opus, 8 kHz of PCMU."""
        return np.concatenate(self.heard) if self.heard else np.empty(0, np.int16)

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pc.close()
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.gather(self._ear, return_exceptions=True)

    def _read(self, message: str) -> None:
        self.events += json.loads(message)

    def _listen(self, track: MediaStreamTrack) -> None:
        self._ear = asyncio.get_running_loop().create_task(self._hear(track))

    async def _hear(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
            self.heard.append(samples[:, 0].astype(np.int16))


@asynccontextmanager
async def browsing(base_url: str, token: str) -> AsyncIterator[Browser]:
    async with ClientSession() as http, Browser(base_url, token, http) as browser:
        yield browser
