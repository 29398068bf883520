"""Whether a caller who sounds over the agent wants the floor.

Speech that lasts is an objection; an acknowledgement ("mhm", "right") is over before that. What was short is decided
by its words, once they are recognized: a question takes the floor, and so does "stop"; "okay" does not, nor does what
fits nothing. What the speech detector never took for speech was a cough or a click.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from model_worker.dialog.understanding import match, normalize
from wire.messages import Floor

OBJECTION_S = 0.7  # of speech; a drawn-out "uh huh" or "thank you" takes 0.6 s, and people say one of them at a time
QUIET_S = 0.3  # no pause within a word is longer
LEAST_SPEECH_S = 0.1  # three frames of the detector: a cough has one or two


class Words(Enum):
    """What was recognized of an utterance over the agent's voice."""

    AWAITED = "awaited"
    """Nothing yet."""
    QUESTION = "question"
    """Something the dialog expects now."""
    OBJECTION = "objection"
    """"Stop", "wait"."""
    NOTHING = "nothing"
    """An acknowledgement, or what fits nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an overlap: seconds of speech in it, seconds of quiet at its end, its words."""

    speech_s: float
    quiet_s: float
    words: Words = Words.AWAITED


def judge(evidence: Evidence) -> Floor | None:
    """Who shall have the floor; None while it cannot be told."""
    match evidence.words:
        case Words.QUESTION | Words.OBJECTION:
            return Floor.YIELD
        case _ if evidence.speech_s >= OBJECTION_S:
            return Floor.YIELD
        case Words.NOTHING:
            return Floor.KEEP
        case _ if evidence.quiet_s >= QUIET_S and evidence.speech_s < LEAST_SPEECH_S:
            return Floor.KEEP
        case _:
            return None


def sort_words(text: str, expected: Collection[str], objections: Collection[str]) -> Words:
    """What the recognized ``text`` (empty: it fits nothing) is, where the dialog expects ``expected``."""
    if not text:
        return Words.NOTHING
    if match(text, dict.fromkeys(map(normalize, expected), True)):
        return Words.QUESTION
    return Words.OBJECTION if normalize(text) in {normalize(phrase) for phrase in objections} else Words.NOTHING
