"""A voice by a Wyoming server (Piper and its kin), over TCP: ``synthesize``, and sound until ``audio-stop``.

The protocol knows no keys and no TLS: such a server stands beside the worker, or behind something that has both. It
has no word for "stop" either; closing the connection is all that can be done.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from yarl import URL

from model_worker.duplex.cascade import wyoming
from model_worker.duplex.cascade.seam import VoiceWish
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.cascade.tts_requests import DEFAULT_LIMITS, Limits, Speech, SpeechError
from model_worker.duplex.cascade.wyoming import Event, WyomingError
from model_worker.duplex.remote.effects import SessionFault

PORT = 10_200  # of wyoming-piper, where the URL names none
READ_BYTES = 64 * 1024


class _Format(msgspec.Struct):
    """Of ``audio-start`` and ``audio-chunk``; ``width`` is in bytes."""

    rate: int
    width: int
    channels: int


class WyomingServer:
    """A ``VoiceServer``. Raises ValueError for settings of another kind."""

    def __init__(self, settings: PartSettings, limits: Limits = DEFAULT_LIMITS) -> None:
        settings.expect_scheme("tcp")
        if settings.key is not None:
            raise ValueError("a key cannot be shown in this protocol")
        url = URL(settings.url)
        self._host, self._port = url.host or "", url.port or PORT
        self._settings = settings
        self._limits = limits

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Every part has a connection of its own."""
        yield

    async def say(self, text: str, wish: VoiceWish, speech: Speech) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:  # TimeoutError, too
            raise SpeechError(SessionFault.UNREACHABLE, type(error).__name__) from None
        try:
            writer.write(wyoming.write(Event("synthesize", {"text": text, **self._voice(wish)})))
            await self._listen(reader, speech)
        finally:
            writer.close()

    def _voice(self, wish: VoiceWish) -> dict[str, object]:
        """By name, else by the line's language: a server with one voice takes that for either."""
        if name := wish.name or self._settings.voice:
            return {"voice": {"name": name}}
        return {"voice": {"language": wish.language}}

    async def _listen(self, reader: asyncio.StreamReader, speech: Speech) -> None:
        events = wyoming.Events()
        while received := await reader.read(READ_BYTES):
            try:
                told = events.feed(received)
            except WyomingError as error:
                raise SpeechError(SessionFault.GARBAGE, str(error)) from None
            for event in told:
                if _take(event, speech):
                    return
        raise SpeechError(SessionFault.LOST, "closed before the end of the sound")


def _take(event: Event, speech: Speech) -> bool:
    """Whether it was the last. Raises SpeechError."""
    match event.type:
        case "audio-start":
            speech.begins(_rate_hz(event))
        case "audio-chunk":
            speech.begins(_rate_hz(event))
            speech.take(event.payload)
        case "audio-stop":
            return True
        case "error":
            raise SpeechError(SessionFault.SERVER_ERROR, "the server reports an error")
    return False  # other types are of no use here, and newer servers have more of them


def _rate_hz(event: Event) -> int:
    try:
        told = msgspec.convert(event.data, _Format)
    except msgspec.ValidationError:
        raise SpeechError(SessionFault.GARBAGE, "sound of no format") from None
    if (told.width, told.channels) != (2, 1):
        raise SpeechError(SessionFault.GARBAGE, f"sound of {told.channels} channels, {8 * told.width} bit")
    return told.rate
