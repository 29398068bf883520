"""A server of OpenAI's Live API, as ``openai.types.live`` has it: a stream out for the stream in, piece by piece.

Whatever the client sends is held against the package's own pydantic types. The model speaks when its script says so,
and falls silent when it is told that the caller interrupted, which a real one hears for itself.
"""

import base64
import itertools
import json
from typing import Any, cast

import numpy as np
from aiohttp import web
from openai.types.live import ClientEvent, ServerEvent
from pydantic import TypeAdapter, ValidationError

from model_worker.seams import Pcm
from tests.engines.subject import Reply, Script
from tests.peers.base import Cue, PeerServer, PeerSession
from tests.peers.realtime import EXACTLY, Call, unknown_fields
from tests.peers.sound import tone
from wire.audio import g711
from wire.audio.codecs import Codec

_client_event: TypeAdapter[Any] = TypeAdapter(ClientEvent)
_server_event: TypeAdapter[Any] = TypeAdapter(ServerEvent)
_CODECS = {("audio/pcm", 24_000): Codec.L16_24K, ("audio/pcmu", 8_000): Codec.PCMU}


class Speech:
    """What the model says now."""

    def __init__(self, turn: int, samples: int, words: str) -> None:
        self.turn = turn
        self.samples = samples
        self.words = words.split()
        self.sent = 0

    def next_words(self, samples: int) -> str:
        """Those of the next piece."""
        due = round(len(self.words) * min(1.0, (self.sent + samples) / self.samples))
        begun = round(len(self.words) * self.sent / self.samples)
        text = " ".join(self.words[begun:due])
        return f" {text}" if text and begun else text


