"""The agent: everything a business writes about the receptionist that answers its calls.

The models describe one YAML file (docs/AGENTS.md); ``model_worker.dialog.load`` reads it. All
are frozen and refuse unknown fields, so that a typing error is found when the file is loaded
and not in the middle of a call.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from model_worker.dialog.understanding import normalize
from wire.messages import OverlapRules

MENU_KEY = "*"
"""Says the menu again."""
GOODBYE_KEY = "#"
"""Ends the call."""
YES_KEY = "1"
NO_KEY = "2"


class FilePart(BaseModel):
    """A part of an agent file: frozen, and without room for a field that is misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


def _digit_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _speakable(text: str) -> str:
    if not any(character.isalnum() for character in text):
        raise ValueError("expected words to speak, got none")
    return text


def _sayable(phrase: str) -> str:
    if not normalize(phrase):
        raise ValueError(f"expected a phrase a caller can say, got {phrase!r}")
    return phrase


Text = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_speakable)]
Phrase = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_sayable)]
Phrases = Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=50)]
Key = Annotated[str, BeforeValidator(_digit_as_text), Field(pattern=r"^[0-9]$")]
E164 = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
"""A telephone number as of ITU-T E.164: plus, country code, at most 15 digits in all."""


class Clip(FilePart):
    """A recorded prompt: a WAV file (mono, 16 bit) beside the agent file, and the words it says."""

    clip: Path
    text: Text


def _form(value: object) -> str:
    return "recording" if isinstance(value, dict | Clip) else "words"


Spoken = Annotated[Annotated[Text, Tag("words")] | Annotated[Clip, Tag("recording")], Discriminator(_form)]
"""Something to say: text for the voice, or a recording."""


class Ending(StrEnum):
    """How a call leaves the agent; the names of ``model_worker.seams.Action``."""

    HANGUP = "hangup"
    TRANSFER = "transfer"
    VOICEMAIL = "voicemail"


class Then(StrEnum):
    """What follows an answer."""

    MENU = "menu"
    HANGUP = "hangup"
    TRANSFER = "transfer"
    VOICEMAIL = "voicemail"


class VoiceStyle(FilePart):
    """The synthetic voice. ``rate_wpm`` is words per minute; ``pitch`` 0 to 99, 50 being the voice's own."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+_-]{0,39}$")] = "en-us"
    rate_wpm: Annotated[int, Field(ge=80, le=350)] = 160
    pitch: Annotated[int, Field(ge=0, le=99)] = 50


class Question(FilePart):
    """Something a caller may ask for, by key or by voice."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    key: Key
    examples: Phrases
    """What callers say; the first one is what the generated menu names."""
    answer: Spoken | None = None
    confirm: Spoken | None = None
    """A yes/no question asked before the answer."""
    then: Then = Then.MENU

    @model_validator(mode="after")
    def _says_something(self) -> "Question":
        if self.answer is None and self.then is Then.MENU:
            raise ValueError(f"question {self.id!r} needs an answer, or a 'then' other than menu")
        return self


class Menu(FilePart):
    """The choices, read to the caller."""

    prompt: Spoken | None = None
    """None: generated, "press 1 or say ..." for each question."""
    examples: Phrases = ("menu", "main menu", "what can I ask", "repeat", "repeat that")
    after_greeting: bool = True
    """Say it right after the greeting, without being asked."""


class Goodbye(FilePart):
    say: Spoken = "Thank you for calling. Goodbye."
    examples: Phrases = ("goodbye", "bye", "bye bye", "that's all", "that is all", "nothing else", "hang up")


class Silence(FilePart):
    """What to do about a caller who says nothing for ``after_s`` seconds: each prompt once, then an ending."""

    after_s: Annotated[float, Field(ge=2, le=60)] = 7.0
    prompts: Annotated[tuple[Spoken, ...], Field(max_length=5)] = ("Are you still there?",)
    then: Ending = Ending.HANGUP
    say: Spoken = "I cannot hear you, so I will end the call. Goodbye."


class Failures(FilePart):
    """What to do when ``limit`` utterances or keys in a row were not understood."""

    limit: Annotated[int, Field(ge=1, le=5)] = 2
    then: Ending = Ending.VOICEMAIL
    say: Spoken = "I am sorry, I still did not understand."


class Transfer(FilePart):
    to: E164
    say: Spoken = "One moment, I am connecting you."


class Voicemail(FilePart):
    say: Spoken = "Please leave a message after the tone."


