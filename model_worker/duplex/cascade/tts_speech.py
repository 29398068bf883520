"""A voice by any server of OpenAI's ``POST /v1/audio/speech``: vLLM-Omni, Speaches, Kokoro's servers, OpenAI itself.

Asked for as raw sound that is sent as it is made. ``stream_format: audio`` is said although it is OpenAI's default:
vLLM-Omni answers a stream with server-sent events without it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from model_worker.answers.openai_chat import IDLE_LIMIT_S, RETRY_S
from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoiceWish
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.cascade.tts_requests import DEFAULT_LIMITS, Limits, Speech, SpeechError
from model_worker.duplex.remote.effects import SessionFault

PATH = "/audio/speech"

_STATUS_FAULTS = {
    401: SessionFault.REFUSED,
    403: SessionFault.REFUSED,
    404: SessionFault.REFUSED,  # of a model or a voice, too
    429: SessionFault.FULL,
    502: SessionFault.UNREACHABLE,
    503: SessionFault.FULL,
    504: SessionFault.UNREACHABLE,
}
_REQUESTS_OWN = frozenset({400, 413, 422})  # of one text rather than of the server
_RAW = frozenset({"audio/pcm", "audio/l16", "application/octet-stream"})


class SpeechServer:
    """A ``VoiceServer``. ``settings.url`` is the server's address with its version (``http://127.0.0.1:8880/v1``).

    Raises ValueError for settings of another kind.
    """

    def __init__(
        self, settings: PartSettings, limits: Limits = DEFAULT_LIMITS, chance: Callable[[], float] = random.random
    ) -> None:
        settings.expect_scheme("http", "https")
        if not settings.model:
            raise ValueError("name the model: it is a part of every request")
        url = URL(settings.url)
        self._url = url.with_path(url.path.rstrip("/").removesuffix(PATH) + PATH, keep_query=True)
        self._settings = settings
        self._limits = limits
        self._chance = chance
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            headers=[("Accept", "audio/pcm"), ("Accept-Encoding", "identity"), *self._settings.headers],
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_LIMIT_S),  # a part per call is the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s),
        ) as self._session:
            yield

    async def say(self, text: str, wish: VoiceWish, speech: Speech) -> None:
        response = await self._post(text, wish)
        try:
            speech.begins(_rate_hz(response))
            while received := await response.content.readany():
                speech.take(received)
        except aiohttp.ClientError as error:
            raise SpeechError(SessionFault.LOST, type(error).__name__) from None
        finally:
            response.close()  # of no effect on a connection that was given back after a whole reply

    async def _post(self, text: str, wish: VoiceWish) -> aiohttp.ClientResponse:
        """Ask, a second time if the connection failed. Raises SpeechError for all but sound."""
        request = {
            "model": self._settings.model,
            "input": text,
            "response_format": "pcm",
            "stream_format": "audio",
        }
        if voice := wish.name or self._settings.voice:
            request["voice"] = voice
        try:
            try:
                response = await self._session.post(self._url, json=request, allow_redirects=False)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(RETRY_S * (0.5 + self._chance()))
                response = await self._session.post(self._url, json=request, allow_redirects=False)
        except aiohttp.ClientConnectionError as error:
            raise SpeechError(SessionFault.UNREACHABLE, type(error).__name__) from None
        except aiohttp.ClientError as error:
            raise SpeechError(SessionFault.GARBAGE, type(error).__name__) from None
        status, kind = response.status, response.content_type
        if status == 200 and kind in _RAW:
            return response
        response.close()
        if status == 200:
            raise SpeechError(SessionFault.GARBAGE, "a reply of another type than raw sound")
        usual = SessionFault.SERVER_ERROR if status >= 500 or status in _REQUESTS_OWN else SessionFault.GARBAGE
        fault = _STATUS_FAULTS.get(status, usual)
        raise SpeechError(fault, f"status {status}", servers=status not in _REQUESTS_OWN)


def _rate_hz(response: aiohttp.ClientResponse) -> int:
    """As the type says (RFC 2586 has ``rate`` for L16), else that of OpenAI's voices. Raises SpeechError."""
    rate = aiohttp.helpers.parse_mimetype(response.headers.get("Content-Type", "")).parameters.get("rate", "")
    if not rate:
        return OUTPUT_RATE_HZ
    if not rate.isascii() or not rate.isdigit():
        raise SpeechError(SessionFault.GARBAGE, "a rate that is no number")
    return int(rate[:9])
