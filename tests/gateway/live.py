"""A real gateway on loopback, with a worker that answers by rule and a phone that speaks Twilio."""

import asyncio
import base64
import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import pi, sin
from typing import Any

import aiohttp
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.config.sip import SipConfig
from gateway.config.webrtc import WebRtcConfig
from wire.audio.codecs import Codec
from wire.bus.local import LocalHub
from wire.bus.seam import BEAT_S, WorkerAdvert
from wire.ids import CallId, GatewayId, TurnId, WorkerId
from wire.messages import (
    AnyMessage,
    AudioChunk,
    CallOpened,
    Decision,
    DecisionKind,
    DownMessage,
    SpeechChunk,
    ToolCall,
    Transcript,
    TurnCancelled,
    TurnDone,
    Voice,
    WorkerBeat,
)

AUTH_TOKEN = "auth-token-of-the-tests"
API_TOKEN = "api-token-of-the-tests"
WAIT_S = 10.0
SPEECH_SAMPLES = 160_000  # 20 s: long enough to be talked over
_TONE_500_HZ = b"".join(round(8_000 * sin(2 * pi * n / 32)).to_bytes(2, "little", signed=True) for n in range(32))


class RuleWorker:
    """Speaks one long turn after a call's second chunk, shows that it lives, and notes everything it is told."""

    def __init__(self, hub: LocalHub) -> None:
        self.id = WorkerId("w1")
        self.received: list[AnyMessage] = []
        self._bus = hub.endpoint(self.id)
        self._seq: dict[str, int] = {}
        self._opened: dict[str, CallOpened] = {}
        self._news = asyncio.Condition()
        self._beating: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self._bus.start(self._take)
        self._beat()

    async def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        await self._bus.close()

    def use_tool(self, call: CallId, name: str, **arguments: str) -> None:
        """Have something done to a call."""
        self._say(call, lambda call, epoch, seq: ToolCall(call, epoch, seq, name, arguments))

    def tell(self, call: CallId, text: str) -> None:
        """The words of the turn that is being said."""
        turn = TurnId(1)
        self._say(call, lambda call, epoch, seq: Transcript(call, epoch, seq, Voice.AGENT, text, turn))

    async def until(self, true: Callable[[list[AnyMessage]], bool]) -> None:
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: true(self.received))

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.received if isinstance(message, kind)]

    def _take(self, message: AnyMessage, _lag_s: float) -> None:
        self.received.append(message)
        if isinstance(message, CallOpened):
            self._opened[message.call] = message
            self._seq[message.call] = 0
        elif isinstance(message, AudioChunk):
            past = self._opened[message.call].past
            next_turn = TurnId(1 if past is None else past.turn + 1)
            speak = message.index == 1
            kind, turn = (DecisionKind.SPEAK, next_turn) if speak else (DecisionKind.LISTEN, TurnId(0))
            self._say(message.call, lambda call, epoch, seq: Decision(call, epoch, seq, message.index, kind, turn))
            if speak:
                self._speak(message.call, turn)
        asyncio.get_running_loop().create_task(self._tell())

    def _speak(self, call: CallId, turn: TurnId) -> None:
        for at in range(0, SPEECH_SAMPLES, 16_000):
            self._say(call, partial(_speech, self._opened[call].codec, turn, at))
        self._say(call, lambda call, epoch, seq: TurnDone(call, epoch, seq, turn, SPEECH_SAMPLES))

    def _say(self, call: CallId, make: Callable[[CallId, int, int], DownMessage]) -> None:
        opened, seq = self._opened[call], self._seq[call]
        self._seq[call] = seq + 1
        self._bus.send(opened.gateway, make(call, opened.epoch, seq))

    def _beat(self) -> None:
        for gateway in {opened.gateway for opened in self._opened.values()}:
            self._bus.send(gateway, WorkerBeat(CallId(""), 0, 0, self.id))
        self._beating = asyncio.get_running_loop().call_later(BEAT_S / 2, self._beat)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _speech(codec: Codec, turn: TurnId, at: int, call: CallId, epoch: int, seq: int) -> SpeechChunk:
    """One octet over and over on telephones; a tone of 500 Hz where a voice codec would take that for nothing."""
    payload = b"\x22" * 16_000 if codec.bytes_per_sample == 1 else _TONE_500_HZ * 500
    return SpeechChunk(call, epoch, seq, turn, at, payload, f"word{at}")


