"""MiniCPM-o's servers: its own realtime server (version 2 of the protocol), a backend, and vLLM-Omni's duplex one.

All three carry the same stand-in for the model: it takes a second of the caller, and then either listens or speaks a
second. What a client sends is read by the letter of the published schemas: a field too many is a fault.
"""

import base64
import io
import itertools
import wave
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
from aiohttp import web

from tests.engines.subject import Reply, Script
from tests.peers.base import Cue, PeerServer, PeerSession
from tests.peers.sound import tone

IN_HZ, OUT_HZ = 16_000, 24_000


@dataclass
class Speech:
    """What the model says, a second at a time."""

    turn: int
    reply: Reply
    sent_s: float = 0.0

    @property
    def over(self) -> bool:
        return self.sent_s >= self.reply.lasts_s - 1e-9

    def next(self) -> tuple[str, np.ndarray[Any, np.dtype[np.int16]]]:
        """The next second: its words, which are a little ahead, and its sound."""
        words = self.reply.words.split()
        step_s = min(1.0, self.reply.lasts_s - self.sent_s)
        begun = round(len(words) * self.sent_s / self.reply.lasts_s)
        until = round(len(words) * (self.sent_s + step_s) / self.reply.lasts_s)
        start = round(self.sent_s * OUT_HZ)
        pcm = tone(self.turn, round(step_s * OUT_HZ), OUT_HZ, start)
        self.sent_s += step_s
        return "".join(f" {word}" for word in words[begun:until]), pcm


