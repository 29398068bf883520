"""Listen to one caller: find utterances and have them recognized.

The ear never stops listening. What the caller says while the agent is heard is recognized too,
but counts as an answer only if the gateway stopped the agent for it (``agent_stopped``) or the
agent had finished before the last word; else it was *overheard*, and tells whether to stop.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

import numpy as np

from model_worker.seams import Asr, Pcm, Recognition, Vad
from model_worker.vad.endpoint import FRAME_SAMPLES, EdgeKind, Endpointer, EndpointPolicy
from wire.ids import CallId

PRE_ROLL_SAMPLES = 4_800  # 0.3 s: soft first consonants lie before the frame in which the detector is sure
RESULT_DEADLINE_CHUNKS = 5  # 2 s of the line; a recognizer this late is stuck, and the caller waits
MAX_HELD_SAMPLES = 12 * 16_000  # speech kept while the result before it is awaited

_FRAME_S = FRAME_SAMPLES / 16_000
_KEPT_FRAMES = round(10.0 / _FRAME_S)
_EMPTY: Pcm = np.empty(0, np.int16)
_NOTHING_FITS = Recognition("", 0.0)


class Ear:
    """The hearing of one call. Audio is 16 kHz int16."""

    def __init__(self, call: CallId, vad: Vad, asr: Asr, policy: EndpointPolicy | None = None) -> None:
        self.awaiting = False
        """An utterance is over and its result is not there yet."""
        self.overheard = False
        """The awaited utterance was said over the agent, who went on; of the last one taken, it was."""
        self.late_results = 0
        self._call = call
        self._vad = vad
        self._asr = asr
        self._endpointer = Endpointer(policy)
        self._pre_roll = _EMPTY  # the last 0.3 s; while a result is awaited and the caller speaks on, all of that
        self._speech: deque[bool] = deque(maxlen=_KEPT_FRAMES)  # of the last frames, which were speech
        self._position = 0  # samples heard since the call began
        self._recording = False  # what is heard goes to the recognizer
        self._unfinished = False  # the recognizer has an utterance of this call open
        self._over_agent = False  # the agent was heard when the open utterance last had speech
        self._dropped = False  # the open utterance is no answer whatever it says
        self._awaited_chunks = 0
        self._result: Recognition | None = None

    @property
    def caller_has_floor(self) -> bool:
        """The caller speaks, or what was said is being recognized."""
        return self._endpointer.speaking or self.awaiting

    def hear(self, pcm: Pcm, phrases: Sequence[str], *, agent_audible: bool) -> None:
        """Take one chunk. ``phrases`` are expected in an utterance that begins in it."""
        if self.awaiting:
            self._awaited_chunks += 1
        elif self._endpointer.speaking and not self._recording and not self._dropped:
            self._begin(phrases)  # the caller spoke on before the result was there
        start = self._position
        self._position += len(pcm)
        taken = 0
        for probability in self._vad.push(pcm):
            edge = self._endpointer.push(probability)
            self._speech.append(self._endpointer.in_speech)
            if self._endpointer.speaking and self._endpointer.in_speech:
                self._over_agent = agent_audible
            if edge is None:
                continue
            at = (edge.frame + 1) * FRAME_SAMPLES - start
            self._take(pcm[taken:at])
            taken = at
            if edge.kind is EdgeKind.ONSET:
                self._dropped = False
                if not self.awaiting:
                    self._begin(phrases)
            else:
                self._end(is_speech=edge.kind is EdgeKind.END)
        self._take(pcm[taken:])

    def agent_stopped(self) -> None:
        """The gateway cut the agent off for what the caller is saying, or has just said: it is an answer."""
        self._over_agent = self.overheard = False

    def speech_s(self, within_s: float) -> float:
        """How much of the last ``within_s`` seconds, 10 at most, was speech."""
        frames = round(within_s / _FRAME_S)
        return sum(islice(reversed(self._speech), frames)) * _FRAME_S

    @property
    def quiet_s(self) -> float:
        """How long ago the last frame of speech was, as far back as 10 seconds."""
        ago = next((ago for ago, speech in enumerate(reversed(self._speech)) if speech), len(self._speech))
        return ago * _FRAME_S

    def drop_utterance(self) -> None:
        """The caller pressed a key instead: what was being said no longer matters."""
        self.awaiting = False
        self._result = None
        self._dropped = self._endpointer.speaking

    def deliver(self, recognition: Recognition) -> None:
        """The recognizer has a result for this call. One that nobody waits for is dropped."""
        if self.awaiting:
            self._result = recognition

    def take_result(self) -> Recognition | None:
        """What the awaited utterance holds, once; None while it is still awaited, and when none is."""
        if not self.awaiting:
            return None
        result = self._result
        if result is None:
            if self._awaited_chunks < RESULT_DEADLINE_CHUNKS:
                return None
            self.late_results += 1
            result = _NOTHING_FITS
        self.awaiting = False
        self._result = None
        return result

    def release(self) -> None:
        """The call ends: leave no utterance open in the recognizer."""
        if self._unfinished:
            self._unfinished = self._recording = False
            self._asr.finish(self._call)

    def _take(self, pcm: Pcm) -> None:
        if self._recording:
            self._asr.feed(self._call, pcm)
        keep = MAX_HELD_SAMPLES if self.awaiting and self._endpointer.speaking else PRE_ROLL_SAMPLES
        self._pre_roll = np.concatenate((self._pre_roll, pcm))[-keep:]

    def _begin(self, phrases: Sequence[str]) -> None:
        self._asr.start(self._call, phrases)
        self._asr.feed(self._call, self._pre_roll)
        self._recording = self._unfinished = True

    def _end(self, *, is_speech: bool) -> None:
        if not self._recording:
            return
        self._recording = False
        if is_speech and not self._dropped:
            self.overheard = self._over_agent
            self._asr.finish(self._call)
            self._unfinished = False
            self.awaiting = True
            self._awaited_chunks = 0
        # else it stays open in the recognizer, without a result, until the next one takes its place
