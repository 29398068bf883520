"""A small application behind Twilio that takes nothing on trust: what a caller is tested against."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from twilio.request_validator import RequestValidator

AUTH_TOKEN = "auth-token-of-the-tests"
API_TOKEN = "api-token-of-the-tests"
TONE_MS = b"\x10" * 8
FRAME_FIELDS = {"track", "chunk", "timestamp", "payload"}


@dataclass
class Application:
    """Greets with 0.1 s of tone and answers every utterance and key with as much; records what it saw.

    ``greeting_ms`` longer than that can be talked over: it is cleared when the caller is heard.
    """

    base_url: str = ""
    greeting_ms: int = 100
    voice_twiml: str | None = None
    after_twiml: str = "<Response><Hangup/></Response>"
    hang_up_after_answers: int | None = None
    api_token: str = API_TOKEN
    records_until_ended: int = 1
    received: list[dict[str, Any]] = field(default_factory=list)
    webhooks: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    answers: int = 0
    _loud: int = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/twilio/voice", self._voice),
            web.post("/twilio/after", self._after),
            web.get("/twilio/media", self._media),
            web.get("/api/calls/{call}", self._record),
        ]

    @property
    def stream_twiml(self) -> str:
        stream = f'<Stream url="ws{self.base_url[4:]}/twilio/media"><Parameter name="token" value="t1"/></Stream>'
        return f'<Response><Connect action="/twilio/after">{stream}</Connect></Response>'

    async def _voice(self, request: web.Request) -> web.Response:
        await self._webhook(request)
        return web.Response(text=self.voice_twiml or self.stream_twiml, content_type="text/xml")

    async def _after(self, request: web.Request) -> web.Response:
        await self._webhook(request)
        return web.Response(text=self.after_twiml, content_type="text/xml")

    async def _webhook(self, request: web.Request) -> None:
        params = {key: str(value) for key, value in (await request.post()).items()}
        self._check_signature(request, self.base_url + request.path, params)
        wanted = {"CallSid", "AccountSid", "From", "To", "Direction", "CallStatus", "ApiVersion"}
        if set(params) != wanted:
            self.faults.append(f"webhook with {sorted(params)}")
        self.webhooks.append((request.path, params["CallStatus"]))

    def _check_signature(self, request: web.Request, url: str, params: dict[str, str]) -> None:
        if not RequestValidator(AUTH_TOKEN).validate(url, params, request.headers.get("X-Twilio-Signature", "")):
            raise web.HTTPForbidden

    async def _record(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.api_token}":
            raise web.HTTPUnauthorized
        self.records_until_ended -= 1
        state = "live" if self.records_until_ended > 0 else "ended"
        turn = {"turn": 1, "generated_samples": 800, "heard_samples": 800, "end": "played"}
        words = {"voice": "agent", "text": "beep beep", "heard": "beep", "cut": "beep", "at_s": 0.1}
        return web.json_response(
            {"state": state, "decisions": [{"kind": "listen"}], "turns": [turn, {}], "transcript": [words, {}]}
        )

    async def _media(self, request: web.Request) -> web.WebSocketResponse:
        self._check_signature(request, "ws" + self.base_url[4:] + "/twilio/media", {})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            text = json.loads(message.data)
            self._check(text)
            self.received.append(text)
            await self._answer(socket, text)
            if self.answers == self.hang_up_after_answers:
                break
        await socket.close()
        return socket

    def _check(self, text: dict[str, Any]) -> None:
        """Every message is as Twilio would have sent it, and the 20 ms grid has no hole."""
        event, numbered = text["event"], len(self.received)
        expected = {"event", event, "sequenceNumber", "streamSid"}
        if event == "connected":
            expected = {"event", "protocol", "version"}
        if set(text) != expected or (event != "connected" and text["sequenceNumber"] != str(numbered)):
            self.faults.append(f"message {numbered} is {text}")
        if event == "media":
            media, frames = text["media"], sum(before["event"] == "media" for before in self.received)
            right = (str(frames + 1), str(20 * frames), "inbound")
            if set(media) != FRAME_FIELDS or (media["chunk"], media["timestamp"], media["track"]) != right:
                self.faults.append(f"frame {frames} is {media}")
            if len(b64decode(media["payload"])) != 160:
                self.faults.append(f"frame {frames} is not 20 ms")

    async def _answer(self, socket: web.WebSocketResponse, text: dict[str, Any]) -> None:
        if text["event"] == "start":
            if text["start"]["customParameters"] != {"token": "t1"}:
                self.faults.append("no token")
            await self._say(socket, text["streamSid"], self.greeting_ms)
        elif text["event"] == "dtmf":
            await self._say(socket, text["streamSid"])
            self.answers += 1
        elif text["event"] == "media":
            loud = b64decode(text["media"]["payload"]) != b"\xff" * 160
            if loud and self._loud == 0 and self.greeting_ms > 100:
                await socket.send_str(json.dumps({"event": "clear", "streamSid": text["streamSid"]}))
            self._loud += loud
            if self._loud and not loud:
                self._loud = 0
                await self._say(socket, text["streamSid"])
                self.answers += 1

    async def _say(self, socket: web.WebSocketResponse, stream_sid: str, ms: int = 100) -> None:
        payload = b64encode(TONE_MS * ms).decode()
        await socket.send_str(json.dumps({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}}))
        mark = {"event": "mark", "streamSid": stream_sid, "mark": {"name": f"said {self.answers}"}}
        await socket.send_str(json.dumps(mark))

    def events(self) -> list[str]:
        """The messages that are not media, in order."""
        return [text["event"] for text in self.received if text["event"] != "media"]


@asynccontextmanager
async def serving(application: Application) -> AsyncIterator[Application]:
    """Serve it on a free port of loopback."""
    app = web.Application()
    app.add_routes(application.routes())
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    assert isinstance(site._server, asyncio.Server)
    application.base_url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield application
    finally:
        await runner.cleanup()
