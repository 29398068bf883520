"""What the caller heard around each sound he made over the agent's voice. Clock: his frames of 20 ms.

Definitions, with where they come from:

- *duck*: onset of the caller's sound to the first frame that is 18 dB or more below the median level of the half second
  before it.
- *stop* (L_Y of tau-voice): onset to the begin of 0.3 s in which the agent is not heard. *Yielded* (R_Y): within 2.0 s.
- *stood* (S_BC for backchannels, S_VT for coughs, S_ND for what is said to others): no such silence begins within
  1.0 s. *Kept*: none begins as long as we look, or the turn goes on after it.
- *resume gap*: length of the silence in a turn that then goes on. *At the right word*: it goes on with the word it was
  stopped in, or the one after it when the stop fell on the boundary.
- *heard position*: words the gateway says were heard, less the words the caller did hear, by the voice's watermark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from load_tests.duplex.caller import FRAME_S, Made, Tape
from load_tests.duplex.recordings import RATE_HZ
from load_tests.duplex.sounds import Kind
from wire.audio.g711 import decode_ulaw

DUCK_DB = 18.0
YIELD_WITHIN_S = 2.0
STAND_FOR_S = 1.0
SILENT_S = 0.3
SILENT_RMS = 40.0  # of 32,768: -58 dBFS
_LOOK_S = 3.5  # after an onset; the next sound comes later
_WATERMARKS = 40
_NEW_TURN_S = 0.6  # a turn that goes on does so sooner, and the next begins later
_WORD_HZ, _STEP_HZ = 400.0, 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sound. Seconds after its onset; None: it never happened."""

    kind: Kind
    label: str
    duck_s: float | None
    stop_s: float | None
    gap_s: float | None
    """Of a turn that was silent and went on within the time that is looked at."""
    right_word: bool | None
    """It went on where it was stopped; None without a watermark, or where it did not stop."""
    stale: bool = False
    """After the stop some of the old turn was heard, and not where it was stopped."""

    @property
    def yielded(self) -> bool:
        return self.stop_s is not None and self.stop_s <= YIELD_WITHIN_S and self.gap_s is None

    @property
    def stood(self) -> bool:
        return self.stop_s is None or self.stop_s > STAND_FOR_S

    @property
    def kept(self) -> bool:
        return self.stop_s is None or self.gap_s is not None


def levels(heard: Sequence[bytes]) -> np.ndarray:
    """RMS of each frame, of 32,768."""
    pcm = decode_ulaw(b"".join(heard)).astype(np.float64).reshape(len(heard), -1)
    rms: np.ndarray = np.sqrt(np.mean(pcm**2, axis=1))
    return rms


def word_of(frame: bytes) -> int | None:
    """The number of the word that a frame of watermarked voice is of, modulo 40; None where it is none."""
    pcm = decode_ulaw(frame).astype(np.float64)
    if np.sqrt(np.mean(pcm**2)) < SILENT_RMS:
        return None
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 2_048))
    hz = float(np.argmax(spectrum)) * RATE_HZ / 2_048
    word = round((hz - _WORD_HZ) / _STEP_HZ)
    clear = abs(hz - _WORD_HZ - _STEP_HZ * word) < 20.0
    return word if clear and 0 <= word < _WATERMARKS else None


def outcome(tape: Tape, made: Made, *, watermarked: bool) -> Outcome:
    """What the caller heard after one sound of his."""
    rms = levels(tape.heard)
    onset, end = made.frame, min(len(rms), made.frame + round(_LOOK_S / FRAME_S))
    base = float(np.median(rms[max(0, onset - 25) : onset]))
    after = rms[onset:end]
    ducked = np.flatnonzero(after <= base * 10 ** (-DUCK_DB / 20))
    run = round(SILENT_S / FRAME_S)
    silent = after < SILENT_RMS
    starts = [n for n in range(len(after) - run + 1) if silent[n : n + run].all()]
    stop = starts[0] if starts else None
    gap = right = None
    stale = False
    if stop is not None:
        again = next((n for n in range(stop, len(after)) if not silent[n]), None)
        before = _last_word(tape.heard[onset : onset + stop]) if watermarked else None
        if again is not None:
            next_word = first_word(tape.heard[onset + again : onset + again + 10])
            went_on = before is None or next_word is None or (next_word - before) % _WATERMARKS <= 1
            if watermarked and next_word == 0 and before not in (0, _WATERMARKS - 1):
                went_on = False  # a new turn
            stale = watermarked and not went_on and next_word not in (None, 0)
            if went_on and watermarked:
                gap = (again - stop) * FRAME_S
                right = before is not None and next_word is not None and (next_word - before) % _WATERMARKS <= 1
    return Outcome(
        made.sound.kind,
        made.sound.label,
        float(ducked[0]) * FRAME_S if len(ducked) else None,
        None if stop is None else stop * FRAME_S,
        gap,
        right,
        stale,
    )


def first_word(frames: Sequence[bytes]) -> int | None:
    """The word of the first frame that tells."""
    return next((word for frame in frames if (word := word_of(frame)) is not None), None)


def heard_words(tape: Tape) -> list[int]:
    """Of each turn that the caller heard, how many words had begun, by the watermark; turns begin with word 0."""
    turns: list[int] = []
    previous: int | None = None
    unheard = 0
    for frame in tape.heard:
        word = word_of(frame)
        if word is None:
            unheard += 1
            continue
        anew = previous not in (0, _WATERMARKS - 1) or unheard * FRAME_S > _NEW_TURN_S
        unheard = 0
        if not turns or (word == 0 and anew):
            turns.append(1)
        elif previous is not None and word == (previous + 1) % _WATERMARKS:
            turns[-1] += 1
        previous = word
    return turns


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share of them does not pass; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(share * len(ordered))) - 1)] if ordered else None


def _last_word(frames: Sequence[bytes]) -> int | None:
    return next((word for frame in reversed(frames) if (word := word_of(frame)) is not None), None)
