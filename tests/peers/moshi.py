"""A Moshi server: a stream out for the stream in, 80 ms by 80 ms, as its published servers do and their protocol says.

What the client sends is taken apart by the letter of RFC 3533 and RFC 7845. The model speaks when its script says so,
and falls silent when it hears somebody over its own voice, unless it is deaf to that.
"""

import asyncio
import itertools
import struct
from collections import deque
from dataclasses import dataclass

import numpy as np
from aiohttp import web

from model_worker.seams import Pcm
from tests.engines.subject import Reply, Script
from tests.peers.base import Cue, PeerServer, PeerSession
from tests.peers.sound import tone
from wire.audio.ogg_opus import OggOpusReader, OggOpusWriter
from wire.audio.opus import OpusDecoder, OpusEncoder, ticks_of

RATE_HZ = 24_000
STEP_SAMPLES = 1_920
FRAME_SAMPLES = 960  # 40 ms, as both published servers send
VOICES = ("NATF2.pt", "NATM1.pt")
LOUD = 1_500  # of the caller, int16
HISS = 12  # what the codec makes of silence
_PAGE = struct.Struct("<4sBBqIIIB")


@dataclass
class Speech:
    """What the model says now."""

    turn: int
    samples: int
    words: list[str]
    sent: int = 0

    def next_words(self, samples: int) -> list[str]:
        begun = round(len(self.words) * self.sent / self.samples)
        return self.words[begun : round(len(self.words) * min(1.0, (self.sent + samples) / self.samples))]


class CallerStream:
    """The client's Ogg stream, strictly."""

    def __init__(self) -> None:
        self.packets = OggOpusReader()
        self.decoder = OpusDecoder(RATE_HZ)
        self.pages = 0
        self.position_ticks = 0

    def read(self, octets: bytes) -> tuple[Pcm, list[str]]:
        """The sound of a message, and what is wrong with it."""
        faults, at = [], 0
        while at < len(octets):
            capture, version, flags, position, serial, number, _, segments = _PAGE.unpack_from(octets, at)
            lacing = octets[at + 27 : at + 27 + segments]
            body = at + 27 + segments
            at = body + sum(lacing)
            if (capture, version, serial != 0) != (b"OggS", 0, True) or at > len(octets):
                return np.empty(0, np.int16), ["no page, or a part of one"]
            if number != self.pages or flags != (2 if self.pages == 0 else 0) or lacing[-1:] == b"\xff":
                faults.append(f"page {number} with flags {flags} where {self.pages} was due")
            if self.pages == 0 and octets[body : body + 10] != b"OpusHead\x01\x01":
                faults.append("a stream that does not begin with the head of one voice")
            if self.pages == 1 and octets[body : body + 8] != b"OpusTags":
                faults.append("no tags on the second page")
            self.position_ticks += self._ticks(octets, body, lacing) if self.pages > 1 else 0
            if position != self.position_ticks:
                faults.append(f"page {number} ends at {position} ticks, its sound at {self.position_ticks}")
            self.pages += 1
        pcm = b"".join(map(self.decoder.decode, self.packets.push(octets)))
        return np.frombuffer(pcm, np.int16), faults

    def _ticks(self, octets: bytes, body: int, lacing: bytes) -> int:
        ticks, size = 0, 0
        for segment in lacing:
            size += segment
            if segment < 255:
                ticks += ticks_of(octets[body : body + size])
                body, size = body + size, 0
        return ticks


