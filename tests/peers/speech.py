"""A server of ``POST /v1/audio/speech``, as OpenAI's reference has it: raw sound, sent as it is made.

What it says is the tone of the text's place among all that it was asked (``tests.peers.sound``), ``SECOND_PER_WORD``
for each word.
"""

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, get_type_hints

import msgspec
from aiohttp import web
from openai.types.audio.speech_create_params import SpeechCreateParams

from tests.engines.subject import Script
from tests.peers.base import PeerServer, PeerSession
from tests.peers.sound import tone

MODEL = "mouth-1b"
VOICES = ("alloy", "nova")
RATE_HZ = 24_000
SECOND_PER_WORD = 0.2
PIECE_BYTES = 4_801  # an odd number: samples are cut in two

_FIELDS = set(get_type_hints(SpeechCreateParams))
_WANTED = {"model", "input", "voice", "response_format", "stream_format"}


class Turn(Enum):
    """What becomes of a request, instead of all of its sound."""

    HOLD = auto()
    """No answer before ``release``."""
    STALL = auto()
    """Half of the sound; nothing more before ``release``."""
    CUT = auto()
    """Half of the sound, and the connection is dropped."""
    JSON = auto()
    WAV = auto()
    SILENT = auto()
    """A whole reply without sound."""
    ENDLESS = auto()
    SLOWER_RATE = auto()
    """Sound at 16 kHz, as the type says."""
    ODD_RATE = auto()


class SpeechPeer(PeerServer):
    """``turns``: what becomes of the first requests; a number is an HTTP status, None all of the sound.

    ``asked``: the requests, as they came. ``gone``: how many clients closed before the end.
    """

    path = "/nothing-is-here"

    def __init__(self, script: Script = Script(), turns: Iterable[Turn | int | None] = ()) -> None:  # noqa: B008  # frozen
        super().__init__(script)
        self.asked: list[dict[str, Any]] = []
        self.gone = 0
        self._turns = iter(turns)

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v1/audio/speech", self._answer)]

    async def serve(self, session: PeerSession) -> None:
        session.fault("a WebSocket")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.script.refuses_key or not self.authorized(request):
            if not self.script.refuses_key:
                self.faults.append("no key, or a wrong one")
            return web.Response(status=401)
        if self.script.full:
            return web.Response(status=503)
        asked = msgspec.json.decode(await request.read())
        problem = _problem(request, asked)
        if problem:
            self.faults.append(problem)
            return web.Response(status=400)
        self.asked.append(asked)
        number = len(self.asked) - 1
        self.changed()
        try:
            return await self._reply(request, number, asked["input"], next(self._turns, None))
        except ConnectionError:
            self._leave()
            raise

    async def _reply(self, request: web.Request, number: int, text: str, turn: Turn | int | None) -> web.StreamResponse:
        if isinstance(turn, int):
            headers = {"Location": "/v1/elsewhere"} if 300 <= turn < 400 else {}
            return web.json_response({"error": "this text is for nobody's log"}, status=turn, headers=headers)
        if turn is Turn.JSON:
            return web.json_response({"audio": ""})
        if turn is Turn.HOLD:
            await self._hold(request)
        rates = {Turn.SLOWER_RATE: 16_000, Turn.ODD_RATE: 12_345}
        rate_hz = rates.get(turn, RATE_HZ) if turn is not None else RATE_HZ
        kinds = {Turn.WAV: "audio/wav"} | dict.fromkeys(rates, f"audio/pcm; rate={rate_hz}")
        kind = kinds.get(turn, "audio/pcm") if turn is not None else "audio/pcm"
        samples = round(len(text.split()) * SECOND_PER_WORD * rate_hz)
        sound = tone(number, samples, rate_hz).astype("<i2").tobytes()
        if turn is Turn.SILENT:
            sound = b""
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        half = len(sound) // 2 if turn in (Turn.STALL, Turn.CUT) else len(sound)
        for at in range(0, half, PIECE_BYTES):
            await response.write(sound[at : min(half, at + PIECE_BYTES)])
        while turn is Turn.ENDLESS:
            await response.write(bytes(96_000))
            await asyncio.sleep(0)
        if turn is Turn.CUT and request.transport is not None:
            request.transport.close()
            return response
        if turn is Turn.STALL:
            await self._hold(request)
            await response.write(sound[half:])
        await response.write_eof()
        return response

    async def _hold(self, request: web.Request) -> None:
        while not self._released.is_set():
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError
            try:
                async with asyncio.timeout(0.01):
                    await self._released.wait()
            except TimeoutError:
                continue

    def _leave(self) -> None:
        self.gone += 1
        self.changed()


def _problem(request: web.Request, asked: dict[str, Any]) -> str:
    """What the reference does not allow, or this client does not mean to send; empty where there is nothing."""
    if not set(asked) <= _WANTED & _FIELDS or not {"model", "input"} <= set(asked):
        return f"fields {sorted(asked)}"
    if asked["model"] != MODEL or asked.get("response_format") != "pcm" or asked.get("stream_format") != "audio":
        return "another model, or another format"
    if not asked["input"].strip() or len(asked["input"]) > 4_096:
        return "a text that is empty, or longer than the reference allows"
    if asked.get("voice", VOICES[0]) not in VOICES:
        return "a voice that nobody has"
    return "" if request.content_type == "application/json" else f"a body of {request.content_type}"
