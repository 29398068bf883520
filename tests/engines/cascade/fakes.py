"""The parts of a cascade, driven by hand, and a line whose caller and gateway are numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from model_worker.answers.seam import AnswerFault, AnswerPiece, ChatMessage, FunctionWanted
from model_worker.dialog.brief import Brief, Tools
from model_worker.duplex.cascade.call import CascadeCall
from model_worker.duplex.cascade.engine import CascadeEngine
from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, HeardWords, VoicePiece, VoiceWish
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Action, CallSpec, Pcm, Said, StepInput, StepOutput, Word
from wire.ids import NO_TURN, CallId, TurnId

CALL = CallId("call-1")
CHUNK_S = 0.4
FRAME = 512
TENTH = 1_600  # samples of 0.1 s at 16 kHz
CLICK = 1_120  # samples: two or three frames of the detector, and four are speech
LOUD = 1_000
WORD_S = 0.3  # of the fake voice

BRIEF = Brief(
    name="desk",
    engine="cascade",
    instructions="Be kind.",
    tools=Tools(hangup=True, transfer={"sales": "+15550100200"}),
)


def line(pattern: str) -> Pcm:
    """Sound of a caller at 16 kHz, a character for each 0.1 s: ``#`` is speech, ``'`` a click in it, ``.`` nothing."""
    tenths = [np.zeros(0, np.int16)]
    for tenth in pattern:
        tenths.append(np.zeros(TENTH, np.int16))
        tenths[-1][: {"#": TENTH, "'": CLICK, ".": 0}[tenth]] = LOUD
    return np.concatenate(tenths)


class FakeVad:
    """Sure of each frame: speech is what is loud for half of it."""

    def __init__(self) -> None:
        self._rest = np.empty(0, np.int16)

    def push(self, pcm: Pcm) -> list[float]:
        sound = np.concatenate((self._rest, pcm))
        frames = len(sound) // FRAME
        self._rest = sound[frames * FRAME :]
        return [float(frame.mean() >= LOUD / 2) for frame in sound[: frames * FRAME].reshape(frames, FRAME)]

    def reset(self) -> None:
        self._rest = self._rest[:0]


