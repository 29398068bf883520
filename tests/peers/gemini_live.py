"""A server of Gemini Live (BidiGenerateContent), as ``google-genai`` 3.4.0 describes its messages.

Whatever the client sends is held against that schema, by its names, types and order. Replies are made four times as
fast as sound is heard, and are complete when they should have been played, as there. It interrupts itself when it
hears somebody in a turn of its own, unless it was set up not to, or is deaf to that.
"""

import base64
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from aiohttp import web

from model_worker.seams import Pcm
from tests.engines.subject import Reply, Script
from tests.peers.base import KEY, Cue, PeerServer, PeerSession
from tests.peers.sound import tone

INPUT_RATE_HZ, OUTPUT_RATE_HZ = 16_000, 24_000
SPEED = 4.0  # of making a reply, against hearing
PIECE_SAMPLES = OUTPUT_RATE_HZ // 5
LOUD = 1_500  # int16
EXACTLY = "Say exactly the following words and nothing before or after them:\n"

# Field names by their type in the schema; a name that ends in * may be left out.
SCHEMA: dict[str, dict[str, str]] = {
    "Setup": {
        "model": "str",
        "generationConfig": "GenerationConfig",
        "systemInstruction": "Content",
        "tools*": "Tool[]",
        "realtimeInputConfig*": "RealtimeInputConfig",
        "inputAudioTranscription*": "Empty",
        "outputAudioTranscription*": "Empty",
        "sessionResumption*": "SessionResumption",
        "contextWindowCompression*": "Compression",
    },
    "GenerationConfig": {"responseModalities": "str[]", "speechConfig*": "SpeechConfig"},
    "SpeechConfig": {"voiceConfig": "VoiceConfig"},
    "VoiceConfig": {"prebuiltVoiceConfig": "PrebuiltVoiceConfig"},
    "PrebuiltVoiceConfig": {"voiceName": "str"},
    "Content": {"parts": "TextPart[]"},
    "TextPart": {"text": "str"},
    "Tool": {"functionDeclarations": "FunctionDeclaration[]"},
    "FunctionDeclaration": {"name": "str", "description": "str", "parameters*": "Schema"},
    "Schema": {"type": "str", "properties": "any", "required*": "str[]"},
    "RealtimeInputConfig": {"activityHandling*": "str"},
    "Empty": {},
    "SessionResumption": {"handle*": "str"},
    "Compression": {"slidingWindow": "Empty"},
    "RealtimeInput": {"audio*": "Blob", "text*": "str"},
    "Blob": {"mimeType": "str", "data": "str"},
    "ToolResponse": {"functionResponses": "FunctionResponse[]"},
    "FunctionResponse": {"id": "str", "name": "str", "response": "any"},
}
MESSAGES = {"setup": "Setup", "realtimeInput": "RealtimeInput", "toolResponse": "ToolResponse"}


def problems(value: Any, kind: str, place: str) -> list[str]:
    """What of a value is not as the schema has it."""
    if kind == "any":
        return [] if isinstance(value, dict) else [f"{place}: no object"]
    if kind == "str":
        return [] if isinstance(value, str) and value else [f"{place}: no text"]
    if kind.endswith("[]"):
        if not isinstance(value, list) or not value:
            return [f"{place}: no list"]
        return [found for part in value for found in problems(part, kind[:-2], place)]
    if not isinstance(value, dict):
        return [f"{place}: no object"]
    fields = SCHEMA[kind]
    found = [f"{place}: no {name}" for name in fields if not name.endswith("*") and name not in value]
    for name, inner in value.items():
        known = fields.get(name) or fields.get(f"{name}*")
        found += [f"{place}: {name} is unknown"] if known is None else problems(inner, known, f"{place}.{name}")
    return found


@dataclass(frozen=True, slots=True)
class Call:
    """A function that the model calls, after ``words`` where there are any; ``then`` it says this."""

    name: str
    args: dict[str, Any]
    words: str = ""
    then: str = "one moment please"


@dataclass
class Turn:
    number: int
    samples: int
    words: list[str]
    began_s: float
    call: Call | None = None
    sent: int = 0
    generated: bool = False
    awaits: str = ""
    """The id of a call whose response has to come before it goes on."""


