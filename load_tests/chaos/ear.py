"""What a caller heard around a fault, by the watermark in the agent's voice.

Every word of the agent has a pitch of its own, so that the ear knows which word it hears. Definitions:

- *gap*: the longest time within a turn in which the agent is not heard.
- *repeated*: a word is heard again, or one before it. *Lost*: words of a turn that were not heard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from load_tests.duplex.caller import FRAME_S
from load_tests.duplex.measures import word_of

WATERMARKS = 40
_SURE_FRAMES = 3  # a word lasts 15; where two meet, a frame may look like anything


@dataclass(frozen=True, slots=True)
class Run:
    """Frames ``begin`` to ``end`` in which one word was heard."""

    word: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Around:
    """What was heard from a moment on."""

    gap_s: float
    gap_begin: int
    repeated: int
    lost: int


def runs(frames: Sequence[bytes], offset: int = 0) -> list[Run]:
    """The words that were heard, in order; frame numbers begin with ``offset``."""
    found: list[Run] = []
    word, begin, end = None, 0, 0
    for number, frame in enumerate(frames, offset):
        heard = word_of(frame)
        if heard is None:
            continue
        if heard == word and number - end <= 2 * _SURE_FRAMES:
            end = number + 1
            continue
        if word is not None and end - begin >= _SURE_FRAMES:
            found.append(Run(word, begin, end))
        word, begin, end = heard, number, number + 1
    if word is not None and end - begin >= _SURE_FRAMES:
        found.append(Run(word, begin, end))
    return found


def around(frames: Sequence[bytes], begin: int, end: int) -> Around:
    """Look at frames ``begin`` to ``end`` of a tape."""
    gap, gap_begin, repeated, lost = 0, 0, 0, 0
    heard = runs(frames[begin:end], begin)
    for before, after in pairwise(heard):
        if after.word == 0 and before.word == WATERMARKS - 1 and after.begin - before.end > 10:
            continue  # one turn ended, the next begins
        step = (after.word - before.word) % WATERMARKS
        if after.begin - before.end > gap:
            gap, gap_begin = after.begin - before.end, before.end
        if step == 0:
            repeated += after.end - after.begin + before.end - before.begin > 17  # a word that was cut in two is whole
        elif step > WATERMARKS // 2:
            repeated += 1
        else:
            lost += step - 1
    return Around(gap * FRAME_S, gap_begin, repeated, lost)
