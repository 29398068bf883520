"""Events of OpenAI Realtime (GA): what is read of the server's, and ours, as ``openai.types.realtime`` 3.54.0 has them.

Servers of others (vLLM-Omni, Qwen) still send the names of the beta for some; both are read.
"""

from typing import Any

import msgspec

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.remote.json_frames import Events
from model_worker.duplex.remote.prompts import instructions
from model_worker.duplex.remote.tools import functions
from wire.audio.codecs import Codec
from wire.messages import Voice

TRANSCRIBER = "gpt-transcribe"
FORMATS: dict[Codec, dict[str, Any]] = {
    Codec.L16_24K: {"type": "audio/pcm", "rate": 24_000},
    Codec.PCMU: {"type": "audio/pcmu"},
}


class SessionUpdated(msgspec.Struct):
    pass


class Committed(msgspec.Struct):
    """The caller paused: what was said since the last pause is an item of the conversation."""


class SpeechStarted(msgspec.Struct):
    pass


class Transcribed(msgspec.Struct):
    transcript: str


class ErrorDetails(msgspec.Struct):
    type: str | None = None
    code: str | None = None
    event_id: str | None = None
    """The event of ours that it is about."""


class StatusDetails(msgspec.Struct):
    reason: str | None = None
    error: ErrorDetails | None = None


class Response(msgspec.Struct):
    id: str
    status: str | None = None
    status_details: StatusDetails | None = None


class ResponseCreated(msgspec.Struct):
    response: Response


class ResponseDone(msgspec.Struct):
    response: Response


class AudioDelta(msgspec.Struct):
    response_id: str
    item_id: str
    delta: bytes


class TranscriptDelta(msgspec.Struct):
    response_id: str
    delta: str


class Item(msgspec.Struct):
    type: str
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None


class ItemDone(msgspec.Struct):
    response_id: str
    item: Item


class Error(msgspec.Struct):
    error: ErrorDetails


EVENTS = Events(
    {
        "session.updated": SessionUpdated,
        "input_audio_buffer.committed": Committed,
        "input_audio_buffer.speech_started": SpeechStarted,
        "conversation.item.input_audio_transcription.completed": Transcribed,
        "response.created": ResponseCreated,
        "response.output_audio.delta": AudioDelta,
        "response.audio.delta": AudioDelta,
        "response.output_audio_transcript.delta": TranscriptDelta,
        "response.audio_transcript.delta": TranscriptDelta,
        "response.output_item.done": ItemDone,
        "response.done": ResponseDone,
        "error": Error,
    }
)


def session_update(brief: Brief, codec: Codec, transcriber: str) -> dict[str, Any]:
    """How a session serves a line. The server tells where the caller pauses, and we when it answers."""
    voice = {"voice": brief.voice.name} if brief.voice.name else {}
    speaks = brief.mode in (Mode.DIALOG, Mode.TRANSLATION)
    hearing = {
        "format": FORMATS[codec],
        "transcription": {"model": transcriber or TRANSCRIBER, "language": brief.language.split("-")[0]},
        "turn_detection": {"type": "server_vad", "create_response": False, "interrupt_response": False},
    }
    session = {
        "type": "realtime",
        "output_modalities": ["audio" if speaks else "text"],
        "instructions": instructions(brief),
        "audio": {"input": hearing, "output": {"format": FORMATS[codec], **voice}},
        "tools": functions(brief),
        "tool_choice": "auto",
    }
    return {"type": "session.update", "session": session}


def message(voice: Voice, text: str) -> dict[str, Any]:
    """Something that was said, as text, into the conversation."""
    if voice is Voice.AGENT:
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    else:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {"type": "conversation.item.create", "item": item}


def function_output(call_id: str, output: str) -> dict[str, Any]:
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {"type": "conversation.item.create", "item": item}


def append(octets: bytes) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": octets}


def create(told: str, *, tools: bool) -> dict[str, Any]:
    """Have it answer; ``told`` stands for the session's instructions in this answer where it is not empty."""
    response: dict[str, Any] = {"instructions": told} if told else {}
    if not tools:
        response["tool_choice"] = "none"
    return {"type": "response.create", "response": response}


def cancel(response_id: str) -> dict[str, Any]:
    return {"type": "response.cancel", "response_id": response_id}


def truncate(item_id: str, heard_ms: int) -> dict[str, Any]:
    return {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": heard_ms}
