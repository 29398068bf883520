"""A server of OpenAI's Realtime API (GA), as ``openai.types.realtime`` has it.

Whatever the client sends is held against the package's own pydantic types, then against what those leave open: order,
ids that exist, sound that is there. Answers are made four times as fast as sound is heard, so that an interruption
meets one that is half made.
"""

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from model_worker.seams import Pcm
from tests.engines.subject import Reply, Script
from tests.peers.base import Cue, PeerServer, PeerSession
from tests.peers.sound import tone
from wire.audio import g711
from wire.audio.codecs import Codec

SPEED = 4.0  # of making an answer, against hearing
PIECE_S = 0.2
UNASKED = Reply(0.0, 1.0, "is there anything else")
EXACTLY = "Say exactly the following words and nothing before or after them:\n"

_client_event: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
_server_event: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_CODECS = {"audio/pcm": Codec.L16_24K, "audio/pcmu": Codec.PCMU}


@dataclass(frozen=True, slots=True)
class Call:
    """A function that the model calls in an answer, after ``words`` where there are any."""

    name: str
    arguments: str
    words: str = ""


@dataclass
class Answer:
    """One response that the server makes."""

    response_id: str
    item_id: str
    turn: int
    samples: int
    words: list[str]
    call: Call | None
    sent_samples: int = 0
    cancelled: bool = False


@dataclass
class Seen:
    """What a client did in a session, for tests to look at."""

    config: dict[str, Any] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    creates: list[dict[str, Any]] = field(default_factory=list)
    cancels: int = 0
    truncations: list[tuple[str, int]] = field(default_factory=list)
    audio: list[bytes] = field(default_factory=list)


