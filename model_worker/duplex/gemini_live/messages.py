"""Messages of Gemini Live (BidiGenerateContent of v1beta), as ``google-genai`` 3.4.0 has them: one JSON object a frame.

The server sends it in binary frames. A message of its has one part or several; parts that are not listed are passed
over, for servers add some.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.remote.effects import Frame, Line, SessionFault
from model_worker.duplex.remote.prompts import instructions
from model_worker.duplex.remote.tools import functions
from wire.messages import Voice

INPUT_RATE_HZ, OUTPUT_RATE_HZ = 16_000, 24_000
MAX_FRAME_BYTES = 4 * 1024 * 1024  # half a minute of sound; servers send a fraction of a second at once
_OUTPUT_TYPES = ("audio/pcm", f"audio/pcm;rate={OUTPUT_RATE_HZ}")
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
_SAY_NOTHING = "You write down what a caller says and never answer: say nothing, whatever you hear."
_SO_FAR = "You are in the middle of a conversation. This was said so far:"


class GarbageError(Exception):
    """Not a message of the protocol. The text quotes nothing of it."""


class _Part(msgspec.Struct, rename="camel"):
    """Of an object in a message."""


class Blob(_Part):
    mime_type: str
    data: bytes


class ContentPart(_Part):
    inline_data: Blob | None = None


class Content(_Part):
    parts: list[ContentPart] = []


class Transcription(_Part):
    text: str = ""
    finished: bool = False


class ServerContent(_Part):
    model_turn: Content | None = None
    turn_complete: bool = False
    """The server is done with a turn; it may wait with this until it should have been played."""
    generation_complete: bool = False
    """All of the turn was sent."""
    interrupted: bool = False
    """It heard the caller and dropped what it had not sent of the turn."""
    input_transcription: Transcription | None = None
    output_transcription: Transcription | None = None


class FunctionCall(_Part):
    name: str
    id: str = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")


class ToolCall(_Part):
    function_calls: list[FunctionCall] = []


class ToolCallCancellation(_Part):
    ids: list[str] = []


class GoAway(_Part):
    time_left: str = "0s"

    @property
    def left_s(self) -> float:
        """Raises GarbageError."""
        found = _DURATION.fullmatch(self.time_left)
        if found is None:
            raise GarbageError("a time left that is no duration")
        return float(found[1])


class SessionResumptionUpdate(_Part):
    new_handle: str = ""
    resumable: bool = False


class Status(_Part):
    """An error (google.rpc.Status)."""

    code: int = 0
    status: str = ""

    @property
    def fault(self) -> SessionFault:
        if self.code == 429 or self.status == "RESOURCE_EXHAUSTED":
            return SessionFault.FULL
        if self.code in (401, 403, 404) or self.status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"):
            return SessionFault.REFUSED
        return SessionFault.SERVER_ERROR


class SetupComplete(_Part):
    pass


class ServerMessage(_Part):
    setup_complete: SetupComplete | None = None
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: ToolCallCancellation | None = None
    go_away: GoAway | None = None
    session_resumption_update: SessionResumptionUpdate | None = None
    error: Status | None = None


_decoder = msgspec.json.Decoder(ServerMessage)


def read(frame: Frame) -> ServerMessage:
    """A message of the server. Raises GarbageError."""
    if len(frame) > MAX_FRAME_BYTES:
        raise GarbageError(f"a frame of {len(frame)} bytes, expected at most {MAX_FRAME_BYTES}")
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise GarbageError(f"not a message: {type(error).__name__}") from None


def sound_of(blob: Blob) -> bytes:
    """Samples of 16 bits at ``OUTPUT_RATE_HZ``. Raises GarbageError."""
    if blob.mime_type.replace(" ", "").lower() not in _OUTPUT_TYPES:
        raise GarbageError("sound of another kind than was agreed on")
    if len(blob.data) % 2:
        raise GarbageError("sound that ends within a sample")
    return blob.data


def setup(model: str, brief: Brief, said: Sequence[Line], resume: str) -> str:
    """How a session serves a line.

    What was said goes into the instructions, where every model takes it (the newer ones take no history after the
    setup), but not with ``resume``, a handle by which the server knows it.
    """
    voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": brief.voice.name}}} if brief.voice.name else {}
    # In a dialog the server's interruption is what an interruption by the gateway is passed on with. An interpreter
    # goes on while the speaker does.
    handling = "NO_INTERRUPTION" if brief.mode is Mode.TRANSLATION else "START_OF_ACTIVITY_INTERRUPTS"
    config: dict[str, Any] = {
        "model": model if "/" in model else f"models/{model}",
        "generationConfig": {"responseModalities": ["AUDIO"], **({"speechConfig": voice} if voice else {})},
        "systemInstruction": {"parts": [{"text": _told(brief, () if resume else said)}]},
        "realtimeInputConfig": {"activityHandling": handling},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "sessionResumption": {"handle": resume} if resume else {},
        "contextWindowCompression": {"slidingWindow": {}},
    }
    if declarations := [_declaration(function) for function in functions(brief)]:
        config["tools"] = [{"functionDeclarations": declarations}]
    return _write({"setup": config})


def audio(octets: bytes) -> str:
    """Sound of the caller, 16-bit little-endian samples at ``INPUT_RATE_HZ``."""
    return _write({"realtimeInput": {"audio": {"mimeType": f"audio/pcm;rate={INPUT_RATE_HZ}", "data": octets}}})


def text(words: str) -> str:
    """A turn of the caller's in words, which the model answers."""
    return _write({"realtimeInput": {"text": words}})


def function_response(call: FunctionCall, response: bytes) -> str:
    """``response``: a JSON object."""
    told = {"id": call.id, "name": call.name, "response": msgspec.Raw(response)}
    return _write({"toolResponse": {"functionResponses": [told]}})


def _told(brief: Brief, said: Sequence[Line]) -> str:
    if brief.mode is Mode.TRANSCRIPTION:
        return f"{_SAY_NOTHING}\n\n{brief.instructions}".strip()
    lines = [f"{'You' if line.voice is Voice.AGENT else 'Caller'}: {line.text}" for line in said]
    return "\n".join([instructions(brief), "", _SO_FAR, *lines] if lines else [instructions(brief)])


def _declaration(function: dict[str, Any]) -> dict[str, Any]:
    """A function as this API describes it: a part of OpenAPI's schema, types in capitals, no empty objects."""
    declaration = {"name": function["name"], "description": function["description"]}
    schema = function["parameters"]
    if not schema["properties"]:
        return declaration
    properties = {name: {**inner, "type": inner["type"].upper()} for name, inner in schema["properties"].items()}
    return {**declaration, "parameters": {"type": "OBJECT", "properties": properties, "required": schema["required"]}}


def _write(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