class MoshiPeerSession(PeerSession):
    def __init__(self, peer: "MoshiPeer", number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.caller = CallerStream()
        self.encoder = OpusEncoder(48_000, loss_percent=0, rate_hz=RATE_HZ)
        self.writer = OggOpusWriter(RATE_HZ, pre_skip_ticks=3_840)
        self.hiss = np.random.default_rng(number)
        self.speech: Speech | None = None
        self.pending: deque[Reply] = deque()
        self.loud_steps = 0
        self.yielded = 0


class MoshiPeer(PeerServer):
    """``one_session``: the next client waits for the one before to be gone. ``rust``: a handshake with versions in it,
    and data about the server. ``persona``: it is PersonaPlex, which wants to be told a voice and a text."""

    path = "/api/chat"

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        *,
        one_session: bool = False,
        rust: bool = False,
        persona: bool = False,
    ) -> None:
        super().__init__(script)
        self.turns = itertools.count()
        self._lock = asyncio.Lock() if one_session else None
        self._rust = rust
        self._persona = persona

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> MoshiPeerSession:
        return MoshiPeerSession(self, number, request, socket)

    async def serve(self, session: MoshiPeerSession) -> None:
        self._check_query(session)
        if self._lock is None:
            await self._talk(session)
        else:
            async with self._lock:
                await self._talk(session)

    def _check_query(self, session: MoshiPeerSession) -> None:
        wanted = {"voice_prompt", "text_prompt"} if self._persona else set()
        if set(session.query) != wanted:
            session.fault(f"query of {sorted(session.query)}, expected {sorted(wanted)}")
        elif self._persona and session.query["voice_prompt"] not in VOICES:
            session.fault("a voice that is not there")

    async def _talk(self, session: MoshiPeerSession) -> None:
        await self.released()
        await session.send(b"\x00" + bytes(8) if self._rust else b"\x00")
        if self._rust:
            await session.send(b'\x04{"instance_name":"peer"}')
        begin = session.writer.begin()
        while (frame := await session.receive()) is not None:
            if isinstance(frame, str) or frame[:1] != b"\x01":
                session.fault("a message that is no sound")
                continue
            pcm, faults = session.caller.read(frame[1:])
            for text in faults:
                session.fault(text)
            if len(pcm) != STEP_SAMPLES:
                session.fault(f"{len(pcm)} samples in a message, expected {STEP_SAMPLES}")
            session.loud_steps = session.loud_steps + 1 if np.abs(pcm.astype(np.int32)).max(initial=0) > LOUD else 0
            await self._step(session, len(pcm), begin)
            begin = b""

    async def _step(self, session: MoshiPeerSession, samples: int, begin: bytes) -> None:
        cues = list(session.listen(samples / RATE_HZ))
        for cue in cues:
            match cue:
                case Reply():
                    session.pending.append(cue)
                case Cue.CUT:
                    await session.cut()
                case Cue.GARBAGE:
                    await session.send(b"\x01no page of Ogg")
                case Cue.EXPIRE:
                    await session.close()
        if session.speech is None and session.pending:
            reply = session.pending.popleft()
            session.speech = Speech(next(self.turns), round(reply.lasts_s * RATE_HZ), reply.words.split())
        await self._speak(session, samples, begin)
        if session.loud_steps >= 3 and session.speech is not None and not self.script.deaf_to_interrupts:
            session.speech = None
            session.yielded += 1

    async def _speak(self, session: MoshiPeerSession, samples: int, begin: bytes) -> None:
        pcm: Pcm = np.rint(HISS * session.hiss.standard_normal(samples)).astype(np.int16)
        speech = session.speech
        words: list[str] = []
        if speech is not None:
            count = min(samples, speech.samples - speech.sent)
            pcm[:count] = tone(speech.turn, count, RATE_HZ, speech.sent)
            words = [
                word if speech.sent == 0 and n == 0 else f" {word}" for n, word in enumerate(speech.next_words(count))
            ]
            speech.sent += count
        for frame in pcm[: samples // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES):
            page = session.writer.page([session.encoder.encode(frame.tobytes())], 2 * FRAME_SAMPLES)
            await session.send(b"\x01" + begin + page)
            begin = b""
        for word in words:
            await session.send(b"\x02" + word.encode())
        if speech is not None:
            if self.script.cuts_within_reply and session.number == 0 and speech.sent * 2 >= speech.samples:
                await session.cut()
            elif speech.sent >= speech.samples:
                session.speech = None
