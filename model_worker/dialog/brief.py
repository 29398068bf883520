"""What a business writes about a line that a language or speech model answers: instructions instead of a dialog."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from model_worker.dialog.agent import E164, FilePart, Text
from model_worker.seams import Action
from wire.messages import OverlapRules

BriefedEngine = Literal["audio-interaction", "minicpm-o", "moshi", "realtime", "gemini-live", "cascade"]
"""Engines that take their agents in this form; ``receptionist`` has a form of its own."""

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A tag of BCP 47: ``en``, ``de``, ``zh-Hant``."""


class Mode(StrEnum):
    """What a line is for."""

    DIALOG = "dialog"
    TRANSCRIPTION = "transcription"
    """Nothing is said; what the caller says comes as transcripts."""
    TRANSLATION = "translation"
    """What the caller says comes in the language ``into``, as words, and spoken where the engine speaks."""
    SOUND_EVENTS = "sound-events"
    """Nothing is said; sounds other than speech are named, and ``on_sound`` acts on them."""


class LineVoice(FilePart):
    """The agent's voice, as the server names it; empty: the server's own."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9 ._+-]*$")] = ""


class LineOverlap(FilePart):
    """How sound of the caller over the agent's voice is treated, as ``wire.messages.OverlapRules`` has it."""

    duck_db: Annotated[float, Field(ge=0, le=60)] = 20.0
    judged_within_s: Annotated[float, Field(gt=0, le=10)] = 1.6
    stop_after_s: Annotated[float, Field(gt=0, le=10)] = 0.6
    sure_after_s: Annotated[float, Field(gt=0, le=10)] = 0.8

    def rules(self, *, model_judges: bool) -> OverlapRules:
        return OverlapRules(
            duck_db=self.duck_db,
            model_judges=model_judges,
            judged_within_s=self.judged_within_s,
            stop_after_s=self.stop_after_s,
            sure_after_s=max(self.stop_after_s, self.sure_after_s),
        )


class Tools(FilePart):
    """What the model may do to a call. ``transfer``: numbers by the name the model knows them under."""

    hangup: bool = False
    voicemail: bool = False
    transfer: Annotated[
        Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], E164], Field(max_length=20)
    ] = {}


class SoundAction(FilePart):
    """What a sound does to the call."""

    do: Literal["hangup", "transfer", "voicemail"]
    to: E164 | None = None

    @model_validator(mode="after")
    def _transfers_somewhere(self) -> "SoundAction":
        if (self.do == "transfer") != (self.to is not None):
            raise ValueError("'to' belongs to a transfer, and a transfer needs it")
        return self

    def action(self) -> Action:
        return Action(self.do, {"to": self.to} if self.to is not None else {})


class Brief(FilePart):
    """One line. ``instructions`` go to the model as they stand; ``greeting`` is what it says first."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    engine: BriefedEngine
    mode: Mode = Mode.DIALOG
    instructions: Annotated[str, Field(max_length=20_000)] = ""
    greeting: Text | None = None
    language: Language = "en"
    into: Language | None = None
    voice: LineVoice = LineVoice()
    overlap: LineOverlap = LineOverlap()
    tools: Tools = Tools()
    on_sound: Annotated[
        Mapping[Annotated[str, Field(min_length=1, max_length=60)], SoundAction], Field(max_length=50)
    ] = {}

    @model_validator(mode="after")
    def _fits_its_mode(self) -> "Brief":
        if (self.mode is Mode.TRANSLATION) != (self.into is not None):
            raise ValueError("'into' belongs to the mode translation, and that needs it")
        if self.mode is Mode.DIALOG and not self.instructions.strip():
            raise ValueError("a dialog needs instructions")
        return self