class FakeAsr:
    """Writes down what it is told; says what ``hears`` is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.utterances: list[Pcm] = []
        self.languages: dict[CallId, str] = {}
        self.closed: list[CallId] = []
        self.listening: set[CallId] = set()
        self._news: list[HeardWords] = []

    @property
    def ready(self) -> bool:
        return bool(self._news)

    def on_ready(self, wake: Callable[[], None]) -> None:
        pass

    def open(self, call: CallId, language: str) -> None:
        self.languages[call] = language

    def start(self, call: CallId) -> None:
        self.told.append("start")
        self.utterances.append(np.empty(0, np.int16))
        self.listening.add(call)
        self._news = [heard for heard in self._news if heard.call != call]

    def feed(self, call: CallId, pcm: Pcm) -> None:
        assert call in self.listening, "sound of no utterance"
        self.utterances[-1] = np.concatenate((self.utterances[-1], pcm))

    def finish(self, call: CallId) -> None:
        assert call in self.listening, "the end of no utterance"
        self.told.append("finish")

    def cancel(self, call: CallId) -> None:
        self.told.append("cancel")
        self.listening.discard(call)
        self._news = [heard for heard in self._news if heard.call != call]

    def poll(self) -> list[HeardWords]:
        news, self._news = self._news, []
        return news

    def close(self, call: CallId) -> None:
        self.closed.append(call)

    def hears(
        self,
        text: str,
        *,
        final: bool = False,
        confidence: float | None = None,
        fault: SessionFault | None = None,
        lasting: bool = False,
        call: CallId = CALL,
    ) -> None:
        self._news.append(HeardWords(call, text, final or fault is not None, confidence, fault, lasting))


class FakeAnswers:
    """A chat model that says what ``says`` is told. ``asked``: what it was asked, newest last."""

    def __init__(self) -> None:
        self.asked: list[list[ChatMessage]] = []
        self.functions: list[list[Mapping[str, Any]]] = []
        self.under_way: set[CallId] = set()
        self.cancelled = 0
        self._news: list[AnswerPiece] = []

    @property
    def ready(self) -> bool:
        return bool(self._news)

    @property
    def question(self) -> str:
        """The last words of the caller that it was asked to answer."""
        return self.asked[-1][-1].content

    def on_ready(self, wake: Callable[[], None]) -> None:
        pass

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        self._drop(call)
        self.asked.append(list(messages))
        self.functions.append(list(functions))
        self.under_way.add(call)

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        news, self._news = self._news, []
        return news

    def cancel(self, call: CallId) -> None:
        self.cancelled += call in self.under_way
        self._drop(call)

    def close(self) -> None:
        pass

    def says(
        self,
        text: str,
        *,
        done: bool = True,
        error: AnswerFault | None = None,
        functions: Sequence[FunctionWanted] = (),
        call: CallId = CALL,
    ) -> None:
        if call not in self.under_way:
            return
        if done or error is not None:
            self.under_way.discard(call)
        self._news.append(AnswerPiece(call, text, done or error is not None, error, functions))

    def _drop(self, call: CallId) -> None:
        self.under_way.discard(call)
        self._news = [piece for piece in self._news if piece.call != call]


class FakeTts:
    """Says a part at once, a word each 0.3 s, or, with ``by_hand``, what ``says`` is told. Each turn sounds its own."""

    def __init__(self, level: int = 500) -> None:
        self.by_hand = False
        self.fails = False
        self.raises = False
        self.asked: list[tuple[int, str, VoiceWish]] = []
        self.saying: dict[CallId, int] = {}
        self.cancelled: list[int] = []
        self.level = level
        self._news: list[VoicePiece] = []

    @property
    def ready(self) -> bool:
        return bool(self._news)

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.asked]

    def on_ready(self, wake: Callable[[], None]) -> None:
        pass

    def ask(self, call: CallId, part: int, text: str, wish: VoiceWish) -> None:
        if self.raises:
            raise RuntimeError("a fault of the voice's own")
        self.cancel(call)
        self.asked.append((part, text, wish))
        self.saying[call] = part
        if self.fails:
            self.says(0.0, fault=SessionFault.LOST, call=call)
        elif not self.by_hand:
            words = text.split()
            starts = [Word(word, round(n * WORD_S * OUTPUT_RATE_HZ)) for n, word in enumerate(words)]
            self.says(len(words) * WORD_S, starts, call=call)

    def poll(self) -> list[VoicePiece]:
        news, self._news = self._news, []
        return news

    def cancel(self, call: CallId) -> None:
        if (part := self.saying.pop(call, None)) is not None:
            self.cancelled.append(part)
        self._news = [piece for piece in self._news if piece.call != call]

    def close(self) -> None:
        pass

    def says(
        self,
        seconds: float,
        words: Sequence[Word] = (),
        *,
        done: bool = True,
        fault: SessionFault | None = None,
        call: CallId = CALL,
    ) -> None:
        part = self.saying[call]
        if done or fault is not None:
            del self.saying[call]
        pcm = np.full(round(seconds * OUTPUT_RATE_HZ), self.level, np.int16)
        self._news.append(VoicePiece(call, part, pcm, words, bool(words), done or fault is not None, fault))


class Bench:
    """An engine with one call, its fake parts, and a gateway that plays each turn as it was given, without delay."""

    def __init__(self, brief: Brief = BRIEF, said: Sequence[Said] = (), state: bytes | None = None) -> None:
        self.asr, self.answers, self.tts, self.spare = FakeAsr(), FakeAnswers(), FakeTts(), FakeTts(100)
        self.engine = CascadeEngine(
            {brief.name: brief}, vad=FakeVad, asr=self.asr, answers=self.answers, tts=self.tts, spare=self.spare
        )
        spec = CallSpec(brief.name, said=said)
        if state is None:
            self.rules = self.engine.open(CALL, spec)
        else:
            self.rules = self.engine.restore(CALL, spec, state)
        self.index = -1
        self.outputs: list[StepOutput] = []
        self.plays = True
        self.turn = NO_TURN
        """The newest that the gateway has begun."""
        self.stopped = False
        """It was barged into."""
        self.complete = False
        self.given_s = 0.0
        self.heard_s = 0.0

    @property
    def call(self) -> CascadeCall:
        return self.engine._calls[CALL]

    @property
    def history(self) -> list[tuple[str, str, bool]]:
        return [(entry["voice"], entry["text"], entry["cut"]) for entry in self.engine.history(CALL)]

    @property
    def said(self) -> list[Said]:
        return [said for output in self.outputs for said in output.said]

    @property
    def actions(self) -> list[Action]:
        return [action for output in self.outputs for action in output.actions]

    @property
    def playing(self) -> bool:
        return self.turn != NO_TURN and not self.stopped and self.heard_s < self.given_s

    def text_of(self, turn: int) -> str:
        """The words that were given with a turn's sound."""
        told = [piece.text for output in self.outputs if output.turn == turn for piece in output.speech]
        return " ".join(text for text in told if text)

    def hears(
        self, pattern: str, *, dtmf: str = "", say: Sequence[str] = (), overlap_s: float = 0.0
    ) -> list[StepOutput]:
        """The caller's next chunks, as ``line`` has them; keys, words and overlap belong to the first of them."""
        outputs: list[StepOutput] = []
        pcm = line(pattern)
        for start in range(0, len(pcm), 4 * TENTH):
            self.index += 1
            if not self.stopped and self.plays:
                self.heard_s = min(self.heard_s + CHUNK_S, self.given_s)
            first = start == 0
            playback = (self.turn if self.plays else NO_TURN, self.heard_s)
            given = StepInput(
                CALL,
                self.index,
                pcm[start : start + 4 * TENTH],
                playback,
                dtmf if first else "",
                tuple(say) if first else (),
                overlap_s + start / 16_000 if overlap_s else 0.0,
            )
            outputs += self._take(self.engine.step([given]))
        return outputs

    def goes_on(self) -> list[StepOutput]:
        """What the parts told is taken between two chunks."""
        outputs: list[StepOutput] = []
        while self.engine.busy:
            outputs += self._take(self.engine.step([]))
        return outputs

    def asks(self, words: str) -> list[StepOutput]:
        """The caller says something from begin to end; its words come when it is over, and none before."""
        outputs = self.hears("########........")
        return outputs + self.reads(words, final=True)

    def reads(self, words: str, *, final: bool = False) -> list[StepOutput]:
        """The recognizer tells, between two chunks."""
        self.asr.hears(words, final=final)
        return self.goes_on()

    def is_answered(self, text: str, functions: Sequence[FunctionWanted] = ()) -> list[StepOutput]:
        self.answers.says(text, functions=functions)
        return self.goes_on()

    def barges_in(self) -> None:
        """The gateway stops what it plays."""
        self.stopped = True
        self.engine.interrupt(CALL, self.turn, self.heard_s)

    def _take(self, outputs: list[StepOutput]) -> list[StepOutput]:
        for output in outputs:
            assert output.turn == NO_TURN or output.turn >= self.turn, "no word of an old turn"
            if output.turn > self.turn:
                if self.turn != NO_TURN and not self.stopped and not (self.complete and self.heard_s >= self.given_s):
                    self.engine.interrupt(CALL, self.turn, self.heard_s)  # superseded
                self.turn, self.stopped, self.complete = output.turn, False, False
                self.given_s = self.heard_s = 0.0
            if output.speech or output.turn_done:
                assert not self.stopped, "nothing of a turn that was stopped"
                assert not self.complete, "nothing of a turn that is done"
                self.given_s += sum(len(piece.pcm) for piece in output.speech) / OUTPUT_RATE_HZ
                self.complete = output.turn_done
        self.outputs += outputs
        return outputs


def seconds(outputs: Sequence[StepOutput], turn: int) -> float:
    """Of a turn's sound."""
    samples = sum(len(piece.pcm) for output in outputs if output.turn == turn for piece in output.speech)
    return samples / OUTPUT_RATE_HZ


def turns(outputs: Sequence[StepOutput]) -> list[TurnId]:
    """In the order in which they sounded."""
    return list(dict.fromkeys(output.turn for output in outputs if output.speech))
