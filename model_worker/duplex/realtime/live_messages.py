"""Events of OpenAI Live: what is read of the server's, and ours, as ``openai.types.live`` 3.54.0 has them."""

from typing import Any

import msgspec

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.remote.json_frames import Events
from model_worker.duplex.remote.prompts import instructions
from model_worker.duplex.remote.seam import Opening
from model_worker.duplex.remote.tools import functions
from wire.audio.codecs import Codec
from wire.messages import Voice

MODEL = "gpt-live-1"
TOOL_MODEL = "gpt-5.4-mini"
FORMATS: dict[Codec, dict[str, Any]] = {
    Codec.L16_24K: {"type": "audio/pcm", "rate": 24_000},
    Codec.PCMU: {"type": "audio/pcmu", "rate": 8_000},
}
_HELPER = (
    "A voice model on a telephone line hands you what the caller wants done. Call the function that does it. "
    "Call none where none fits, and say so in a few words. What the line is for:\n\n"
)


class Started(msgspec.Struct):
    pass


class Closed(msgspec.Struct):
    reason: str


class AudioDelta(msgspec.Struct):
    delta: bytes


class OutputTranscript(msgspec.Struct):
    """Times are the session's own, from its start."""

    delta: str
    start_ms: int
    end_ms: int


class InputTranscript(msgspec.Struct):
    delta: str
    start_ms: int
    end_ms: int


class Delegation(msgspec.Struct):
    id: str
    target: str


class DelegationCreated(msgspec.Struct):
    delegation: Delegation


class Item(msgspec.Struct):
    type: str
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None


class NestedEvent(msgspec.Struct):
    """An event of the Responses API; ``item`` where it is about one."""

    type: str
    item: Item | None = None


class ResponseEvent(msgspec.Struct):
    event: NestedEvent


class ErrorDetails(msgspec.Struct):
    type: str | None = None
    code: str | None = None


class Error(msgspec.Struct):
    error: ErrorDetails


EVENTS = Events(
    {
        "session.started": Started,
        "session.closed": Closed,
        "session.output_audio.delta": AudioDelta,
        "session.output_transcript.delta": OutputTranscript,
        "session.input_transcript.delta": InputTranscript,
        "session.delegation.created": DelegationCreated,
        "response.event": ResponseEvent,
        "error": Error,
    }
)


def start(opening: Opening, codec: Codec, model: str, tool_model: str) -> dict[str, Any]:
    """How a session begins: all of it is fixed from then on."""
    brief = opening.brief
    voice = {"output": {"voice": brief.voice.name}} if brief.voice.name else {}
    session = {
        "model": model or MODEL,
        "instructions": instructions(brief),
        "audio": {"format": FORMATS[codec], **voice},
        "delegation": _delegation(brief, tool_model or TOOL_MODEL),
        "input": [_said(line.voice, line.text) for line in opening.said],
        "store": False,
    }
    return {"type": "session.start", "session": session}


def append(octets: bytes) -> dict[str, Any]:
    return {"type": "session.input_audio.append", "audio": octets}


def speakable(text: str, delegation_id: str | None = None) -> dict[str, Any]:
    """Something to tell the caller."""
    return {"type": "session.commentary.append", "content": text, "delegation_id": delegation_id}


def silent(text: str) -> dict[str, Any]:
    """Something to know, and not to speak of."""
    return {"type": "session.thinking.append", "content": text, "delegation_id": None}


def instruct(text: str) -> dict[str, Any]:
    """Something to act on."""
    return {"type": "session.instructions.append", "content": text, "delegation_id": None}


def function_output(call_id: str, output: str) -> dict[str, Any]:
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {"type": "response.item.create", "item": item}


def go_on() -> dict[str, Any]:
    """Let the helper go on after the outputs of its functions."""
    return {"type": "response.create"}


def close() -> dict[str, Any]:
    return {"type": "session.close"}


def _delegation(brief: Brief, tool_model: str) -> dict[str, Any]:
    """A Live model calls no functions itself: it hands work to another model, which does."""
    tools = functions(brief)
    if not tools:
        return {"type": "client"}
    told = brief.instructions if brief.mode is Mode.DIALOG else instructions(brief)
    helper = {
        "model": tool_model,
        "instructions": _HELPER + told,
        "tools": tools,
        "parallel_tool_calls": False,
    }
    return {"type": "responses", "responses": helper}


def _said(voice: Voice, text: str) -> dict[str, Any]:
    if voice is Voice.AGENT:
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