class GeminiPeerSession(PeerSession):
    def __init__(self, peer: "GeminiPeer", number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        super().__init__(peer, number, request, socket)
        self.config: dict[str, Any] = {}
        self.texts: list[str] = []
        self.responses: list[dict[str, Any]] = []
        self.heard: list[Pcm] = []
        self.turn: Turn | None = None
        self.pending: list[Reply] = []
        self.handles = itertools.count(1)
        self.interruptions = 0
        self.loud_s = 0.0

    @property
    def instructions(self) -> str:
        text: str = self.config["systemInstruction"]["parts"][0]["text"]
        return text

    async def tell(self, **message: Any) -> None:
        await self.send(json.dumps(message).encode())  # JSON in binary frames, as there


class GeminiPeer(PeerServer):
    """``calls``: functions that the model calls, one in each reply from the first on. ``hears``: what it writes down of
    the caller before a reply. ``leaves_at_s``: it says that it will go, and goes 8 s of sound later."""

    path = "/ws/BidiGenerateContent"
    wants_key = True
    full_status = 429

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        *,
        calls: tuple[Call, ...] = (),
        hears: str = "",
        leaves_at_s: float | None = None,
        forgets: bool = False,
    ) -> None:
        super().__init__(script)
        self.calls = list(calls)
        self.hears = hears
        self.turns = itertools.count()
        self.handles: set[str] = set()
        self._leaves_at_s = leaves_at_s
        self._forgets = forgets

    def make_session(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> GeminiPeerSession:
        return GeminiPeerSession(self, number, request, socket)

    def authorized(self, request: web.Request) -> bool:
        return request.headers.get("x-goog-api-key") == KEY and "Authorization" not in request.headers

    async def serve(self, session: GeminiPeerSession) -> None:
        if session.query:
            session.fault("something in the address that does not belong there")
        while not session.over and (frame := await session.receive()) is not None:
            message = json.loads(frame)
            if not isinstance(frame, str) or not isinstance(message, dict) or len(message) != 1:
                session.fault("a frame that is not one message")
                continue
            ((kind, body),) = message.items()
            if kind not in MESSAGES or (kind == "setup") == bool(session.config):
                session.fault(f"{kind} at the wrong time, or at all")
                continue
            found = problems(body, MESSAGES[kind], kind)
            for text in found:
                session.fault(text)
            if not found and not await self._take(session, kind, body):
                return
            self.changed()

    async def _take(self, session: GeminiPeerSession, kind: str, body: dict[str, Any]) -> bool:
        """Whether the session goes on."""
        match kind:
            case "setup":
                return await self._set_up(session, body)
            case "toolResponse":
                await self._take_responses(session, body["functionResponses"])
            case "realtimeInput" if len(body) != 1:
                session.fault("realtimeInput of several kinds, or of none")
            case "realtimeInput" if "text" in body:
                await self._take_text(session, body["text"])
            case _:
                await self._hear(session, body["audio"])
        return True

    async def _set_up(self, session: GeminiPeerSession, config: dict[str, Any]) -> bool:
        if not re.fullmatch(r"models/[\w.-]+", config["model"]):
            session.fault("a model without its kind before it")
        if config["generationConfig"]["responseModalities"] != ["AUDIO"]:
            session.fault("a session that does not speak")
        for tool in config.get("tools", ()):
            for function in tool["functionDeclarations"]:
                self._check_parameters(session, function.get("parameters"))
        handling = config.get("realtimeInputConfig", {}).get("activityHandling")
        if handling not in (None, "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"):
            session.fault("an unknown activityHandling")
        await self.released()
        handle = config.get("sessionResumption", {}).get("handle")
        if handle is not None and (self._forgets or handle not in self.handles):
            await session.close(1008)
            return False
        session.config = config
        await session.tell(setupComplete={})
        return True

    def _check_parameters(self, session: GeminiPeerSession, schema: dict[str, Any] | None) -> None:
        if schema is None:
            return
        inner = list(schema["properties"].values())
        if schema["type"] != "OBJECT" or not inner or any(part.get("type") != "STRING" for part in inner):
            session.fault("parameters that are no object of this schema")

    async def _take_text(self, session: GeminiPeerSession, text: str) -> None:
        session.texts.append(text)
        await self._interrupt(session)
        self._begin(session, Reply(0.0, 1.0, text.removeprefix(EXACTLY)), call=None)

    async def _take_responses(self, session: GeminiPeerSession, responses: list[dict[str, Any]]) -> None:
        for response in responses:
            session.responses.append(response)
            if session.turn is None or response["id"] != session.turn.awaits:
                session.fault("a response to a call that was not made")
                continue
            session.turn.awaits = ""

    async def _hear(self, session: GeminiPeerSession, blob: dict[str, Any]) -> None:
        octets = base64.b64decode(blob["data"], validate=True)
        if blob["mimeType"] != f"audio/pcm;rate={INPUT_RATE_HZ}" or not octets or len(octets) % 2:
            session.fault("sound of another kind")
            return
        pcm = np.frombuffer(octets, np.int16)
        session.heard.append(pcm)
        seconds = len(pcm) / INPUT_RATE_HZ
        blocks = np.abs(pcm[: len(pcm) // 160 * 160].astype(np.int32)).reshape(-1, 160).max(axis=1, initial=0)
        session.loud_s = session.loud_s + float((blocks > LOUD).sum()) * 0.01 if (blocks > LOUD).any() else 0.0
        if session.loud_s >= 0.3 and session.turn is not None:
            await self._hear_speech(session)
        cues = list(session.listen(seconds))
        await self._make(session, seconds)
        for cue in cues:
            await self._do(session, cue)
        await self._leave(session)

    async def _hear_speech(self, session: GeminiPeerSession) -> None:
        handling = session.config.get("realtimeInputConfig", {}).get("activityHandling")
        if handling != "NO_INTERRUPTION" and not self.script.deaf_to_interrupts:
            await self._interrupt(session)

    async def _interrupt(self, session: GeminiPeerSession) -> None:
        if session.turn is None:
            return
        session.interruptions += 1
        if session.turn.awaits:
            await session.tell(toolCallCancellation={"ids": [session.turn.awaits]})
        session.turn = None
        await session.tell(serverContent={"interrupted": True})
        await session.tell(serverContent={"turnComplete": True}, usageMetadata={"totalTokenCount": 7})

    async def _do(self, session: GeminiPeerSession, cue: Reply | Cue) -> None:
        match cue:
            case Reply():
                session.pending.append(cue)
                await self._next(session)
            case Cue.CUT:
                await session.cut()
            case Cue.GARBAGE:
                await session.send(b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":7}]}}}')
            case Cue.EXPIRE:
                await session.tell(goAway={"timeLeft": "0.5s"})
                await session.close()

    async def _leave(self, session: GeminiPeerSession) -> None:
        if self._leaves_at_s is None or session.number:
            return
        if session.heard_s >= self._leaves_at_s + 8.0:
            await session.cut()
        elif self._leaves_at_s <= session.heard_s < self._leaves_at_s + 0.1:
            await session.tell(goAway={"timeLeft": "8s"})

    async def _next(self, session: GeminiPeerSession) -> None:
        if session.turn is not None or not session.pending:
            return
        if self.hears:
            for word in self.hears.split():
                await session.tell(serverContent={"inputTranscription": {"text": f" {word}"}})
        self._begin(session, session.pending.pop(0), self.calls.pop(0) if self.calls else None)

    def _begin(self, session: GeminiPeerSession, reply: Reply, call: Call | None) -> None:
        words, lasts_s = reply.words, reply.lasts_s
        if call is not None:
            words, lasts_s = call.words, 1.0 if call.words else 0.0
        samples = round(lasts_s * OUTPUT_RATE_HZ)
        session.turn = Turn(next(self.turns), samples, words.split(), session.heard_s, call)

    async def _make(self, session: GeminiPeerSession, seconds: float) -> None:
        """Go on with the turn at hand, at least by one piece."""
        turn = session.turn
        if turn is None or turn.awaits:
            return
        until = min(turn.samples, turn.sent + max(PIECE_SAMPLES, round(SPEED * seconds * OUTPUT_RATE_HZ)))
        while turn.sent < until:
            await self._send_piece(session, turn)
            if self.script.cuts_within_reply and session.number == 0 and turn.sent * 2 >= turn.samples:
                await session.cut()
                return
        if turn.sent >= turn.samples:
            await self._go_on(session, turn)

    async def _send_piece(self, session: GeminiPeerSession, turn: Turn) -> None:
        count = min(PIECE_SAMPLES, turn.samples - turn.sent)
        data = base64.b64encode(tone(turn.number, count, OUTPUT_RATE_HZ, turn.sent).tobytes()).decode()
        blob = {"mimeType": f"audio/pcm;rate={OUTPUT_RATE_HZ}", "data": data}
        await session.tell(serverContent={"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}})
        begun, due = (round(len(turn.words) * at / turn.samples) for at in (turn.sent, turn.sent + count))
        turn.sent += count
        if words := turn.words[begun:due]:
            text = " ".join(words) if begun == 0 else f" {' '.join(words)}"
            await session.tell(serverContent={"outputTranscription": {"text": text}})

    async def _go_on(self, session: GeminiPeerSession, turn: Turn) -> None:
        """All its sound was sent."""
        if turn.call is not None:
            call, turn.call = turn.call, None
            turn.awaits = f"call-{turn.number}"
            function = {"id": turn.awaits, "name": call.name, "args": call.args}
            await session.tell(toolCall={"functionCalls": [function]})
            if call.then:
                turn.words = call.then.split()
                turn.sent, turn.samples = 0, OUTPUT_RATE_HZ
            return
        if not turn.generated:
            turn.generated = True
            await session.tell(serverContent={"generationComplete": True})
        if session.heard_s >= turn.began_s + turn.samples / OUTPUT_RATE_HZ:
            session.turn = None
            await session.tell(serverContent={"turnComplete": True}, usageMetadata={"totalTokenCount": 7})
            handle = f"handle-{session.number}-{next(session.handles)}"
            self.handles.add(handle)
            update = {"newHandle": handle, "resumable": True}
            await session.tell(sessionResumptionUpdate=update)
            await self._next(session)


def heard_by(session: GeminiPeerSession) -> Pcm:
    """All that the client sent of the caller."""
    return cast(Pcm, np.concatenate(session.heard))
