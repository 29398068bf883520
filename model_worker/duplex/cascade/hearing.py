"""Listen to one caller: where utterances begin, pause and end, and what is said in them.

Sound goes to the recognizer only while there is an utterance, from a moment before its begin on. Its words so far tell
how long a silence ends it.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np

from model_worker.duplex.cascade.patience import SHORT_PAUSE_FRAMES, UNFINISHED_FRAMES, needed_quiet_frames
from model_worker.duplex.cascade.seam import HeardWords, StreamingAsr
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Pcm, Vad
from model_worker.vad.endpoint import FRAME_SAMPLES, EdgeKind, Endpointer, EndpointPolicy
from wire.ids import CallId

PRE_ROLL_SAMPLES = 4_800  # 0.3 s: soft first consonants lie before the frame in which the detector is sure
MAX_HELD_SAMPLES = 12 * 16_000  # of the next utterance, while the result of one is awaited
RESULT_DEADLINE_CHUNKS = 5  # 2 s of the line; the words so far are its words then
POLICY = EndpointPolicy(quiet_frames=UNFINISHED_FRAMES, most_frames=940)  # 30 s: what recognizers are trained on

_FRAME_S = FRAME_SAMPLES / 16_000
_EMPTY: Pcm = np.empty(0, np.int16)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something was said, and is over. ``overheard``: over the agent, who went on."""

    text: str
    overheard: bool
    confidence: float | None = None
    fault: SessionFault | None = None


class Hearing:
    """The hearing of one call. ``close`` it with the call."""

    def __init__(self, call: CallId, language: str, vad: Vad, asr: StreamingAsr) -> None:
        self.words = ""
        """Of the utterance under way, or of the one whose result is awaited, as far as they came."""
        self.awaiting = False
        """An utterance is over, and its words are not final yet."""
        self._call = call
        self._vad = vad
        self._asr = asr
        self._endpointer = Endpointer(POLICY)
        self._held = _EMPTY
        self._recent: deque[bool] = deque(maxlen=round(10 / _FRAME_S))  # of the last frames, which were speech
        self._language = language
        self._recording = False
        self._over_agent = False
        self._awaited_over_agent = False  # of the utterance whose result is awaited
        self._meanwhile = False  # an utterance began while the result of the one before was awaited
        self._missed = False  # and ended
        self._dropped = False  # what is being said does not count
        self._waited_chunks = 0
        self._result: Utterance | None = None
        asr.open(call, language)

    @property
    def speaking(self) -> bool:
        """Between the onset of an utterance and its end, pauses included."""
        return self._endpointer.speaking

    @property
    def busy(self) -> bool:
        """The caller has the floor, or has just had it."""
        return self.speaking or self.awaiting or self._missed

    @property
    def pausing(self) -> bool:
        """An utterance is open, and there has been silence in it for a moment: it may be over."""
        return self._recording and self.speaking and self._endpointer.quiet_frames >= SHORT_PAUSE_FRAMES

    def hear(self, pcm: Pcm, *, agent_audible: bool) -> None:
        """The next chunk: int16 at 16 kHz."""
        if self.awaiting:
            self._waited_chunks += 1
            if self._waited_chunks >= RESULT_DEADLINE_CHUNKS and self._result is None:
                self._give_up()
        elif self._missed or (self.speaking and not self._recording and not self._dropped):
            self._begin()  # the caller spoke on before the result was there
            if not self.speaking:
                self._finish()
        taken = 0
        for count, probability in enumerate(self._vad.push(pcm), 1):
            kind = self._push(probability)
            if self._endpointer.in_speech and self.speaking:
                self._over_agent = agent_audible
            if kind is None:
                continue
            at = min(count * FRAME_SAMPLES, len(pcm))  # to a frame: what the detector held back lies before
            self._take(pcm[taken:at])
            taken = at
            self._turn_over(kind)
        self._take(pcm[taken:])

    def agent_stopped(self) -> None:
        """The agent was cut off for what is said, or was just said: it counts."""
        self._over_agent = self._awaited_over_agent = False

    def deliver(self, heard: HeardWords) -> None:
        """The recognizer has something of this call."""
        if not (self._recording or self.awaiting):
            return
        if heard.fault is not None:
            if self._recording:
                self._recording = False
                self._dropped = True  # the rest of it would be half a sentence
                self._awaited_over_agent = self._over_agent
            self.awaiting = True
            self._result = Utterance(self.words, self._awaited_over_agent, None, heard.fault)
        elif self.awaiting and heard.final:
            self._result = Utterance(heard.text.strip(), self._awaited_over_agent, heard.confidence)
        else:
            self.words = heard.text

    def take(self) -> Utterance | None:
        """What was said, once, as soon as its words are final."""
        result = self._result
        if result is not None:
            self._result = None
            self.awaiting = False
            self.words = ""
        return result

    def drop(self) -> None:
        """What is being said does not matter any more."""
        if self._recording or self.awaiting:
            self._asr.cancel(self._call)
        self._recording = self.awaiting = self._meanwhile = self._missed = False
        self._result = None
        self.words = ""
        self._dropped = self.speaking

    def speech_s(self, within_s: float) -> float:
        """How much of the last ``within_s`` seconds, 10 at most, was speech."""
        return sum(islice(reversed(self._recent), round(within_s / _FRAME_S))) * _FRAME_S

    @property
    def quiet_s(self) -> float:
        """How long ago the last frame of speech was, as far back as 10 seconds."""
        ago = next((ago for ago, speech in enumerate(reversed(self._recent)) if speech), len(self._recent))
        return ago * _FRAME_S

    def close(self) -> None:
        self._asr.close(self._call)

    def _push(self, probability: float) -> EdgeKind | None:
        edge = self._endpointer.push(probability)
        self._recent.append(self._endpointer.in_speech)
        words = self.words if self._recording else ""  # others are of the utterance before
        needed = needed_quiet_frames(words, self._language)
        if edge is None and self.speaking and self._endpointer.quiet_frames >= needed:
            edge = self._endpointer.end()
        return None if edge is None else edge.kind

    def _turn_over(self, kind: EdgeKind) -> None:
        if kind is EdgeKind.ONSET:
            self._dropped = False
            if self.awaiting:
                self._meanwhile = True
            else:
                self._begin()
        elif self._recording and kind is EdgeKind.END:
            self._finish()
        elif self._recording:
            self._recording = False
            self._asr.cancel(self._call)
            self.words = ""
        elif self._meanwhile:
            self._missed = self._missed or kind is EdgeKind.END
            self._meanwhile = self._missed

    def _begin(self) -> None:
        self.words = ""
        self._asr.start(self._call)
        self._asr.feed(self._call, self._held)
        self._recording = True
        self._meanwhile = self._missed = False

    def _finish(self) -> None:
        self._asr.finish(self._call)
        self._recording = False
        self.awaiting = True
        self._awaited_over_agent = self._over_agent
        self._waited_chunks = 0

    def _take(self, pcm: Pcm) -> None:
        if self._recording:
            self._asr.feed(self._call, pcm)
        keep = MAX_HELD_SAMPLES if self._meanwhile else PRE_ROLL_SAMPLES
        self._held = np.concatenate((self._held, pcm))[-keep:]

    def _give_up(self) -> None:
        """The recognizer is late: what it has told so far is what was said, if it has told anything."""
        self._asr.cancel(self._call)
        fault = None if self.words.strip() else SessionFault.TOO_SLOW
        self._result = Utterance(self.words.strip(), self._awaited_over_agent, None, fault)
