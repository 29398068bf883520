"""What a model may do to a call, as functions it is told of; and what a call of such a function means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from model_worker.dialog.brief import Brief, Mode
from model_worker.seams import Action, SoundHeard

ACCEPTED = '{"result":"accepted"}'
REPORT_SOUND = "report_sound"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """``arguments``: JSON, as the model wrote it."""

    call_id: str
    name: str
    arguments: str


class NoSuchToolError(Exception):
    """The model called what it was not given. The text is for the model."""


class _Arguments(msgspec.Struct):
    to: str = ""
    name: str = ""


_arguments = msgspec.json.Decoder(_Arguments)


def functions(brief: Brief) -> list[dict[str, Any]]:
    """The functions of a line: name, description, parameters (JSON Schema)."""
    if brief.mode is Mode.SOUND_EVENTS:
        name = {"type": "string", "enum": sorted(brief.on_sound)} if brief.on_sound else {"type": "string"}
        return [_function(REPORT_SOUND, "Report a sound that is not speech.", {"name": name})]
    found: list[dict[str, Any]] = []
    if brief.mode is not Mode.DIALOG:
        return found
    if brief.tools.hangup:
        found.append(_function("hangup", "End the call, after the goodbye.", {}))
    if brief.tools.voicemail:
        found.append(_function("voicemail", "Let the caller leave a message; the call ends with it.", {}))
    if brief.tools.transfer:
        to = {"type": "string", "enum": sorted(brief.tools.transfer)}
        found.append(_function("transfer", "Connect the caller to somebody else; you leave the call.", {"to": to}))
    return found


def meaning(call: FunctionCall, brief: Brief) -> Action | SoundHeard:
    """What a model wants. Raises NoSuchToolError."""
    if call.name not in {function["name"] for function in functions(brief)}:
        raise NoSuchToolError("There is no such function.")
    try:
        arguments = _arguments.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        raise NoSuchToolError("The arguments do not fit the function.") from None
    if call.name == REPORT_SOUND:
        if not arguments.name or (brief.on_sound and arguments.name not in brief.on_sound):
            raise NoSuchToolError("There is no such sound on the list.")
        return SoundHeard(arguments.name[:60])
    if call.name == "transfer":
        number = brief.tools.transfer.get(arguments.to)
        if number is None:
            raise NoSuchToolError("There is nobody of that name to transfer to.")
        return Action("transfer", {"to": number})
    return Action(call.name)


def refusal(error: NoSuchToolError) -> str:
    return msgspec.json.encode({"error": str(error)}).decode()


def _function(name: str, description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "description": description, "parameters": parameters}