class RealtimePeerSession(PeerSession):
    def __init__(self, peer: "RealtimePeer", number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.seen = Seen()
        self.codec: Codec | None = None
        self.pending: list[Reply] = []
        self.active: Answer | None = None
        self.made_ms: dict[str, int] = {}
        """Sound of each answer's item that was sent."""
        self._events = itertools.count(1)

    async def tell(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": f"evt_{next(self._events)}", **fields}
        checked = _server_event.validate_python(event)
        assert checked.type == kind, f"{kind} was taken for {checked.type}"
        await self.send_json(event)

    async def tell_error(self, code: str, about: str | None, kind: str = "invalid_request_error") -> None:
        error = {"type": kind, "code": code, "message": "this text is for nobody's log", "event_id": about}
        await self.tell("error", error=error)


class RealtimePeer(PeerServer):
    """``calls``: functions that the model calls, one in each answer from the first on. ``hears``: it writes down what
    the caller says, always the same."""

    path = "/v1/realtime"
    wants_key = True
    full_status = 429

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        calls: tuple[Call, ...] = (),
        hears: str = "",
    ) -> None:
        super().__init__(script)
        self.hears = hears
        self.calls = list(calls)
        self.turns = itertools.count()

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> RealtimePeerSession:
        return RealtimePeerSession(self, number, request, socket)

    async def serve(self, session: RealtimePeerSession) -> None:
        if not session.query.get("model"):
            session.fault("no model in the query")
        config = {"type": "realtime", "model": session.query.get("model"), "output_modalities": ["audio"]}
        await session.tell("session.created", session=config)
        while not session.over and (frame := await session.receive()) is not None:
            event = _read(session, frame)
            if event is not None:
                await self._take(session, event)

    async def _take(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind != "session.update" and session.codec is None:
            session.fault(f"{kind} before session.update")
            return
        match kind:
            case "session.update":
                await self._configure(session, event)
            case "input_audio_buffer.append":
                await self._hear(session, event)
            case "conversation.item.create":
                await self._add_item(session, event["item"])
            case "response.create":
                session.seen.creates.append(event.get("response") or {})
                await self._answer(session, event)
            case "response.cancel":
                await self._cancel(session, event)
            case "conversation.item.truncate":
                await self._truncate(session, event)
            case _:
                session.fault(f"{kind} is of no use to this client")
        self.changed()

    async def _configure(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        config = event["session"]
        hearing, speaking = config["audio"]["input"]["format"], config["audio"]["output"]["format"]
        if config["type"] != "realtime" or hearing != speaking or hearing["type"] not in _CODECS:
            session.fault("a session of another kind, or of mixed formats")
        if any(tool.get("type") != "function" or "name" not in tool for tool in config["tools"]):
            session.fault("a tool that is no function")
        await self.released()
        session.seen.config = config
        session.codec = _CODECS[hearing["type"]]
        await session.tell("session.updated", session=config)

    async def _add_item(self, session: RealtimePeerSession, item: dict[str, Any]) -> None:
        if item["type"] == "message":
            (content,) = item["content"]
            wanted = {"user": "input_text", "assistant": "output_text"}.get(item["role"])
            if content["type"] != wanted or not content.get("text"):
                session.fault(f"content {content['type']} in a message of {item['role']}")
        session.seen.items.append(item)
        stored = {"id": f"item_{len(session.seen.items)}", **item}
        await session.tell("conversation.item.added", item=stored)
        await session.tell("conversation.item.done", item=stored)

    async def _hear(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        assert session.codec is not None, "checked before"
        octets = base64.b64decode(event["audio"], validate=True)
        if len(octets) % session.codec.bytes_per_sample:
            session.fault("sound that ends within a sample")
        session.seen.audio.append(octets)
        seconds = len(octets) / session.codec.bytes_per_sample / session.codec.sample_rate_hz
        cues = list(session.listen(seconds))
        await self._make(session, SPEED * seconds)
        for cue in cues:
            if isinstance(cue, Reply):
                session.pending.append(cue)
                await self._notice_pause(session)
            else:
                await self._misbehave(session, cue)

    async def _notice_pause(self, session: RealtimePeerSession) -> None:
        heard_ms, item = round(session.heard_s * 1_000), f"item_heard_{round(session.heard_s * 1_000)}"
        await session.tell("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item)
        await session.tell("input_audio_buffer.speech_stopped", audio_end_ms=heard_ms, item_id=item)
        await session.tell("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        if self.hears:
            await session.tell(
                "conversation.item.input_audio_transcription.completed",
                item_id=item,
                content_index=0,
                transcript=self.hears,
                usage={"type": "duration", "seconds": 1.0},
            )

    async def _misbehave(self, session: RealtimePeerSession, cue: Cue) -> None:
        match cue:
            case Cue.CUT:
                await session.cut()
            case Cue.GARBAGE:
                await session.send('{"type":"response.output_audio.delta","delta":7}')
            case Cue.EXPIRE:
                await session.tell_error("session_expired", None)
                await session.close()

    async def _answer(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        assert session.codec is not None, "checked before"
        if session.active is not None:
            await session.tell_error("conversation_already_has_active_response", event.get("event_id"))
            return
        turn = next(self.turns)
        told = (event.get("response") or {}).get("instructions", "")
        free = (event.get("response") or {}).get("tool_choice") != "none"
        call = self.calls.pop(0) if free and self.calls else None
        if told:
            words, lasts_s = told.removeprefix(EXACTLY), 1.0
        elif call is not None:
            words, lasts_s = call.words, 1.0 if call.words else 0.0
        else:
            reply = session.pending.pop(0) if session.pending else UNASKED
            words, lasts_s = reply.words, reply.lasts_s
        samples = round(lasts_s * session.codec.sample_rate_hz)
        answer = Answer(f"resp_{turn}", f"item_said_{turn}", turn, samples, words.split(), call)
        session.active = answer
        await session.tell("response.created", response=_response(answer, "in_progress"))
        await self._make(session, 0.0)

    async def _make(self, session: RealtimePeerSession, seconds: float) -> None:
        """Go on with the answer at hand, at least by one piece; all that is left where nothing more is heard."""
        answer, codec = session.active, session.codec
        if answer is None or codec is None:
            return
        piece = round(PIECE_S * codec.sample_rate_hz)
        until = min(answer.samples, answer.sent_samples + max(piece, round(seconds * codec.sample_rate_hz)))
        while answer.sent_samples < until:
            count = min(piece, answer.samples - answer.sent_samples)
            await _send_piece(session, answer, tone(answer.turn, count, codec.sample_rate_hz, answer.sent_samples))
            if self._cuts(session, answer):
                await session.cut()
                return
        if answer.sent_samples >= answer.samples:
            await self._finish(session, answer)

    def _cuts(self, session: RealtimePeerSession, answer: Answer) -> bool:
        half = answer.sent_samples * 2 >= answer.samples
        return self.script.cuts_within_reply and session.number == 0 and half

    async def _finish(self, session: RealtimePeerSession, answer: Answer) -> None:
        session.active = None
        index = 0
        if answer.samples:
            item = {"id": answer.item_id, "type": "message", "role": "assistant", "status": "completed", "content": []}
            await _item_done(session, answer, item, index)
            index = 1
        if answer.call is not None:
            item = {
                "id": f"item_call_{answer.turn}",
                "type": "function_call",
                "call_id": f"call_{answer.turn}",
                "name": answer.call.name,
                "arguments": answer.call.arguments,
                "status": "completed",
            }
            await _item_done(session, answer, item, index)
        await session.tell("response.done", response=_response(answer, "completed"))

    async def _cancel(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        session.seen.cancels += 1
        answer = session.active
        if answer is None or event.get("response_id") not in (None, answer.response_id):
            await session.tell_error("response_cancel_not_active", event.get("event_id"))
        elif not self.script.deaf_to_interrupts:
            session.active = None
            await session.tell("response.done", response=_response(answer, "cancelled", "client_cancelled"))

    async def _truncate(self, session: RealtimePeerSession, event: dict[str, Any]) -> None:
        item, end_ms = event["item_id"], event["audio_end_ms"]
        made_ms = session.made_ms.get(item)
        if made_ms is None or event["content_index"] != 0 or not 0 <= end_ms <= made_ms:
            session.fault(f"truncated {item} at {end_ms} ms, it has {made_ms}")
            return
        session.seen.truncations.append((item, end_ms))
        await session.tell("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=end_ms)


def _read(session: RealtimePeerSession, frame: str | bytes) -> dict[str, Any] | None:
    """One event of the client; None, and a fault, where it is none."""
    if not isinstance(frame, str):
        session.fault("a binary frame")
        return None
    event = cast(dict[str, Any], json.loads(frame))
    try:
        checked = _client_event.validate_python(event)
    except ValidationError as error:
        session.fault(f"{event.get('type')}: {error.errors()[0]['loc']} {error.errors()[0]['msg']}")
        return None
    if checked.type != event["type"]:
        session.fault(f"no such event: {event['type']}")
        return None
    if unknown := sorted(unknown_fields(checked)):
        session.fault(f"{event['type']} with unknown fields: {unknown}")
    return event


def unknown_fields(value: Any) -> Iterator[str]:
    """Fields that the published types do not have; they keep them as extras."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from unknown_fields(part)


async def _send_piece(session: RealtimePeerSession, answer: Answer, pcm: Pcm) -> None:
    assert session.codec is not None, "checked before"
    place = {"response_id": answer.response_id, "item_id": answer.item_id, "output_index": 0, "content_index": 0}
    due = round(len(answer.words) * (answer.sent_samples + len(pcm)) / answer.samples)
    sent = round(len(answer.words) * answer.sent_samples / answer.samples)
    if words := answer.words[sent:due]:
        text = " ".join(words) if sent == 0 else " " + " ".join(words)
        await session.tell("response.output_audio_transcript.delta", delta=text, **place)
    octets = base64.b64encode(g711.encode(session.codec, pcm)).decode()
    answer.sent_samples += len(pcm)
    session.made_ms[answer.item_id] = answer.sent_samples * 1_000 // session.codec.sample_rate_hz
    await session.tell("response.output_audio.delta", delta=octets, **place)


async def _item_done(session: RealtimePeerSession, answer: Answer, item: dict[str, Any], index: int) -> None:
    await session.tell("response.output_item.done", response_id=answer.response_id, output_index=index, item=item)


def _response(answer: Answer, status: str, reason: str | None = None) -> dict[str, Any]:
    details = None if reason is None else {"type": status, "reason": reason}
    response = {"id": answer.response_id, "object": "realtime.response", "status": status, "output": []}
    return response if details is None else {**response, "status_details": details}