class LivePeerSession(PeerSession):
    def __init__(self, peer: "LivePeer", number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.config: dict[str, Any] = {}
        self.codec: Codec | None = None
        self.notes: list[dict[str, Any]] = []
        """Commentary and thinking that the client appended."""
        self.outputs: list[dict[str, Any]] = []
        """Of functions."""
        self.speech: Speech | None = None
        self.stream_ms = 0
        self._events = itertools.count(1)

    async def tell(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, **fields}
        if kind != "session.output_audio.delta":
            event["event_id"] = f"evt_{next(self._events)}"
        checked = _server_event.validate_python(event)
        assert checked.type == kind, f"{kind} was taken for {checked.type}"
        await self.send_json(event)

    @property
    def resource(self) -> dict[str, Any]:
        return {"id": "live_1", "expires_at": 1, "status": "active", **self.config}


class LivePeer(PeerServer):
    """``calls``: functions that the helper behind the model calls, one after each reply of the script."""

    path = "/v1/live/sessions"
    wants_key = True
    full_status = 429

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        calls: tuple[Call, ...] = (),
        hears: str = "",
    ) -> None:
        super().__init__(script)
        self.calls = list(calls)
        self.hears = hears
        self.turns = itertools.count()

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> LivePeerSession:
        return LivePeerSession(self, number, request, socket)

    async def serve(self, session: LivePeerSession) -> None:
        while not session.over and (frame := await session.receive()) is not None:
            event = _read(session, frame)
            if event is not None:
                await self._take(session, event)
                self.changed()

    async def _take(self, session: LivePeerSession, event: dict[str, Any]) -> None:
        kind = event["type"]
        if (kind == "session.start") == (session.codec is not None):
            session.fault(f"{kind} at the wrong time")
            return
        match kind:
            case "session.start":
                await self._start(session, event["session"])
            case "session.input_audio.append":
                await self._hear(session, event)
            case "session.commentary.append" | "session.thinking.append" | "session.instructions.append":
                await self._note(session, event)
            case "response.item.create":
                session.outputs.append(event["item"])
            case "response.create":
                if not session.outputs:
                    session.fault("a response without the output of a function")
            case "session.close":
                await session.tell(
                    "session.closed", reason="close_requested", session=session.resource, usage={"seconds": 1.0}
                )
                await session.close()
            case _:
                session.fault(f"{kind} is of no use to this client")

    async def _start(self, session: LivePeerSession, config: dict[str, Any]) -> None:
        form = config["audio"]["format"]
        codec = _CODECS.get((form["type"], form["rate"]))
        if codec is None or len(config.get("input", ())) > 128:
            session.fault("a format or a history that Live does not take")
            return
        await self.released()
        session.config, session.codec = config, codec
        await session.tell("session.started", session=session.resource)

    async def _note(self, session: LivePeerSession, event: dict[str, Any]) -> None:
        if "delegation_id" not in event:
            session.fault("delegation_id is required, null or not")
        session.notes.append(event)
        if event["type"] == "session.commentary.append":
            self._speak(session, Reply(0.0, 1.0, event["content"].removeprefix(EXACTLY)))
        elif event["type"] == "session.thinking.append" and not self.script.deaf_to_interrupts:
            session.speech = None

    def _speak(self, session: LivePeerSession, reply: Reply) -> None:
        assert session.codec is not None, "checked before"
        samples = round(reply.lasts_s * session.codec.sample_rate_hz)
        session.speech = Speech(next(self.turns), samples, reply.words)

    async def _hear(self, session: LivePeerSession, event: dict[str, Any]) -> None:
        assert session.codec is not None, "checked before"
        octets = base64.b64decode(event["audio"], validate=True)
        samples = len(octets) // session.codec.bytes_per_sample
        cues = list(session.listen(samples / session.codec.sample_rate_hz))
        await self._stream(session, samples)
        for cue in cues:
            if isinstance(cue, Reply):
                await self._tell_heard(session)
                self._speak(session, cue)
            else:
                await self._misbehave(session, cue)

    async def _tell_heard(self, session: LivePeerSession) -> None:
        if self.hears:
            start, end = max(0, session.stream_ms - 500), session.stream_ms
            for word in self.hears.split():
                await session.tell("session.input_transcript.delta", delta=f" {word}", start_ms=start, end_ms=end)

    async def _stream(self, session: LivePeerSession, samples: int) -> None:
        """As much sound out as came in."""
        codec, speech = session.codec, session.speech
        assert codec is not None, "checked before"
        pcm: Pcm = np.zeros(samples, np.int16)
        end_ms = session.stream_ms + samples * 1_000 // codec.sample_rate_hz
        if speech is not None:
            count = min(samples, speech.samples - speech.sent)
            pcm[:count] = tone(speech.turn, count, codec.sample_rate_hz, speech.sent)
            if text := speech.next_words(count):
                span = {"start_ms": session.stream_ms, "end_ms": end_ms}
                await session.tell("session.output_transcript.delta", delta=text, **span)
            speech.sent += count
        session.stream_ms = end_ms
        delta = base64.b64encode(g711.encode(codec, pcm)).decode()
        await session.tell("session.output_audio.delta", delta=delta)
        if speech is not None:
            await self._go_on(session, speech)

    async def _go_on(self, session: LivePeerSession, speech: Speech) -> None:
        if self.script.cuts_within_reply and session.number == 0 and speech.sent * 2 >= speech.samples:
            await session.cut()
        elif speech.sent >= speech.samples:
            session.speech = None
            if self.calls:
                await self._delegate(session, self.calls.pop(0))

    async def _delegate(self, session: LivePeerSession, call: Call) -> None:
        target = session.config["delegation"]["type"]
        delegation = {"id": "dlg_1", "target": target, "type": "delegation"}
        await session.tell("session.delegation.created", delegation=delegation, offset_ms=session.stream_ms)
        if target == "responses":
            item = {"type": "function_call", "call_id": "call_1", "name": call.name, "arguments": call.arguments}
            nested = {"type": "response.output_item.done", "output_index": 0, "item": item}
            await session.tell("response.event", event=nested, delegation_id="dlg_1")

    async def _misbehave(self, session: LivePeerSession, cue: Cue) -> None:
        match cue:
            case Cue.CUT:
                await session.cut()
            case Cue.GARBAGE:
                await session.send('{"type":"session.output_audio.delta","delta":"==="}')
            case Cue.EXPIRE:
                await session.tell("session.closed", reason="expired", session=session.resource, usage={"seconds": 1.0})
                await session.close()


def _read(session: LivePeerSession, frame: str | bytes) -> dict[str, Any] | None:
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