class Overlap(FilePart):
    """What happens when the caller sounds over the agent: the voice is lowered, then stopped or brought back.

    Seconds and decibels as in ``wire.messages.OverlapRules``, which says what each means.
    """

    duck_db: Annotated[float, Field(ge=0, le=60)] = 20.0
    trigger_frames: Annotated[int, Field(ge=1, le=50)] = 2
    trigger_window: Annotated[int, Field(ge=1, le=50)] = 3
    over_after_s: Annotated[float, Field(gt=0, le=5)] = 0.24
    judged_within_s: Annotated[float, Field(gt=0, le=10)] = 2.4
    """A short remark takes this long to be recognized: 0.6 s of silence after it, and two chunks."""
    stop_after_s: Annotated[float, Field(gt=0, le=10)] = 0.6
    sure_after_s: Annotated[float, Field(gt=0, le=10)] = 0.8
    acknowledgements: Phrases = ("mhm", "uh-huh", "okay", "right", "yes", "yeah", "sure", "I see", "thank you", "great")
    """What callers say who only listen: the agent goes on."""
    objections: Phrases = ("stop", "wait", "hold on", "excuse me", "sorry", "hello")
    """Short words that take the floor, besides all that the agent expects to be asked."""

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> "Overlap":
        if self.trigger_frames > self.trigger_window:
            raise ValueError("trigger_frames cannot be more than trigger_window")
        if self.sure_after_s < self.stop_after_s:
            raise ValueError("sure_after_s cannot be less than stop_after_s")
        return self

    @property
    def phrases(self) -> tuple[str, ...]:
        """What the recognizer listens for while the agent speaks, besides what the dialog expects."""
        return (*self.acknowledgements, *self.objections)

    def rules(self) -> OverlapRules:
        """What the gateway needs of it."""
        return OverlapRules(
            duck_db=self.duck_db,
            trigger_frames=self.trigger_frames,
            trigger_window=self.trigger_window,
            over_after_s=self.over_after_s,
            model_judges=True,
            judged_within_s=self.judged_within_s,
            stop_after_s=self.stop_after_s,
            sure_after_s=self.sure_after_s,
        )


class Agent(FilePart):
    """One receptionist."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    engine: Literal["receptionist"] = "receptionist"
    language: Literal["en"] = "en"
    """The recognizer and the default prompts know English only."""
    voice: VoiceStyle = VoiceStyle()
    greeting: Spoken
    questions: Annotated[tuple[Question, ...], Field(min_length=1, max_length=10)]
    menu: Menu = Menu()
    anything_else: Spoken = "Is there anything else? Press star for the menu, or the pound key to end the call."
    not_understood: Annotated[tuple[Spoken, ...], Field(min_length=1, max_length=5)] = (
        "Sorry, I did not understand that.",
    )
    confirm_hint: Spoken = "Say yes or press 1, say no or press 2."
    """Said after every yes/no question."""
    yes_examples: Phrases = ("yes", "yes please", "yeah", "sure", "correct", "that's right")
    no_examples: Phrases = ("no", "no thanks", "no thank you", "nope")
    goodbye: Goodbye = Goodbye()
    silence: Silence = Silence()
    overlap: Overlap = Overlap()
    failures: Failures = Failures()
    transfer: Transfer | None = None
    voicemail: Voicemail = Voicemail()
    max_call_minutes: Annotated[float, Field(gt=0, le=240)] = 10.0
    time_up: Spoken = "I am sorry, I have to end the call now. Goodbye."

    def phrases(self) -> Mapping[str, Sequence[str]]:
        """All that callers are expected to say, by the place in the file that expects it."""
        return {f"question {question.id!r}": question.examples for question in self.questions} | {
            "menu": self.menu.examples,
            "goodbye": self.goodbye.examples,
            "yes_examples": self.yes_examples,
            "no_examples": self.no_examples,
        }

    @model_validator(mode="after")
    def _keys_and_phrases_are_unambiguous(self) -> "Agent":
        _require_unique("key", [(question.key, question.id) for question in self.questions])
        _require_unique("id", [(question.id, question.id) for question in self.questions])
        seen: dict[str, str] = {}
        for owner, phrases in self.phrases().items():
            for phrase in phrases:
                other = seen.setdefault(normalize(phrase), owner)
                if other != owner:
                    raise ValueError(f"the phrase {phrase!r} stands in {other} and in {owner}; remove it from one")
        return self

    @model_validator(mode="after")
    def _transfer_has_a_number(self) -> "Agent":
        users = [f"question {question.id!r}" for question in self.questions if question.then is Then.TRANSFER]
        users += ["failures"] if self.failures.then is Ending.TRANSFER else []
        users += ["silence"] if self.silence.then is Ending.TRANSFER else []
        if users and self.transfer is None:
            raise ValueError(f"{users[0]} transfers the caller; add 'transfer: {{to: \"+15551234567\"}}'")
        return self

    def spoken(self) -> tuple[Spoken, ...]:
        """Everything this agent can say from its file, each once, in the order of the file; not the generated menu."""
        parts: list[Spoken | None] = [self.greeting]
        for question in self.questions:
            parts += [question.answer, question.confirm]
        parts += [self.menu.prompt, self.anything_else, *self.not_understood, self.confirm_hint, self.goodbye.say]
        parts += [*self.silence.prompts, self.silence.say, self.failures.say]
        parts += [self.transfer.say if self.transfer else None, self.voicemail.say, self.time_up]
        return tuple(dict.fromkeys(part for part in parts if part is not None))


def text_of(spoken: Spoken) -> str:
    """The words of a prompt, whichever way it is said."""
    return spoken.text if isinstance(spoken, Clip) else spoken


def _require_unique(field: str, values: list[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for value, owner in values:
        if value in seen:
            raise ValueError(f"{field} {value!r} is given twice (questions {seen[value]!r} and {owner!r})")
        seen[value] = owner
