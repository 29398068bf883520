"""A server of ``POST /v1/audio/transcriptions`` as OpenAI's reference has it, and ``openai.types.audio``.

It knows an utterance that it was sent before, and which has grown since, by its begin (``Ear``).
"""

import asyncio
import io
import wave
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import get_type_hints

import numpy as np
from aiohttp import BodyPartReader, web
from openai.types.audio import Transcription
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsNonStreaming

from model_worker.seams import Pcm
from tests.engines.subject import Script
from tests.peers.base import PeerServer, PeerSession
from tests.peers.transcription import MODEL, QUIET, RATE_HZ, SENTENCES, Ear

PACE_S = 0.01  # of looking whether a client is still there
_FIELDS = set(get_type_hints(TranscriptionCreateParamsNonStreaming))
_WANTED = {"file", "model", "language", "response_format"}


class Turn(Enum):
    """What becomes of a request, instead of a proper reply."""

    HOLD = auto()
    """It is answered after ``release``, if the client is still there."""
    CUT = auto()
    """The connection is dropped before the reply."""
    HALF = auto()
    """The connection is dropped in the middle of the reply."""
    STALL = auto()
    """Half of a reply, and the rest after ``release``."""
    GARBAGE = auto()
    ENDLESS = auto()
    """A reply that goes on and on."""


@dataclass
class Asked:
    """One request, as it came."""

    fields: dict[str, str]
    pcm: Pcm
    gone: bool = False
    """The client did not wait for the reply."""


class _NotAllowedError(Exception):
    pass


class TranscriptionsEar(PeerServer):
    """``turns``: what becomes of the first requests; a number is an HTTP status, None a proper reply."""

    path = "/nothing-is-here"

    def __init__(
        self,
        script: Script = QUIET,
        sentences: Sequence[str] = SENTENCES,
        turns: Iterable[Turn | int | None] = (),
    ) -> None:
        super().__init__(script)
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.connections: set[object] = set()
        """Addresses that requests came from."""
        self._under_way = 0
        self._ear = Ear(sentences)
        self._lengths: dict[bytes, int] = {}
        self._turns = iter(turns)

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v1/audio/transcriptions", self._answer)]

    async def serve(self, session: PeerSession) -> None:
        session.fault("a WebSocket")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.script.refuses_key:
            return web.Response(status=401)
        if not self.authorized(request):
            self.faults.append("no key, or a wrong one")
            return web.Response(status=401)
        if self.script.full:
            return web.Response(status=429)
        try:
            asked = await _checked(request)
        except _NotAllowedError as error:
            self.faults.append(str(error))
            return web.Response(status=400)
        self.asked.append(asked)
        if request.transport is not None:
            self.connections.add(request.transport.get_extra_info("peername"))
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        self.changed()
        try:
            return await self._reply(request, asked)
        finally:
            self._under_way -= 1
            self.changed()

    async def _reply(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        turn = next(self._turns, None)
        body = Transcription(text=self._text(asked.pcm)).model_dump_json().encode()
        if isinstance(turn, int):
            headers = {"Location": "/v1/elsewhere"} if 300 <= turn < 400 else {}
            return web.json_response({"error": "this text is for nobody's log"}, status=turn, headers=headers)
        if turn is Turn.GARBAGE:
            return web.json_response({"words": 7})
        if turn is Turn.HOLD:
            await self._hold(request, asked)
        if turn is None or turn is Turn.HOLD:
            return web.Response(body=body, content_type="application/json")
        if turn is not Turn.CUT:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            if turn is Turn.ENDLESS:
                while not _is_gone(request):
                    await response.write(b" " * 65_536)
                    await asyncio.sleep(0)
                asked.gone = True
                return response
            if turn is Turn.STALL:
                await self._hold(request, asked)
        if request.transport is not None:
            request.transport.close()
        return web.Response()  # which finds no connection to go over

    async def _hold(self, request: web.Request, asked: Asked) -> None:
        while not self._released.is_set() and not _is_gone(request):
            with suppress(TimeoutError):
                async with asyncio.timeout(PACE_S):
                    await self._released.wait()
        asked.gone = _is_gone(request)
        self.changed()

    def _text(self, pcm: Pcm) -> str:
        """The words of a recording, which may be followed by a longer one of the same utterance."""
        begin = pcm[: RATE_HZ // 10].tobytes()
        if len(pcm) < self._lengths.get(begin, 0):
            self._ear.over(pcm)  # another one that sounds the same
        self._lengths[begin] = len(pcm)
        return " ".join(self._ear.words(pcm))


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _checked(request: web.Request) -> Asked:
    """Raises _NotAllowedError for what the reference does not allow, or this client does not mean to send."""
    if request.headers.get("Accept") != "application/json" or request.headers.get("Cookie"):
        raise _NotAllowedError("headers that no client of ours sends")
    if not request.content_type == "multipart/form-data":
        raise _NotAllowedError(f"a body of {request.content_type}")
    fields: dict[str, str] = {}
    pcm: Pcm | None = None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None or part.name in fields:
            raise _NotAllowedError("a part that is none, or twice the same")
        if part.name == "file":
            if not (part.filename or "").endswith(".wav") or part.headers.get("Content-Type") != "audio/wav":
                raise _NotAllowedError(f"a file {part.filename} of {part.headers.get('Content-Type')}")
            file = bytearray()
            while chunk := await part.read_chunk():  # aiohttp's own limit of 1 MiB is for what is read at once
                file += chunk
            pcm = _pcm_of(bytes(file))
            fields[part.name] = part.filename or ""
        else:
            fields[part.name] = await part.text()
    if pcm is None or not set(fields) <= _WANTED & _FIELDS or not {"file", "model"} <= set(fields):
        raise _NotAllowedError(f"fields {sorted(fields)}")
    if fields["model"] != MODEL or fields.get("response_format") != "json":
        raise _NotAllowedError("another model, or another format")
    language = fields.get("language", "en")
    if not (language.isalpha() and language.islower() and 2 <= len(language) <= 3):
        raise _NotAllowedError(f"language {language!r}, expected ISO 639")
    return Asked(fields, pcm)


def _pcm_of(file: bytes) -> Pcm:
    try:
        with wave.open(io.BytesIO(file)) as reader:
            shape = (reader.getnchannels(), reader.getsampwidth(), reader.getframerate())
            count, octets = reader.getnframes(), reader.readframes(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise _NotAllowedError(f"no WAV file: {error}") from None
    if shape != (1, 2, RATE_HZ) or len(octets) != 2 * count or not count:
        raise _NotAllowedError(f"a recording of {shape}, {count} samples")
    return np.frombuffer(octets, "<i2").astype(np.int16)
