"""How long a silence must last to be the end of what the caller wants to say; and what is only an acknowledgement.

By the words so far: who has said a whole sentence is answered sooner, who stopped at "and" is waited for. Frames are
those of the speech detector, 32 ms.
"""

from model_worker.dialog.understanding import normalize
from model_worker.duplex.overlap_judge import Words

USUAL_FRAMES = 19
"""0.6 s, where the words say nothing: as the receptionist has it."""
COMPLETE_FRAMES = 11
"""0.35 s after a sentence: pauses between two sentences of one turn are longer, and whoever goes on is let go on."""
UNFINISHED_FRAMES = 34
"""1.1 s after "and", "to" or "um": pauses within a turn reach that."""
SHORT_PAUSE_FRAMES = 6
"""0.2 s: longer than a stop consonant. From here on an answer may be begun, unheard."""

_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
_GOES_ON = (",", ";", ":", "-", "…", "，", "、")
_SHORT_ANSWERS = frozenset(["yes", "no", "yeah", "nope", "yep", "please", "thanks", "ja", "nein", "oui", "non", "sí", "si", "是", "不是", "对", "好"])
_OPEN_ENDS = frozenset(
    ["and", "or", "but", "so", "because", "if", "when", "that", "which", "who", "with", "without", "to", "of", "for", "from", "in", "on", "at", "by", "the", "a", "an", "my", "your", "our", "his", "her", "their", "is", "are", "was", "i", "um", "uh", "er", "erm", "well", "like", "about", "und", "oder", "aber", "weil", "wenn", "dass", "mit", "ohne", "zu", "von", "für", "der", "die", "das", "ein", "eine", "mein", "ich", "äh", "ähm", "et", "ou", "mais", "parce", "si", "que", "avec", "sans", "de", "du", "pour", "le", "la", "les", "un", "une", "mon", "ma", "je", "euh", "y", "o", "pero", "porque", "con", "sin", "para", "el", "los", "un", "una", "mi", "yo", "eh"]
)
_ACKNOWLEDGEMENTS = frozenset(
    ["mhm", "mm", "mmm", "hm", "hmm", "uh", "huh", "uhhuh", "aha", "ah", "oh", "okay", "ok", "yeah", "yep", "yes", "right", "sure", "alright", "great", "good", "fine", "nice", "wow", "i", "see", "got", "it", "thanks", "thank", "you", "cool", "exactly", "true", "ja", "genau", "stimmt", "gut", "klar", "aha", "oui", "d'accord", "bien", "claro", "vale", "bueno", "sí", "嗯", "好", "对", "是", "哦", "好的", "是的", "对对"]
)
_OBJECTIONS = (
    "stop",
    "wait",
    "hold on",
    "no no",
    "excuse me",
    "warte",
    "moment",
    "halt",
    "attends",
    "espera",
    "等一下",
)


def needed_quiet_frames(words: str) -> int:
    """Of silence after ``words``, as far as they are known by now, before the turn is over."""
    text = words.strip()
    last = normalize(text).rpartition(" ")[2]
    if not last:
        return USUAL_FRAMES
    if text.endswith(_GOES_ON) or (last in _OPEN_ENDS and not text.endswith(_SENTENCE_ENDS)):
        return UNFINISHED_FRAMES
    if text.endswith(_SENTENCE_ENDS) or normalize(text) in _SHORT_ANSWERS:
        return COMPLETE_FRAMES
    return USUAL_FRAMES


def sort_words(words: str, *, still_speaking: bool) -> Words:
    """What ``words`` over the agent's voice are. While the caller speaks on, an acknowledgement may become more."""
    said = normalize(words)
    if not said:
        return Words.AWAITED
    if any(f" {objection} " in f" {said} " for objection in _OBJECTIONS):
        return Words.OBJECTION
    if all(word in _ACKNOWLEDGEMENTS for word in said.split()):
        return Words.AWAITED if still_speaking else Words.NOTHING
    return Words.QUESTION


def same_words(one: str, other: str) -> bool:
    """Whether an answer to the one is one to the other: but for case and punctuation they are the same."""
    return normalize(one) == normalize(other)
