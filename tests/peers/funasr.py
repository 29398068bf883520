"""A server of FunASR's two-pass WebSocket protocol (``runtime/docs/websocket_protocol.md``), as two are published.

The one in Python counts messages, sends ``is_final`` inverted, and tells nothing of a segment without words but that
it is over. The one in C++ counts samples, tells the end by ``is_final``, and of an utterance without words sends a
result without a mode. Both end a segment by themselves where it is quiet for a while, and correct it then.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from aiohttp import web

from tests.engines.subject import Script
from tests.peers.base import PeerServer
from tests.peers.transcription import LEVEL, QUIET, RATE_HZ, SENTENCES, EarServer, EarSession, Fate

PIECE_BYTES = 1_920  # 60 ms: what the server's speech detector is asked about at once
SEGMENT_QUIET_SAMPLES = round(0.8 * RATE_HZ)

_CONFIG: dict[str, Any] = {
    "mode": "2pass",
    "wav_format": "pcm",
    "audio_fs": 16_000,
    "chunk_size": [5, 10, 5],
    "chunk_interval": 10,
    "itn": True,
    "is_speaking": True,
}
_GARBAGE = '{"mode":"2pass-online","text":7}'


class FunAsrSession(EarSession):
    """``corrected_words``: of the segments that are over."""

    def __init__(self, peer: PeerServer, number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.pieces = 0
        self.corrected_words = 0
        self.ended = False


class FunAsrEar(EarServer):
    """``python``: which of the two it is."""

    def __init__(
        self,
        script: Script = QUIET,
        sentences: Sequence[str] = SENTENCES,
        fates: Iterable[Fate | None] = (),
        *,
        python: bool = True,
    ) -> None:
        super().__init__(script, sentences, fates)
        self._python = python

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> FunAsrSession:
        return FunAsrSession(self, number, request, socket)

    async def serve(self, session: FunAsrSession) -> None:
        while not session.over and (frame := await session.receive()) is not None:
            if session.ended:
                session.fault("more after the end of an utterance")
            elif isinstance(frame, bytes):
                await self._hear(session, frame)
            else:
                await self._take(session, json.loads(frame))

    async def _take(self, session: FunAsrSession, message: dict[str, Any]) -> None:
        if message == {"is_speaking": False} and session.pcm is not None:
            session.ended = True
            await self._finish(session)
        elif session.pcm is None and {name: message.get(name) for name in _CONFIG} == _CONFIG:
            if set(message) != {*_CONFIG, "wav_name"}:
                session.fault(f"an opening with {sorted(message)}")
            session.pcm = np.empty(0, np.int16)
        else:
            session.fault(f"out of place: {sorted(message)}")

    async def _hear(self, session: FunAsrSession, octets: bytes) -> None:
        if session.pcm is None:
            session.fault("sound before the opening")
            return
        if len(octets) != PIECE_BYTES:
            session.fault(f"a piece of {len(octets)} bytes, expected {PIECE_BYTES}")
        cues = session.hear(octets)
        session.pieces += 1
        words = self.ear.words(session.pcm)
        if session.pieces % _CONFIG["chunk_interval"] == 0 and len(words) > session.told_words:
            await self._tell(session, "2pass-online", _plain(words[session.told_words :]))
            session.told_words = len(words)
        tail = session.pcm[-SEGMENT_QUIET_SAMPLES:]
        quiet = len(tail) == SEGMENT_QUIET_SAMPLES and np.abs(tail.astype(np.int32)).max() <= LEVEL
        if quiet and len(words) > session.corrected_words:
            await self._tell(session, "2pass-offline", " ".join(words[session.corrected_words :]))
            session.corrected_words = session.told_words = len(words)
        for cue in cues:
            await self.misbehave(session, cue, _GARBAGE)

    async def _finish(self, session: FunAsrSession) -> None:
        assert session.pcm is not None, "checked before"
        match await self.finish(session, _GARBAGE):
            case None:
                words = self.ear.over(session.pcm).split()[session.corrected_words :]
                mode = "2pass-offline" if words or self._python else None
                await self._tell(session, mode, " ".join(words), last=True)
            case Fate.ERROR:
                await session.close(1011)  # it has no words for it

    async def _tell(self, session: FunAsrSession, mode: str | None, text: str, *, last: bool = False) -> None:
        result = {"text": text, "wav_name": "call", "is_final": last is not self._python}
        await session.send_json(result if mode is None else {"mode": mode, **result})


def _plain(words: list[str]) -> str:
    """What is not corrected yet has neither capitals nor stops."""
    return " ".join(words).lower().replace(",", "").replace(".", "")
