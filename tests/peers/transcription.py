"""A server of vLLM's ``/v1/realtime`` (``vllm/entrypoints/speech_to_text/realtime``, 0.32), and what its like share.

What is recognized is a script: the n-th utterance is the n-th of ``sentences``, a word for each ``WORD_S`` of sound.
Time is the sound that was heard. The server is stricter than the published one, which passes over what it does not
know and forgives sound that no generation waits for.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any

import numpy as np
from aiohttp import web

from model_worker.seams import Pcm
from tests.engines.subject import Reply, Script
from tests.peers.base import Cue, PeerServer, PeerSession

MODEL = "ear-4b"
SENTENCES = ("I would like a table for two.", "At eight, please.", "Thank you.")
QUIET = Script(replies=())
RATE_HZ = 16_000
LEVEL = 500
"""Of int16: what is louder is speech."""
WORD_S = 0.25

_BLOCK = RATE_HZ // 50
_KEYS = {
    "session.update": {"type", "model"},
    "input_audio_buffer.append": {"type", "audio"},
    "input_audio_buffer.commit": {"type", "final"},
}


class Fate(Enum):
    """What becomes of an utterance's final words, instead of being told."""

    HOLD = auto()
    """They come after ``PeerServer.release``."""
    CUT = auto()
    """The connection is dropped without a word."""
    GARBAGE = auto()
    ERROR = auto()
    """The server says that it failed."""


class Ear:
    """What utterances are recognized as; the last sentence stays.

    An utterance is known by its first loud sound, so that one that is heard again from its begin, on another
    connection, is the same one until it is ``over``.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self._sentences = sentences
        self._begun = 0
        self._open: dict[bytes, str] = {}

    def words(self, pcm: Pcm) -> list[str]:
        """Of an utterance so far, int16 at 16 kHz."""
        words = self._sentence(pcm).split()
        return words[: int(_loud_s(pcm) / WORD_S)]

    def over(self, pcm: Pcm) -> str:
        """All words of an utterance; empty where nothing in it was loud. The next one is another, even if it sounds
        the same."""
        sentence = self._sentence(pcm)
        self._open.pop(_mark(pcm), None)
        return sentence

    def _sentence(self, pcm: Pcm) -> str:
        mark = _mark(pcm)
        if not mark:
            return ""
        if mark not in self._open:
            self._open[mark] = self._sentences[min(self._begun, len(self._sentences) - 1)]
            self._begun += 1
        return self._open[mark]


def _mark(pcm: Pcm) -> bytes:
    """The first loud 20 ms; empty where there are none yet."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LEVEL)
    first = pcm[loud[0] : loud[0] + _BLOCK] if len(loud) else pcm[:0]
    return first.tobytes() if len(first) == _BLOCK else b""


