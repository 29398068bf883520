"""How long a silence must last to be the end of what the caller wants to say; and what is only an acknowledgement.

By the words so far: who has said a whole sentence is answered sooner, who stopped at "and" is waited for. Frames are
those of the speech detector, 32 ms.
"""

import re

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
_GOES_ON = ("...", "…", ",", ";", ":", "-", "–", "，", "、", "；", "：")


def _listed(phrases: str) -> tuple[str, ...]:
    return tuple(phrase for line in phrases.splitlines() for phrase in line.strip().split(", ") if phrase)


def _any_of(phrases: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, phrases))


_SHORT_ANSWERS = _listed(
    """
    yes, no, yeah, nope, yep, please, thanks
    ja, nein, doch, danke, bitte
    oui, non, merci
    sí, si, gracias
    是, 是的, 不是, 对, 不对, 好, 好的, 不用, 谢谢
    """
)

# By language: the German "an" ends a sentence ("rufen Sie mich an"). Left out is what ends sentences as often as not:
# "that" ("I would like that"), "so" ("I think so"), "mit" ("ich nehme es mit"), "ich" ("das brauche ich").
_OPEN_ENDS = {
    "en": _listed(
        """
        and, or, but, because, if, when, which, who, with, without, to, of, for, from, in, on, at, by, about
        the, a, an, my, your, our, his, her, their, is, are, was, i, we, like, um, uh, er, erm
        """
    ),
    "de": _listed(
        """
        und, oder, aber, weil, wenn, dass, ohne, von, für
        der, die, eine, einen, einem, einer, mein, meine, meinen, meiner, äh, ähm, hm
        """
    ),
    "fr": _listed(
        """
        et, ou, mais, parce, que, qui, avec, sans, de, du, des, pour, à
        le, la, les, un, une, mon, ma, mes, est, sont, je, nous, euh
        """
    ),
    "es": _listed(
        """
        y, e, o, u, pero, porque, que, con, sin, de, del, para, en, a
        el, la, los, las, un, una, mi, mis, es, son, yo, eh
        """
    ),
    "zh": _listed("和, 跟, 还有, 但是, 可是, 因为, 如果, 我, 呃"),
}

_ACKNOWLEDGEMENTS = _listed(
    """
    mhm, mm, mmm, hm, hmm, huh, uh huh, uhhuh, mm hmm, aha, ah, oh, okay, ok, yeah, yep, yes, right, sure, alright
    all right, of course, great, good, fine, nice, wow, cool, exactly, true, perfect, i see, got it, thanks, thank you
    that's right, sounds good, makes sense
    ja, genau, stimmt, gut, klar, alles klar, ach so, verstehe, danke
    oui, d'accord, bien, très bien, bien sûr, je vois, voilà, merci
    sí, claro, vale, bueno, muy bien, está bien, de acuerdo, ya veo, gracias
    """
)
_ACKNOWLEDGEMENTS_UNSPACED = _listed(
    """
    嗯, 哦, 啊, 好, 好的, 好吧, 对, 对的, 是, 是的, 行
    可以, 明白, 明白了, 知道了, 谢谢
    """
)
"""Of a script without blanks: they stand one after another."""
_OBJECTIONS = _listed(
    """
    stop, wait, hold on, hang on, one moment, no no, excuse me
    warte, warten sie, moment, halt, stopp
    attends, attendez, arrêtez, un moment
    espera, espere, un momento, pare
    """
)
_OBJECTIONS_UNSPACED = _listed("等一下, 等等, 停")

_ONLY_ACKNOWLEDGES = re.compile(
    rf"((({_any_of(_ACKNOWLEDGEMENTS)})( |$))|(({_any_of(_ACKNOWLEDGEMENTS_UNSPACED)}) ?))+"
)
_OBJECTS = re.compile(rf"(^| )({_any_of(_OBJECTIONS)})( |$)|{_any_of(_OBJECTIONS_UNSPACED)}")


def needed_quiet_frames(words: str, language: str) -> int:
    """Of silence after ``words``, as far as they are known by now, before the turn is over.

    ``language``: a tag of BCP 47. Of one that is not known here only the punctuation counts.
    """
    text = words.strip()
    said = normalize(text)
    if not said:
        return USUAL_FRAMES
    if text.endswith(_GOES_ON):
        return UNFINISHED_FRAMES
    if text.endswith(_SENTENCE_ENDS) or said in _SHORT_ANSWERS:
        return COMPLETE_FRAMES
    return UNFINISHED_FRAMES if _is_open(said, language.lower().partition("-")[0]) else USUAL_FRAMES


def sort_words(words: str, *, still_speaking: bool) -> Words:
    """What ``words`` over the agent's voice are. While the caller speaks on, an acknowledgement may become more."""
    said = normalize(words)
    if not said:
        return Words.AWAITED
    if _OBJECTS.search(said):
        return Words.OBJECTION
    if _ONLY_ACKNOWLEDGES.fullmatch(said):
        return Words.AWAITED if still_speaking else Words.NOTHING
    return Words.QUESTION


def same_words(one: str, other: str) -> bool:
    """Whether an answer to the one is one to the other: but for case and punctuation they are the same."""
    return normalize(one) == normalize(other)


def _is_open(said: str, language: str) -> bool:
    ends = _OPEN_ENDS.get(language, ())
    return said.endswith(ends) if language == "zh" else said.rpartition(" ")[2] in ends
