"""What the caller heard after each turn of his own, and when agents begin. Clock: his frames of 20 ms.

Definitions, with where they come from:

- *response* (L_R of tau-voice): end of the caller's turn to the first frame in which the agent is heard, where it did
  not begin before. *Answered* (R_R): within the time the caller waits.
- *talked into* (I_A of tau-voice): the agent began while the caller's turn, with the pauses in it, was not over.
- *TOR, latency* of Full-Duplex-Bench v1: the agent spoke for a second or more; the latency of that is 0 where it began
  too early.
- *turn taking* of EVA: 1 for a response within 0.5 to 2 s, falling to 0 at -0.5 and 3.5 s; at most 0.5 where the agent
  talked into the turn.
- *added latency*: from the moment the caller sent the last frame of a chunk to the first frame of a turn that was
  decided on with this chunk. An engine that takes no time is taken for granted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from load_tests.duplex.caller import FRAME_S, Made, Tape
from load_tests.duplex.measures import SILENT_RMS, first_word, levels
from load_tests.duplex.sounds import Kind, pauses

WAIT_S = 4.0
_GAP_S = 0.2  # a pause between two words of the agent is no end
_SPOKE_S = 1.0
_CHUNK_FRAMES = 20
_NAMED_WITHIN_FRAMES = 4  # a frame that holds the edge of a word has no clear pitch
_EARLIEST_S, _EARLY_S, _LATE_S, _LATEST_S = -0.5, 0.5, 2.0, 3.5
_INTERRUPTS_AT_MOST = 0.5


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What became of one turn of the caller. Seconds."""

    kind: Kind
    label: str
    length_s: float
    pauses: int
    """Of 0.3 s or more within it."""
    response_s: float | None
    """Below 0 where the agent talked into it; None: it said nothing."""
    spoke_s: float
    """How long the agent was heard from then on, pauses included."""

    @property
    def talked_into(self) -> bool:
        return self.response_s is not None and self.response_s < 0

    @property
    def answered(self) -> bool:
        return self.response_s is not None

    @property
    def took_turn(self) -> bool:
        """TOR of Full-Duplex-Bench v1; we know nothing of words, so that a short word counts as none."""
        return self.spoke_s >= _SPOKE_S

    @property
    def turn_taking(self) -> float:
        """EVA's, 0 to 1."""
        if self.response_s is None:
            return 0.0
        at_s = self.response_s
        early = (at_s - _EARLIEST_S) / (_EARLY_S - _EARLIEST_S)
        late = (_LATEST_S - at_s) / (_LATEST_S - _LATE_S)
        score = min(1.0, max(0.0, min(early, late)))
        return min(score, _INTERRUPTS_AT_MOST) if self.talked_into else score


def turn_outcome(tape: Tape, made: Made) -> TurnOutcome:
    """What the caller heard from the begin of a turn of his until he says something else, or has waited."""
    ulaw = made.sound.ulaw
    frames = len(ulaw) / (FRAME_S * 8_000)
    end = made.frame + frames
    until = min(len(tape.heard), round(end + WAIT_S / FRAME_S))
    voiced = levels(tape.heard[:until]) >= SILENT_RMS
    begins = [at for at in onsets(voiced) if at >= made.frame]
    response_s = (begins[0] - end) * FRAME_S if begins else None
    last = int(np.flatnonzero(voiced)[-1]) + 1 if begins else 0
    spoke_s = (last - begins[0]) * FRAME_S if begins else 0.0
    inner = sum(1 for _ in pauses(ulaw))
    return TurnOutcome(made.sound.kind, made.sound.label, len(ulaw) / 8_000, inner, response_s, spoke_s)


def added_latencies(tape: Tape, first_chunk_frames: int = _CHUNK_FRAMES) -> list[float]:
    """Of every watermarked turn on a tape, how long after a chunk was sent its first frame was heard.

    Turns are decided on with chunks; one that took a whole chunk longer looks like one that took none, so that the
    figures are to be believed where they stay far below 0.4 s.
    """
    found: list[float] = []
    for at in onsets(levels(tape.heard) >= SILENT_RMS):
        if first_word(tape.heard[at : at + _NAMED_WITHIN_FRAMES]) == 0:
            sent_with = first_chunk_frames - 1 + (at - first_chunk_frames) // _CHUNK_FRAMES * _CHUNK_FRAMES
            found.append((at - sent_with) * FRAME_S)
    return found


def onsets(voiced: Iterable[bool]) -> Iterator[int]:
    """Frames in which a voice begins after a gap."""
    silent_for = _GAP_S / FRAME_S
    for at, heard in enumerate(voiced):
        if heard and silent_for >= _GAP_S / FRAME_S:
            yield at
        silent_for = 0 if heard else silent_for + 1