def _loud_s(pcm: Pcm) -> float:
    whole = pcm[: len(pcm) // _BLOCK * _BLOCK].astype(np.int32).reshape(-1, _BLOCK)
    return float((np.abs(whole).max(axis=1) > LEVEL).sum()) * _BLOCK / RATE_HZ if len(whole) else 0.0


def said(seconds: float, number: int = 0) -> Pcm:
    """An utterance that is unlike those of other numbers; int16 at 16 kHz."""
    count = round(seconds * RATE_HZ)
    return np.random.default_rng(number).integers(-8_000, 8_000, count).astype(np.int16)


class EarSession(PeerSession):
    """``pcm``: of the utterance at hand, None where there is none."""

    def __init__(self, peer: PeerServer, number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.pcm: Pcm | None = None
        self.told_words = 0
        self.validated = False

    def hear(self, octets: bytes) -> list[Reply | Cue]:
        """More of the utterance; what the script wants by then."""
        assert self.pcm is not None, "checked before"
        if not octets or len(octets) % 2:
            self.fault(f"sound of {len(octets)} bytes")
            return []
        pcm = np.frombuffer(octets, "<i2").astype(np.int16)
        self.pcm = np.concatenate((self.pcm, pcm))
        return list(self.listen(len(pcm) / RATE_HZ))


class EarServer(PeerServer):
    """A recognizer on WebSockets. ``fates``: of the final words of the first utterances; None where they are told.

    ``utterances``: all that were heard to their end, oldest first.
    """

    def __init__(
        self,
        script: Script = QUIET,
        sentences: Sequence[str] = SENTENCES,
        fates: Iterable[Fate | None] = (),
    ) -> None:
        super().__init__(script)
        self.ear = Ear(sentences)
        self.utterances: list[Pcm] = []
        self._fates = iter(fates)

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> EarSession:
        return EarSession(self, number, request, socket)

    async def misbehave(self, session: EarSession, cue: Reply | Cue, garbage: str) -> None:
        match cue:
            case Cue.CUT:
                await session.cut()
                session.over = True  # what lies in the buffer is not heard any more
            case Cue.GARBAGE:
                await session.send(garbage)
            case Cue.EXPIRE:
                await session.close()

    async def finish(self, session: EarSession, garbage: str) -> Fate | None:
        """The utterance is over: the fate of its words is done to it, and given where nothing is to be told."""
        assert session.pcm is not None, "checked before"
        self.utterances.append(session.pcm)
        self.changed()
        match fate := next(self._fates, None):
            case Fate.HOLD:
                await self._released.wait()
                return None
            case Fate.CUT:
                await session.cut()
                session.over = True
            case Fate.GARBAGE:
                await session.send(garbage)
        return fate


class VllmEar(EarServer):
    path = "/v1/realtime"
    wants_key = True

    async def serve(self, session: EarSession) -> None:
        await self.released()
        await session.send_json({"type": "session.created", "id": f"sess-{session.number}", "created": 1})
        while not session.over and (frame := await session.receive()) is not None:
            if (event := _read(session, frame)) is not None:
                await self._take(session, event)

    async def _take(self, session: EarSession, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                session.validated = event["model"] == MODEL
                if not session.validated:
                    await _tell_error(session, "model_not_found")
            case "input_audio_buffer.append":
                await self._hear(session, event["audio"])
            case "input_audio_buffer.commit":
                if not session.validated:
                    await _tell_error(session, "model_not_validated")
                elif (session.pcm is not None) is not event["final"]:
                    session.fault("a commit that is final without a generation, or begins one within another")
                elif event["final"]:
                    await self._finish(session)
                else:
                    session.pcm, session.told_words = np.empty(0, np.int16), 0

    async def _hear(self, session: EarSession, audio: str) -> None:
        if session.pcm is None:
            session.fault("sound before a generation, or after its end")
            return
        cues = session.hear(base64.b64decode(audio, validate=True))
        await self._tell(session, self.ear.words(session.pcm))
        for cue in cues:
            await self.misbehave(session, cue, '{"type":"transcription.delta","delta":7}')

    async def _tell(self, session: EarSession, words: list[str]) -> None:
        """Tell more words; an empty delta where there are none, as the published server does every 80 ms."""
        more = " ".join(words[session.told_words :])
        delta = f" {more}" if more and session.told_words else more
        session.told_words = max(session.told_words, len(words))
        await session.send_json({"type": "transcription.delta", "delta": delta})

    async def _finish(self, session: EarSession) -> None:
        pcm = session.pcm
        assert pcm is not None, "checked before"
        fate = await self.finish(session, "no JSON")
        session.pcm = None
        if fate is Fate.ERROR:
            await _tell_error(session, "processing_error")
        if fate is None:
            text = self.ear.over(pcm)
            await self._tell(session, text.split())
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            await session.send_json({"type": "transcription.done", "text": text, "usage": usage})


def _read(session: PeerSession, frame: str | bytes) -> dict[str, Any] | None:
    """One event of the client; None, and a fault, where it is none."""
    if not isinstance(frame, str):
        session.fault("a binary frame")
        return None
    event: dict[str, Any] = json.loads(frame)
    if set(event) != _KEYS.get(event.get("type", "")):
        session.fault(f"{event.get('type')} with {sorted(event)}")
        return None
    return event


async def _tell_error(session: PeerSession, code: str) -> None:
    await session.send_json({"type": "error", "error": "this text is for nobody's log", "code": code})
