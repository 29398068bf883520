"""The cascade behind the engine seam: many calls, one recognizer, one chat model, one voice."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from model_worker.answers.seam import Answers
from model_worker.dialog.brief import Brief
from model_worker.duplex.cascade.call import CascadeCall
from model_worker.duplex.cascade.hearing import Hearing
from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, StreamingAsr, StreamingTts
from model_worker.duplex.cascade.speaker import Speaker
from model_worker.duplex.remote.effects import Line
from model_worker.seams import (
    BadSnapshotError,
    CallSpec,
    Capabilities,
    StepInput,
    StepOutput,
    UnknownAgentError,
    Vad,
)
from wire.ids import CallId, TurnId
from wire.messages import OverlapRules, Voice

CHUNK_MS = 400
INPUT_RATE_HZ = 16_000
CHUNK_SAMPLES = INPUT_RATE_HZ * CHUNK_MS // 1_000
MEMORY_LINES = 40
MAX_SNAPSHOT_BYTES = 48 * 1024  # of 64 KiB that one may take (``Engine.snapshot``), of which the worker needs some
VERSION = 1
MAX_ROUNDS = 8  # of parts that answer at once; who has more to tell is asked again in the next step
LICENCE_NOTE = "the servers' models have licences of their own; espeak-ng is GPL-3 and runs in a process of its own"

T = TypeVar("T")


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    version: int
    turn: int
    said: list[tuple[Voice, str]]


_saved_decoder = msgspec.json.Decoder(_Saved)


class CascadeEngine:
    """An ``Engine``. ``spare``: the voice of this machine. Parts are ended by whoever made them."""

    def __init__(
        self,
        briefs: Mapping[str, Brief],
        *,
        vad: Callable[[], Vad],
        asr: StreamingAsr,
        answers: Answers,
        tts: StreamingTts,
        spare: StreamingTts,
        sessions: int = 32,
    ) -> None:
        self._briefs = dict(briefs)
        self._vad = vad
        self._asr = asr
        self._answers = answers
        self._tts = tts
        self._spare = spare
        self._sessions = sessions
        self._calls: dict[CallId, CascadeCall] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="cascade",
            chunk_ms=CHUNK_MS,
            first_chunk_ms=CHUNK_MS,
            input_rate_hz=INPUT_RATE_HZ,
            output_rate_hz=OUTPUT_RATE_HZ,
            explicit_decision=False,
            hears_while_speaking=True,
            sessions=self._sessions,
            languages=tuple(sorted({brief.language for brief in self._briefs.values()})),
            licence_note=LICENCE_NOTE,
            says_given_words=True,
        )

    @property
    def busy(self) -> bool:
        """One of the parts has something."""
        return self._asr.ready or self._answers.ready or self._tts.ready or self._spare.ready

    @property
    def context_positions(self) -> None:
        """None: the contexts are the servers'."""
        return

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``busy`` becomes true."""
        for part in (self._asr, self._answers, self._tts):
            part.on_ready(wake)

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules:
        """Begin a call. Raises UnknownAgentError."""
        return self._begin(call, spec, [Line(said.voice, said.text) for said in spec.said], TurnId(0))

    def snapshot(self, call: CallId) -> bytes | None:
        """What was said so far, in words; None while anybody speaks."""
        served = self._calls.get(call)
        if served is None or not served.at_rest:
            return None
        said = [(entry.voice, entry.text) for entry in served.talk.history.last(MEMORY_LINES)]
        while len(state := msgspec.json.encode(_Saved(VERSION, served.speaker.newest_turn, said))) > MAX_SNAPSHOT_BYTES:
            del said[0]
        return state

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules:
        """As ``open``, of a call that goes on. Raises UnknownAgentError and BadSnapshotError."""
        try:
            saved = _saved_decoder.decode(state)
        except msgspec.DecodeError:
            raise BadSnapshotError("not a snapshot of the cascade") from None
        if saved.version != VERSION:
            raise BadSnapshotError(f"snapshot of version {saved.version}, expected {VERSION}")
        return self._begin(call, spec, [Line(voice, text) for voice, text in saved.said], TurnId(saved.turn))

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Take what the parts told, then the new chunks, each of which is answered at once."""
        outputs: list[StepOutput] = []
        self._take_news(outputs)
        due: dict[CallId, StepInput] = {}
        for given in inputs:
            if given.call in self._calls:
                self._guarded(given.call, _listen, given, outputs)
                due[given.call] = given
            else:
                outputs.append(_fault(given.call, given.index, ValueError("a chunk of a call that is not open")))
        self._take_news(outputs)
        for call in list(self._calls):
            told: list[StepOutput] = []
            self._guarded(call, partial(_tell, told), due.get(call), outputs)
            outputs += told
            if any(output.fault is not None for output in told):
                self.close(call)
        return outputs

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn. Unknown calls and old turns are ignored."""
        if (served := self._calls.get(call)) is not None:
            served.interrupt(turn, heard_s)

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """What was said and heard so far, oldest first."""
        served = self._calls.get(call)
        return [] if served is None else served.talk.history.as_dicts()

    def close(self, call: CallId) -> None:
        """End a call. Unknown calls are ignored."""
        if (served := self._calls.pop(call, None)) is not None:
            served.close()

    def _begin(self, call: CallId, spec: CallSpec, said: list[Line], turn: TurnId) -> OverlapRules:
        brief = self._briefs.get(spec.agent)
        if brief is None:
            raise UnknownAgentError(spec.agent)
        self.close(call)
        hearing = Hearing(call, brief.language, self._vad(), self._asr)
        speaker = Speaker(call, self._tts, self._spare, turn)
        self._calls[call] = CascadeCall(call, brief, hearing, self._answers, speaker, said)
        return brief.overlap.rules(model_judges=True)

    def _take_news(self, outputs: list[StepOutput]) -> None:
        """What the parts have to tell, until none has more at once."""
        for _ in range(MAX_ROUNDS):
            if not self.busy:
                return
            for heard in self._asr.poll():
                self._guarded(heard.call, CascadeCall.take_words, heard, outputs)
            for piece in self._answers.poll():
                self._guarded(piece.call, CascadeCall.take_answer, piece, outputs)
            for sound in [*self._tts.poll(), *self._spare.poll()]:
                self._guarded(sound.call, CascadeCall.take_sound, sound, outputs)

    def _guarded(self, call: CallId, do: Callable[[CascadeCall, T], None], what: T, outputs: list[StepOutput]) -> None:
        """Do something to a call, if it is still open; what that raises is this call's fault alone."""
        served = self._calls.get(call)
        if served is None:
            return
        try:
            do(served, what)
        except Exception as error:
            self.close(call)
            outputs.append(_fault(call, served.last_index, error))


def _listen(served: CascadeCall, given: StepInput) -> None:
    if len(given.pcm) != CHUNK_SAMPLES:
        raise ValueError(f"expected a chunk of {CHUNK_SAMPLES} samples, got {len(given.pcm)}")
    served.listen(given)


def _tell(told: list[StepOutput], served: CascadeCall, given: StepInput | None) -> None:
    told += served.go_on() if given is None else served.decide(given)


def _fault(call: CallId, index: int, error: Exception) -> StepOutput:
    return StepOutput(call, index, None, fault=error)
