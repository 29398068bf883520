"""A caller who asks: which of its frames are loud, and which packets it takes for the answer. Pure but for one wait.

A gateway need not begin its first chunk with our first packet: it may have filled in silence before it, or hold the
sound back. So before the measured time each caller searches for the frame that completes a chunk.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic

from load_tests.figures import MISSING
from load_tests.generator import WARM_UP_S
from load_tests.pace import Pace
from load_tests.schedule import CHUNK_MS, FRAME_MS, FRAMES_PER_CHUNK, Questions
from load_tests.tally import Tally

SEARCH_ROUNDS = 2
SEARCH_S = SEARCH_ROUNDS * FRAMES_PER_CHUNK * CHUNK_MS / 1_000 + 3
_FIRST_TRY_CHUNKS = 3  # the place where it should be gets time for a slow answer
_POLL_S = 0.1


class AskingCaller:
    """What the callers of RTP doors share; each adds how it sends and how it listens.

    An answer may sound in up to ``spill_frames`` packets more than it has frames: a codec that looks ahead moves
    sound across the packets' edges.
    """

    __slots__ = (
        "_answer_frames",
        "_counting",
        "_heard_frames",
        "_in_gap",
        "_next_loud",
        "_question_due",
        "_questions",
        "_search_due",
        "_searches_left",
        "_spill_frames",
        "_tally",
        "_unasked",
        "first_tick",
        "frames_sent",
        "lost",
        "number",
        "pace",
        "shift_frames",
    )

    def __init__(
        self, number: int, questions: Questions, answer_ms: int, tally: Tally, pace: Pace, spill_frames: int = 0
    ) -> None:
        self.number = number
        self.first_tick = 0
        self.frames_sent = 0
        self.lost = False
        self.pace = pace
        self.shift_frames: int | None = None
        """Where the gateway's chunks end, in frames before the end of ours; None before it was found."""
        self._questions = questions
        self._tally = tally
        self._counting = False
        self._answer_frames = -(-answer_ms // FRAME_MS)
        self._spill_frames = spill_frames
        self._heard_frames = self._answer_frames + spill_frames  # nothing is being waited for
        self._in_gap = False
        self._unasked = False
        self._next_loud = -1
        self._question_due: float | None = None
        self._search_due = 0.0
        self._searches_left = 0

    def search(self) -> None:
        """Find out which frame completes a chunk: ask in each chunk, one frame earlier each time."""
        self._searches_left = SEARCH_ROUNDS * FRAMES_PER_CHUNK
        self._next_loud = (self.frames_sent // FRAMES_PER_CHUNK + 1) * FRAMES_PER_CHUNK - 1

    @property
    def searching(self) -> bool:
        return self._searches_left > 0

    def stop_search(self) -> None:
        self._searches_left = 0
        self._next_loud = -1

    def ask(self) -> None:
        """From now on, ask and count."""
        shift = self.shift_frames or 0
        self._next_loud = self._questions.first_frame(self.number, self.frames_sent + shift) - shift
        self._counting = True
        self.pace.begin = monotonic()

    def ask_no_more(self) -> None:
        self._next_loud = -1
        self.pace.end = monotonic()

    def take_sound(self, loud: bool, at: float) -> None:
        """A packet that arrived at ``at``, and whether it holds a part of an answer."""
        if self._counting:
            self._hear(loud, at)
        elif loud and self._searches_left > 0:
            self._found(at)

    def _ask_at(self, frame: int, due: float) -> None:
        if self._searches_left > 0:
            self._searches_left -= 1
            first = self._searches_left == SEARCH_ROUNDS * FRAMES_PER_CHUNK - 1
            self._next_loud = frame + FRAMES_PER_CHUNK * (_FIRST_TRY_CHUNKS if first else 1) - 1
            self._search_due = due
            if self._searches_left == 0:
                self._next_loud = -1
        else:
            self._close_question()
            self._question_due = due
            self._heard_frames = 0
            self._next_loud = self._questions.next_frame(frame)

    def _found(self, at: float) -> None:
        tries = SEARCH_ROUNDS * FRAMES_PER_CHUNK - self._searches_left
        if at < self._search_due:  # it was sent before the frame that we sent last
            tries -= 1
        if tries > 0:
            self.shift_frames = (tries - 1) % FRAMES_PER_CHUNK
            self.stop_search()

    def _hear(self, loud: bool, at: float) -> None:
        heard = self._heard_frames
        if not loud:
            self._unasked = False
            if 0 < heard < self._answer_frames and not self._in_gap:
                self._in_gap = True
                self._tally.gaps += 1
            return
        self._in_gap = False
        if self._question_due is not None and at >= self._question_due:
            self._tally.latencies_s.append(at - self._question_due)
            self._question_due = None
            self._heard_frames = 1
        elif 0 < heard < self._answer_frames + self._spill_frames:
            self._heard_frames = heard + 1
        elif not self._unasked:
            self._unasked = True
            self._tally.wrong_answers += 1

    def _close_question(self) -> None:
        if self._question_due is not None:
            self._tally.latencies_s.append(MISSING)
            self._question_due = None
        elif self._heard_frames < self._answer_frames:
            self._tally.wrong_answers += 1
        self._heard_frames = self._answer_frames + self._spill_frames


async def find_chunk_ends(callers: Sequence[AskingCaller], answer_ms: int) -> None:
    """Let the calls become steady, then let each find out where its chunks end, for ``SEARCH_S`` at most."""
    await asyncio.sleep(WARM_UP_S)
    for caller in callers:
        caller.search()
    for _ in range(round((SEARCH_S - 1) / _POLL_S)):
        if not any(caller.searching for caller in callers):
            break
        await asyncio.sleep(_POLL_S)
    for caller in callers:
        caller.stop_search()
    await asyncio.sleep(answer_ms / 1_000 + CHUNK_MS / 1_000)  # the last answer is over, too


def shifts_of(callers: Iterable[AskingCaller]) -> dict[str, int]:
    """Where chunks ended, in frames before the end of the caller's: how many calls; "none" for those never answered."""
    shifts = Counter("none" if caller.shift_frames is None else str(caller.shift_frames) for caller in callers)
    return dict(sorted(shifts.items()))


def chunk_ends(shifts: dict[str, int]) -> str:
    """For people: whether the gateway's chunks end where the caller's do."""
    usual, unknown = shifts.get("0", 0), shifts.get("none", 0)
    elsewhere = sum(shifts.values()) - usual - unknown
    return f"with the caller's for {usual} calls, elsewhere for {elsewhere}, never found for {unknown}"
