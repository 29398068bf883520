"""A voice server of the Wyoming protocol, by the codec of the published package."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Self

from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.tts import Synthesize

from tests.peers.base import WAIT_S
from tests.peers.sound import tone

SECOND_PER_WORD = 0.2
PIECE_SAMPLES = 1_024


class Turn(Enum):
    """What becomes of a request, instead of all of its sound."""

    HOLD = auto()
    """Nothing, until the client is gone."""
    STALL = auto()
    """Half of the sound, and nothing more until the client is gone."""
    CUT = auto()
    """Half of the sound, and the connection is closed."""
    ERROR = auto()
    GARBAGE = auto()
    STEREO = auto()
    BYTES = auto()
    """Sound of 8 bit."""
    SILENT = auto()
    ODD_RATE = auto()


class WyomingPeer:
    """Use it as a context. ``turns``: what becomes of the first requests; None is all of the sound.

    ``asked``: what was to be said. ``gone``: how many clients closed before the end.
    """

    def __init__(self, rate_hz: int = 22_050, turns: Iterable[Turn | None] = ()) -> None:
        self.rate_hz = rate_hz
        self.asked: list[Synthesize] = []
        self.faults: list[str] = []
        self.gone = 0
        self._turns = iter(turns)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._change = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="wyoming-peer")

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_for(self, condition: Callable[[], bool], limit_s: float = WAIT_S) -> bool:
        with self._change:
            return self._change.wait_for(condition, limit_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, sock=self._listener)
        async with server:
            await self._stop.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (event := await async_read_event(reader)) is not None:
                if not Synthesize.is_type(event.type):
                    self.faults.append(event.type)
                    continue
                self.asked.append(Synthesize.from_event(event))
                self._changed()
                await self._say(self.asked[-1], next(self._turns, None), reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
        finally:
            writer.close()

    async def _say(
        self, asked: Synthesize, turn: Turn | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if turn is Turn.ERROR:
            await async_write_event(Error("this text is for nobody's log").event(), writer)
            return
        if turn is Turn.GARBAGE:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        if turn is Turn.HOLD:
            await self._until_gone(reader)
            return
        rate_hz = 11_111 if turn is Turn.ODD_RATE else self.rate_hz
        width, channels = 1 if turn is Turn.BYTES else 2, 2 if turn is Turn.STEREO else 1
        samples = 0 if turn is Turn.SILENT else round(len(asked.text.split()) * SECOND_PER_WORD * rate_hz)
        sound = tone(len(self.asked) - 1, samples, rate_hz).astype("<i2").tobytes()
        if turn in (Turn.STALL, Turn.CUT):
            sound = sound[: len(sound) // 4 * 2]
        # Written out: the package's own classes for sound import what Python 3.13 has not.
        form = {"rate": rate_hz, "width": width, "channels": channels}
        await async_write_event(Event("audio-start", {**form, "timestamp": 0}), writer)
        for at in range(0, len(sound), 2 * PIECE_SAMPLES):
            await async_write_event(Event("audio-chunk", form, sound[at : at + 2 * PIECE_SAMPLES]), writer)
        if turn is Turn.CUT:
            writer.close()
        elif turn is Turn.STALL:
            await self._until_gone(reader)
        else:
            await async_write_event(Event("audio-stop"), writer)

    async def _until_gone(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        self.gone += 1
        self._changed()

    def _changed(self) -> None:
        with self._change:
            self._change.notify_all()