class Phone:
    """One caller, as Twilio would connect it."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, call_sid: str) -> None:
        self.call_sid = call_sid
        self.stream_sid = "MZ" + call_sid
        self.base_url = base_url
        self.token = ""
        self.stream_url = ""
        self.sent_frames = 0
        self._http = http
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    @property
    def socket(self) -> aiohttp.ClientWebSocketResponse:
        assert self._socket is not None
        return self._socket

    def params(self) -> dict[str, str]:
        return {"CallSid": self.call_sid, "AccountSid": "AC1", "From": "+15550100", "To": "+15550199"}

    async def post(self, path: str, signature: str | None = None, **fields: str) -> tuple[int, str]:
        url, params = self.base_url + path, {**self.params(), **fields}
        signature = signature or RequestValidator(AUTH_TOKEN).compute_signature(url, params)
        async with self._http.post(url, data=params, headers={"X-Twilio-Signature": signature}) as response:
            return response.status, await response.text()

    async def dial(self) -> None:
        """Webhook, upgrade, connected, start."""
        status, twiml = await self.post("/twilio/voice")
        assert status == 200, twiml
        await self.follow(twiml)

    async def follow(self, twiml: str) -> None:
        """Open the stream that an answer asks for."""
        stream = ET.fromstring(twiml).find("./Connect/Stream")
        assert stream is not None, twiml
        self.stream_url = stream.get("url") or ""
        self.token = stream.find("Parameter").get("value") or ""  # type: ignore[union-attr]
        await self.open_stream()
        await self.say_start()

    async def open_stream(self, signature: str | None = None) -> None:
        signature = signature or RequestValidator(AUTH_TOKEN).compute_signature(self.stream_url, {})
        self._socket = await self._http.ws_connect(self.stream_url, headers={"X-Twilio-Signature": signature})

    async def say_start(self, token: str | None = None) -> None:
        await self.send("connected", protocol="Call", version="1.0.0")
        await self.send(
            "start",
            start={
                "accountSid": "AC1",
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": self.token if token is None else token},
            },
        )

    async def send(self, event: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"event": event, "streamSid": self.stream_sid, **fields}))

    async def speak(self, audio: bytes) -> None:
        """Send audio in 20 ms packets, as fast as the socket takes them."""
        for at in range(0, len(audio), 160):
            payload = base64.b64encode(audio[at : at + 160]).decode()
            timestamp = str(20 * self.sent_frames)
            await self.send("media", media={"track": "inbound", "timestamp": timestamp, "payload": payload})
            self.sent_frames += 1

    async def hear(self, event: str) -> dict[str, Any]:
        """The next message of this kind; others are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, message
                body: dict[str, Any] = json.loads(message.data)
                if body["event"] == event:
                    return body

    async def closed(self) -> int | None:
        """Wait until the gateway closes the stream; the close code."""
        async with asyncio.timeout(WAIT_S):
            while not (await self.socket.receive()).type.name.startswith("CLOS"):
                pass
        return self.socket.close_code

    async def record(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self._http.get(f"{self.base_url}/api/calls/{self.call_sid}", headers=headers) as response:
            body: dict[str, Any] = await response.json() if response.status == 200 else {}
            return body


class Line:
    """A gateway, its worker, and as many phones as a test wants."""

    def __init__(self, gateway: Gateway, worker: RuleWorker, hub: LocalHub, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.worker = worker
        self.hub = hub
        self.http = http

    def phone(self, call_sid: str = "CA1") -> Phone:
        return Phone(self.http, self.gateway.base_url, call_sid)

    async def metric(self, name: str) -> float:
        async with self.http.get(self.gateway.base_url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@asynccontextmanager
async def line(
    slots: int = 8, sip: SipConfig | None = None, webrtc: WebRtcConfig | None = None, **settings: Any
) -> AsyncIterator[Line]:
    hub = LocalHub()
    worker = RuleWorker(hub)
    await worker.start()
    await hub.placement.advertise(WorkerAdvert(worker.id, "rule", slots, 400, 400), ttl_s=60)
    config = GatewayConfig(
        port=0,
        gateway_id="g1",
        twilio_auth_token=SecretStr(AUTH_TOKEN),
        api_token=SecretStr(API_TOKEN),
        drain_limit_s=WAIT_S,
        **settings,
    )
    gateway = Gateway(config, *hub.open(GatewayId("g1")), sip=sip, webrtc=webrtc)
    await gateway.start()
    async with aiohttp.ClientSession() as http:
        try:
            yield Line(gateway, worker, hub, http)
        finally:
            await gateway.stop()
            await worker.close()


def cancelled(messages: list[AnyMessage]) -> bool:
    return any(isinstance(message, TurnCancelled) for message in messages)