class UnitSession(PeerSession):
    def __init__(self, peer: PeerServer, number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.turns = itertools.count()
        self.waiting: list[Reply] = []
        self.speech: Speech | None = None
        self.instructions = ""
        self.voice_s = 0.0
        self.forced = 0
        """Units with which the model was forced to listen."""
        self.acknowledged: list[tuple[str, int]] = []
        """(response, milliseconds) that the client says were heard."""
        self.units = 0
        self.begun = False


SessionT = TypeVar("SessionT", bound=UnitSession)


class UnitPeer(PeerServer, Generic[SessionT]):
    """The model. Subclasses tell what it does in their protocol."""

    async def serve(self, session: SessionT) -> None:
        while not session.over and (frame := await session.receive()) is not None:
            if not isinstance(frame, str):
                session.fault("a binary frame")
                continue
            try:
                await self.take(session, frame)
            except msgspec.DecodeError as error:
                session.fault(str(error))
            self.changed()

    async def take(self, session: SessionT, frame: str) -> None:
        raise NotImplementedError

    async def hear(self, session: SessionT, samples: int, *, force_listen: bool) -> None:
        """One unit of the caller, and what the model does with it."""
        session.units += 1
        session.forced += force_listen
        if force_listen and not self.script.deaf_to_interrupts:
            session.speech = None
        for cue in session.listen(samples / IN_HZ):
            if isinstance(cue, Reply):
                session.waiting.append(cue)
                continue
            await self.misbehave(session, cue)
            if session.over:
                return
        if session.speech is None and session.waiting and not force_listen:
            session.speech = Speech(next(session.turns), session.waiting.pop(0))
        if session.speech is None:
            await self.tell_listen(session)
            return
        await self.tell_speech(session, session.speech)
        if (
            self.script.cuts_within_reply
            and session.number == 0
            and session.speech.sent_s * 2 >= session.speech.reply.lasts_s
        ):
            await self.cut(session)
        elif session.speech.over:
            session.speech = None

    async def misbehave(self, session: SessionT, cue: Cue) -> None:
        if cue is Cue.CUT:
            await self.cut(session)
        elif cue is Cue.GARBAGE:
            await session.send('{"type": "response.output_audio.delta", "text": 7')
        else:
            session.over = True
            await self.tell_expired(session)
            await session.close()

    async def cut(self, session: SessionT) -> None:
        session.over = True
        await session.cut()

    async def tell_listen(self, session: SessionT) -> None:
        raise NotImplementedError

    async def tell_speech(self, session: SessionT, speech: Speech) -> None:
        raise NotImplementedError

    async def tell_expired(self, session: SessionT) -> None:
        raise NotImplementedError


def floats(octets: bytes, session: UnitSession) -> int:
    """Samples of a unit; what is no such unit is a fault."""
    if len(octets) % 4:
        session.fault("sound that ends within a sample")
        return 0
    wave = np.frombuffer(octets, "<f4")
    if not np.isfinite(wave).all() or np.abs(wave).max(initial=0.0) > 1.0:
        session.fault("sound beyond full scale")
    expected = 16_560 if session.units == 0 else 16_000
    if len(wave) != expected:
        session.fault(f"unit {session.units} has {len(wave)} samples, expected {expected}")
    return len(wave)


def voice_floats(octets: bytes, session: UnitSession) -> None:
    """A voice to copy, where there is one."""
    if len(octets) % 4 or not np.isfinite(np.frombuffer(octets[: len(octets) // 4 * 4], "<f4")).all():
        session.fault("a voice that is not float32")
    session.voice_s = len(octets) / 4 / IN_HZ


def float_sound(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> str:
    return base64.b64encode((pcm.astype("<f4") / 32_768).tobytes()).decode()


class V2Session(msgspec.Struct, forbid_unknown_fields=True):
    instructions: str
    ref_audio: bytes = b""


class V2Update(msgspec.Struct, forbid_unknown_fields=True, tag="session.update"):
    session: V2Session


class V2Append(msgspec.Struct, forbid_unknown_fields=True, tag="input_audio_buffer.append"):
    audio: bytes
    force_listen: bool = False


class V2Close(msgspec.Struct, forbid_unknown_fields=True, tag="session.close"):
    reason: str = ""


_v2 = msgspec.json.Decoder(V2Update | V2Append | V2Close)


class RealtimeV2Peer(UnitPeer[UnitSession]):
    """``wait_s``: callers are before this one, for so long as it says. ``tokens_a_unit``: of 8,192."""

    path = "/v1/realtime"
    full_status = None

    def __init__(self, script: Script = Script(), wait_s: float | None = None, tokens_a_unit: int = 10) -> None:  # noqa: B008  # frozen
        super().__init__(script)
        self.wait_s = wait_s
        self.tokens_a_unit = tokens_a_unit

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> UnitSession:
        return UnitSession(self, number, request, socket)

    async def serve(self, session: UnitSession) -> None:
        if session.query.get("mode", "audio") != "audio":
            session.fault("another mode than audio")
        if self.script.full:
            await session.send_json(
                {"type": "error", "error": {"code": "queue_full", "message": "sorry", "type": "server_error"}}
            )
            await session.close(1013)
            return
        if self.wait_s is not None:
            await session.send_json({"type": "session.queued", "position": 3, "estimated_wait_s": self.wait_s})
        await session.send_json({"type": "session.queue_done"})
        await super().serve(session)

    async def take(self, session: UnitSession, frame: str) -> None:
        match _v2.decode(frame):
            case V2Update(begin):
                if session.begun:
                    session.fault("a second session.update")
                if not begin.instructions:
                    session.fault("no instructions")
                voice_floats(begin.ref_audio, session)
                await self.released()
                session.instructions = begin.instructions
                session.begun = True
                await session.send_json({"type": "session.created", "session_id": "rt_1", "prompt_length": 64})
            case V2Append(audio, force_listen):
                if not session.begun:
                    session.fault("sound before session.created")
                await self.hear(session, floats(audio, session), force_listen=force_listen)
            case V2Close():
                session.over = True
                await session.send_json({"type": "session.closed", "reason": "stopped"})

    async def tell_listen(self, session: UnitSession) -> None:
        await session.send_json({"type": "response.listen", "kv_cache_length": session.units * self.tokens_a_unit})

    async def tell_speech(self, session: UnitSession, speech: Speech) -> None:
        words, pcm = speech.next()
        await session.send_json(
            {
                "type": "response.output_audio.delta",
                "text": words,
                "audio": float_sound(pcm),
                "end_of_turn": speech.over,
                "kv_cache_length": session.units * self.tokens_a_unit,
            }
        )

    async def tell_expired(self, session: UnitSession) -> None:
        await session.send_json({"type": "session.closed", "reason": "timeout"})


class BackendVoice(msgspec.Struct, forbid_unknown_fields=True):
    ref_audio: bytes


class BackendPayload(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["full_duplex"]
    use_tts: Literal[True]
    system_prompt: str = ""
    voice: BackendVoice | None = None


class BackendInit(msgspec.Struct, forbid_unknown_fields=True, tag="session.init"):
    payload: BackendPayload


class BackendInput(msgspec.Struct, forbid_unknown_fields=True):
    audio: bytes
    force_listen: bool = False


class BackendPush(msgspec.Struct, forbid_unknown_fields=True, tag="input.append"):
    input: BackendInput


class BackendClose(msgspec.Struct, forbid_unknown_fields=True, tag="session.close"):
    reason: str = ""


_backend = msgspec.json.Decoder(BackendInit | BackendPush | BackendClose)


class BackendPeer(UnitPeer[UnitSession]):
    """Fails fast: whatever is out of order ends the session, and is a fault."""

    path = "/backend"
    full_status = None

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> UnitSession:
        return UnitSession(self, number, request, socket)

    async def serve(self, session: UnitSession) -> None:
        if self.script.full:
            await session.send_json({"type": "session.closed", "reason": "busy"})
            await session.close()
            return
        await super().serve(session)

    async def take(self, session: UnitSession, frame: str) -> None:
        match _backend.decode(frame):
            case BackendInit(payload) if not session.begun:
                voice_floats(payload.voice.ref_audio if payload.voice is not None else b"", session)
                await self.released()
                session.begun = True
                session.instructions = payload.system_prompt
                created = {"type": "session.created", "session_id": "s1", "mode": "full_duplex", "server_send_ts": 1.0}
                await session.send_json(created)
            case BackendPush(given) if session.begun:
                await self.hear(session, floats(given.audio, session), force_listen=given.force_listen)
            case BackendClose() if session.begun:
                session.over = True
                await session.send_json({"type": "session.closed", "reason": "user_stop"})
            case _:
                session.fault("out of order")
                await session.close()

    async def tell_listen(self, session: UnitSession) -> None:
        await self._tell(session, "listen")

    async def tell_speech(self, session: UnitSession, speech: Speech) -> None:
        words, pcm = speech.next()
        await self._tell(session, "text", text=words)
        await self._tell(session, "audio", audio=float_sound(pcm))
        if speech.over:
            await self._tell(session, "listen")

    async def tell_expired(self, session: UnitSession) -> None:
        await session.send_json({"type": "session.closed", "reason": "timeout"})

    async def _tell(self, session: UnitSession, kind: str, **fields: Any) -> None:
        event = {"type": "response.output.delta", "kind": kind, "metrics": {"kv_cache_length": 1}, **fields}
        await session.send_json(event)


class GatewayPeer(BackendPeer):
    """The gateway before a backend: a queue first, and then the backend's protocol."""

    path = "/v1/realtime"

    async def serve(self, session: UnitSession) -> None:
        if self.script.full:
            await session.send_json({"type": "session.queued", "position": 3, "estimated_wait_s": 60.0})
            await session.receive()
            return
        await session.send_json({"type": "session.queued", "position": 1, "estimated_wait_s": 0.1})
        if session.received:
            session.fault("what is sent in the queue is lost")
        await session.send_json({"type": "session.queue_done"})
        await super().serve(session)


class OmniSession(msgspec.Struct, forbid_unknown_fields=True):
    modalities: list[str]
    instructions: str
    input_audio_format: Literal["pcm16"]
    output_audio_format: Literal["pcm16"]
    turn_detection: None
    overlap_policy: Literal["listen_only"]
    playback_commit_policy: Literal["ack_only"]
    extra_body: dict[str, Any]
    ref_audio: str = ""
    model: str = ""


class OmniUpdate(msgspec.Struct, forbid_unknown_fields=True, tag="session.update"):
    session: OmniSession


class OmniAppend(msgspec.Struct, forbid_unknown_fields=True, tag="input_audio_buffer.append"):
    audio: bytes
    input_audio_format: Literal["pcm16"]
    sample_rate_hz: Literal[16_000]
    duration_ms: int


class OmniAck(msgspec.Struct, forbid_unknown_fields=True, tag="playback.ack"):
    response_id: str
    played_ms: int


class OmniBargeIn(msgspec.Struct, forbid_unknown_fields=True, tag="barge_in"):
    pass


class OmniTruncate(msgspec.Struct, forbid_unknown_fields=True, tag="conversation.item.truncate"):
    item_id: str
    content_index: Literal[0]
    audio_end_ms: int


class OmniCancel(msgspec.Struct, forbid_unknown_fields=True, tag="response.cancel"):
    response_id: str


class OmniResume(msgspec.Struct, forbid_unknown_fields=True, tag="session.resume"):
    session_id: str
    resume_token: str
    last_received_server_event_seq: int


class OmniClose(msgspec.Struct, forbid_unknown_fields=True, tag="session.close"):
    pass


_omni = msgspec.json.Decoder(
    OmniUpdate | OmniResume | OmniAppend | OmniAck | OmniBargeIn | OmniCancel | OmniTruncate | OmniClose
)


@dataclass
class Made:
    """Sound of a response that was sent."""

    milliseconds: int = 0
    acknowledged: list[int] = field(default_factory=list)


@dataclass
class Life:
    """A session, whose connections may change."""

    number: int
    session: "OmniSessionPeer"
    over: bool = False
    generation: int = 1
    journal: list[dict[str, Any]] = field(default_factory=list)
    """All that was told, each with its number, from 1."""

    @property
    def name(self) -> str:
        return f"duplex-{self.number}"

    @property
    def token(self) -> str:
        return f"rt-{self.number}-{self.generation}"


class OmniSessionPeer(UnitSession):
    life: Life | None = None

    async def send_json(self, value: object) -> None:
        if self.life is not None:
            assert isinstance(value, dict)
            value = {**value, "server_event_seq": len(self.life.journal) + 1}
            self.life.journal.append(value)
        await super().send_json(value)

    async def go_on(self, last_seq: int) -> None:
        """On this connection with what the one before was at."""
        assert self.life is not None
        before, self.life.session = self.life.session, self
        self.turns, self.waiting, self.speech, self.cues = before.turns, before.waiting, before.speech, before.cues
        self.units, self.heard_s, self.begun = before.units, before.heard_s, True
        self.life.generation += 1
        resumed = {"type": "session.resumed", "session_id": self.life.name, "resume_token": self.life.token}
        await super().send_json({**resumed, "attachment_generation": self.life.generation})
        for event in self.life.journal[last_seq:]:
            await super().send_json(event)


class VllmOmniPeer(UnitPeer[OmniSessionPeer]):
    """``writes_down``: what the server's recognizer makes of the caller, told before each reply.

    ``keeps``: a session outlives its connection. What it says in the moment in which that breaks is sent later.
    """

    path = "/v1/realtime"
    full_status = None

    def __init__(self, script: Script = Script(), writes_down: str = "", *, keeps: bool = True) -> None:  # noqa: B008  # frozen
        super().__init__(script)
        self.writes_down = writes_down
        self.keeps = keeps
        self.lives: dict[str, Life] = {}
        self.made: dict[str, Made] = {}
        self.truncated: list[tuple[str, int]] = []
        self.barge_ins = 0
        self.cancelled: list[str] = []

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> OmniSessionPeer:
        return OmniSessionPeer(self, number, request, socket)

    async def serve(self, session: OmniSessionPeer) -> None:
        if self.script.full:
            flat = {"type": "error", "error": "limit=4", "code": "resource_exhausted"}
            await session.send_json(flat)
            await session.close(1013)
            return
        await super().serve(session)

    async def take(self, session: OmniSessionPeer, frame: str) -> None:
        event = _omni.decode(frame)
        if session.begun == isinstance(event, OmniUpdate | OmniResume):
            session.fault("a session is begun or gone on with, once, and first")
            return
        match event:
            case OmniUpdate(begin):
                if not begin.ref_audio:
                    session.fault("no voice to speak with")
                    refusal = {"type": "invalid_request_error", "code": "ref_audio_required", "message": "no voice"}
                    await session.send_json({"type": "error", "error": refusal})
                    return
                self._take_voice(session, begin.ref_audio)
                await self.released()
                session.instructions = begin.instructions
                await self._begin(session)
            case OmniResume(name, token, last_seq):
                await self._resume(session, name, token, last_seq)
            case OmniAppend():
                samples = len(event.audio) // 2
                if event.duration_ms != samples * 1_000 // IN_HZ or len(event.audio) % 2:
                    session.fault("a duration that is not the sound's")
                await self.hear(session, samples, force_listen=False)
            case OmniAck(response, played_ms):
                self._acknowledge(session, response, played_ms)
            case OmniBargeIn():
                self.barge_ins += 1
                await self._cancel(session)
            case OmniCancel(response):
                self.cancelled.append(response)
                if session.speech is not None and self._response(session, session.speech) == response:
                    await self._cancel(session)
            case OmniTruncate(item, audio_end_ms=end_ms):
                self.truncated.append((item, end_ms))
                if end_ms > self.made[item.removeprefix("item_")].milliseconds:
                    session.fault("a truncation beyond the sound")
            case OmniClose():
                session.over = True
                await session.send_json({"type": "session.closed", "session_id": "duplex", "reason": "client_close"})
                self._end(session)

    async def _begin(self, session: OmniSessionPeer) -> None:
        session.begun = True
        session.life = Life(len(self.lives), session)
        self.lives[session.life.name] = session.life
        about = {"id": session.life.name, "epoch": 0, "capabilities": {"chunk_period_ms": 1_000}}
        await session.send_json({"type": "session.created", "session": about, "resume_token": session.life.token})
        await session.send_json({"type": "session.updated", "session": about})

    async def _resume(self, session: OmniSessionPeer, name: str, token: str, last_seq: int) -> None:
        life = self.lives.get(name)
        if life is None or life.over or not self.keeps:
            await session.send_json({"type": "error", "error": "expired", "code": "session_resume_expired"})
            session.over = True
        elif token != life.token or not 0 <= last_seq <= len(life.journal):
            session.fault(f"a session of token {token!r} and {last_seq} events")
            session.over = True
        else:
            session.life = life
            await session.go_on(last_seq)

    async def cut(self, session: OmniSessionPeer) -> None:
        await super().cut(session)
        if session.speech is not None:
            await self.tell_speech(session, session.speech)
            if session.speech.over:
                session.speech = None

    def _take_voice(self, session: OmniSessionPeer, url: str) -> None:
        kind, _, octets = url.partition(",")
        if kind != "data:audio/wav;base64":
            session.fault(f"a voice in {kind[:40]!r}")
            return
        with wave.open(io.BytesIO(base64.b64decode(octets, validate=True))) as clip:
            if (clip.getframerate(), clip.getsampwidth(), clip.getnchannels()) != (IN_HZ, 2, 1):
                session.fault("a voice of another form")
            session.voice_s = clip.getnframes() / IN_HZ

    def _acknowledge(self, session: OmniSessionPeer, response: str, played_ms: int) -> None:
        made = self.made.get(response)
        if made is None or played_ms > made.milliseconds or played_ms < max(made.acknowledged, default=0):
            session.fault(f"{played_ms} ms of {response} cannot have been played")
            return
        made.acknowledged.append(played_ms)

    async def _cancel(self, session: OmniSessionPeer) -> None:
        if session.speech is None:
            session.fault("a barge-in where nothing is said")
        elif not self.script.deaf_to_interrupts:
            response = self._response(session, session.speech)
            session.speech = None
            await self._tell_done(session, response, "cancelled")

    async def tell_listen(self, session: OmniSessionPeer) -> None:
        await session.send_json({"type": "response.listen", "session_id": "duplex", "epoch": 0})

    async def tell_speech(self, session: OmniSessionPeer, speech: Speech) -> None:
        response = self._response(session, speech)
        if response not in self.made:
            self.made[response] = Made()
            if self.writes_down:
                kind = "conversation.item.input_audio_transcription.completed"
                await session.send_json(
                    {"type": kind, "item_id": "i", "content_index": 0, "transcript": self.writes_down}
                )
            about = {"id": response, "status": "in_progress"}
            await session.send_json({"type": "response.created", "response_id": response, "response": about})
            await session.send_json({"type": "response.speak", "response_id": response, "item_id": f"item_{response}"})
        words, pcm = speech.next()
        self.made[response].milliseconds += len(pcm) * 1_000 // OUT_HZ
        place = {"response_id": response, "item_id": f"item_{response}", "output_index": 0, "content_index": 0}
        sound = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
        kind = "response.output_audio.delta"
        await session.send_json({"type": kind, **place, "delta": sound, "format": "pcm16", "sample_rate_hz": OUT_HZ})
        await session.send_json({"type": "response.output_audio_transcript.delta", **place, "delta": words})
        if speech.over:
            await self._tell_done(session, response, "completed")

    async def tell_expired(self, session: OmniSessionPeer) -> None:
        self._end(session)
        await session.send_json({"type": "session.expired", "session_id": "duplex", "reason": "idle_ttl_expired"})

    @staticmethod
    def _end(session: OmniSessionPeer) -> None:
        assert session.life is not None
        session.life.over = True

    def _response(self, session: OmniSessionPeer, speech: Speech) -> str:
        assert session.life is not None
        return f"resp_{session.life.number}_{speech.turn}"

    async def _tell_done(self, session: OmniSessionPeer, response: str, status: str) -> None:
        about = {"id": response, "object": "realtime.response", "status": status}
        await session.send_json({"type": "response.done", "response_id": response, "response": about})
        await session.send_json({"type": "rate_limits.updated", "rate_limits": []})
