"""An agent for the tests of dialog and receptionist, in words short enough to count."""

from typing import Any

from model_worker.dialog.agent import Agent

FIELDS: dict[str, Any] = {
    "name": "desk",
    "greeting": "Hello, I am a machine.",
    "menu": {"prompt": "Press 1 for hours.", "after_greeting": False},
    "questions": [
        {"id": "hours", "key": "1", "examples": ["opening hours", "when are you open"], "answer": "We open at eight."},
        {"id": "visit", "key": "4", "examples": ["appointment"], "confirm": "Shall we call you?", "then": "voicemail"},
        {"id": "leave", "key": "5", "examples": ["leave"], "answer": "Very well.", "then": "hangup"},
        {"id": "person", "key": "0", "examples": ["operator"], "then": "transfer"},
    ],
    "anything_else": "Anything else?",
    "not_understood": ["Pardon?"],
    "confirm_hint": "Yes or no?",
    "goodbye": {"say": "Goodbye.", "examples": ["goodbye"]},
    "silence": {"after_s": 4, "prompts": ["Are you there?"], "then": "hangup", "say": "I hear nothing."},
    "failures": {"limit": 2, "then": "transfer", "say": "I give up."},
    "transfer": {"to": "+15550100200", "say": "Connecting."},
    "voicemail": {"say": "Speak now."},
    "max_call_minutes": 2,
    "time_up": "Time is up.",
}


def agent(**changes: Any) -> Agent:
    """The agent of the tests with some fields of its file changed."""
    return Agent.model_validate({**FIELDS, **changes})
