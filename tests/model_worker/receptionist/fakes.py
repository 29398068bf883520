"""Stand-ins for the speech components, exact and silent about time, and a line to call on.

Sound is written in levels: a caller "says" a phrase by a tone of that phrase's level, so that
the recognizer hears what really reached it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from model_worker.dialog.agent import Agent, VoiceStyle
from model_worker.duplex.receptionist.engine import Fault, ReceptionistEngine, ReceptionistPolicy
from model_worker.seams import (
    Asr,
    CallSpec,
    Pcm,
    Recognition,
    StepInput,
    StepOutput,
    Tts,
    TtsError,
    Utterance,
    Vad,
    Word,
)
from tests.model_worker.dialog.agents import agent
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind

CHUNK_SAMPLES = 6_400
LEVELS = {
    "opening hours": 1_000,
    "appointment": 2_000,
    "yes": 3_000,
    "no": 4_000,
    "operator": 5_000,
    "goodbye": 6_000,
    "leave": 7_000,
    "babble": 9_000,
}
"""The level at which each phrase is "said"; ``babble`` fits no grammar."""

QUIET: Pcm = np.zeros(CHUNK_SAMPLES, np.int16)


def saying(phrase: str, seconds: float = 0.4, after_s: float = 0.0) -> Pcm:
    """``phrase`` at its level, whole chunks long, after some quiet."""
    lead, body = round(after_s * 16_000), round(seconds * 16_000)
    pcm = np.zeros(-(-(lead + body) // CHUNK_SAMPLES) * CHUNK_SAMPLES, np.int16)
    pcm[lead : lead + body] = LEVELS[phrase]
    return pcm


class LevelVad(Vad):
    """Speech is whatever is not silent, in frames of 512 samples."""

    def __init__(self) -> None:
        self._rest = np.empty(0, np.int16)

    def push(self, pcm: Pcm) -> list[float]:
        self._rest = np.concatenate((self._rest, pcm))
        frames = len(self._rest) // 512
        whole, self._rest = self._rest[: frames * 512], self._rest[frames * 512 :]
        return [1.0 if np.count_nonzero(frame) > 256 else 0.0 for frame in whole.reshape(frames, 512)]

    def reset(self) -> None:
        self._rest = self._rest[:0]


class LevelAsr(Asr):
    """Recognizes the phrase whose level it was fed most of, if it is expected. Results may be held back."""

    def __init__(self) -> None:
        self.expected: dict[CallId, tuple[str, ...]] = {}
        self.fed: dict[CallId, list[Pcm]] = {}
        self.ready: dict[CallId, Recognition] = {}
        self.held_polls = 0
        self.confidence = 0.9
        self.broken_for: set[CallId] = set()
        self.poll_fails = False
        self.closed = False

    def start(self, call: CallId, phrases: Sequence[str]) -> None:
        if call in self.broken_for:
            raise RuntimeError("the recognizer of this call died")
        self.expected[call] = tuple(phrases)
        self.fed[call] = []

    def feed(self, call: CallId, pcm: Pcm) -> None:
        self.fed[call].append(pcm)

    def finish(self, call: CallId) -> None:
        levels = Counter(np.concatenate([*self.fed.pop(call)]).tolist())
        levels.pop(0, None)
        phrase = {level: phrase for phrase, level in LEVELS.items()}[levels.most_common(1)[0][0]]
        fits = phrase in self.expected[call]
        self.ready[call] = Recognition(phrase, self.confidence) if fits else Recognition("", 0.0)

    def poll(self, timeout_s: float) -> dict[CallId, Recognition]:
        if self.poll_fails:
            raise RuntimeError("the recognizer is gone")
        if self.held_polls:
            self.held_polls -= 1
            return {}
        ready, self.ready = self.ready, {}
        return ready

    def close(self) -> None:
        self.closed = True


class WordTts(Tts):
    """A quarter of a second a word, at any rate."""

    WORD_S = 0.25

    def __init__(self, sample_rate_hz: int = 16_000) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.spoken: list[str] = []
        self.broken_text: str | None = None
        self.closed = False
        self.exact_words = True

    def synthesize(self, text: str) -> Utterance:
        if text == self.broken_text:
            raise TtsError("the voice has gone; start it again")
        self.spoken.append(text)
        words = text.split()
        word_samples = round(self.WORD_S * self.sample_rate_hz)
        pcm = np.repeat(np.arange(1, len(words) + 1, dtype=np.int16) * 100, word_samples)
        places = [Word(word, n * word_samples) for n, word in enumerate(words)]
        return Utterance(pcm, self.sample_rate_hz, places, self.exact_words)

    def close(self) -> None:
        self.closed = True


class House:
    """An engine with its fakes, and the steps of many calls together."""

    def __init__(self, agents: Mapping[str, Agent] | None = None, sample_rate_hz: int = 16_000) -> None:
        self.asr = LevelAsr()
        self.tts = WordTts(sample_rate_hz)
        self.faults: list[Fault] = []
        self.engine = ReceptionistEngine(
            agents or {"desk": agent()},
            vad=LevelVad,
            asr=self.asr,
            tts=self._voice,
            policy=ReceptionistPolicy(),
            on_fault=self.faults.append,
        )

    def call(self, name: str = "call-1") -> "Line":
        call = CallId(name)
        self.engine.open(call, CallSpec("desk"))
        return Line(self, call)

    def step(self, *given: tuple["Line", StepInput]) -> list[StepOutput]:
        outputs = self.engine.step([one for _, one in given])
        assert [(output.call, output.index) for output in outputs] == [(one.call, one.index) for _, one in given]
        for (line, _), output in zip(given, outputs, strict=True):
            line.take(output)
        return outputs

    def _voice(self, _style: VoiceStyle) -> Tts:
        return self.tts


class Line:
    """One caller and the gateway's part of the bargain: playback, and the rules every output keeps."""

    def __init__(self, house: House, call: CallId) -> None:
        self.house, self.id = house, call
        self.index = 0
        self.turn = NO_TURN
        self.generated_s = self.heard_s = 0.0
        self.done = False
        self.outputs: list[StepOutput] = []
        self.most_ahead_s = 0.0

    def next_input(
        self, pcm: Pcm = QUIET, dtmf: str = "", say: tuple[str, ...] = (), overlap_s: float = 0.0
    ) -> StepInput:
        """The next chunk, with what the caller has heard by its end."""
        self.heard_s = min(self.generated_s, self.heard_s + 0.4)
        given = StepInput(self.id, self.index, pcm, (self.turn, self.heard_s), dtmf, say, overlap_s)
        self.index += 1
        return given

    def take(self, output: StepOutput) -> None:
        self.outputs.append(output)
        if output.decision is DecisionKind.LISTEN:
            assert not output.speech
            assert not output.turn_done
            return
        if output.turn != self.turn:
            assert output.turn == self.turn + 1
            self.turn, self.generated_s, self.heard_s = output.turn, 0.0, 0.0
        self.generated_s += sum(len(piece.pcm) for piece in output.speech) / 16_000
        self.done = output.turn_done
        self.most_ahead_s = max(self.most_ahead_s, self.generated_s - self.heard_s)

    def step(self, pcm: Pcm = QUIET, dtmf: str = "", say: tuple[str, ...] = ()) -> StepOutput:
        """One chunk in, its decision out."""
        return self.house.step((self, self.next_input(pcm, dtmf, say)))[0]

    def say(self, phrase: str, seconds: float = 0.4, after_s: float = 0.0) -> list[StepOutput]:
        """Speak, then be quiet until the agent answers (within 2 s)."""
        pcm = saying(phrase, seconds, after_s)
        outputs = [self.step(chunk) for chunk in pcm.reshape(-1, CHUNK_SAMPLES)]
        for _ in range(5):
            outputs.append(self.step())
            if outputs[-1].decision is DecisionKind.SPEAK:
                break
        return outputs

    def hear_out(self) -> list[StepOutput]:
        """Listen until the open turn was heard to its end, and the engine knows."""
        outputs = []
        while not self.done or self.heard_s < self.generated_s:
            outputs.append(self.step())
        return outputs

    def barge_in(self) -> None:
        """The gateway stops the open turn where the caller is."""
        self.house.engine.interrupt(self.id, self.turn, self.heard_s)
        self.generated_s = self.heard_s
        self.done = True

    def agent_said(self) -> list[str]:
        return [said.text for output in self.outputs for said in output.said if said.voice.value == "agent"]

    def caller_said(self) -> list[str]:
        return [said.text for output in self.outputs for said in output.said if said.voice.value == "caller"]

    def actions(self) -> list[tuple[str, TurnId]]:
        return [(action.name, output.turn) for output in self.outputs for action in output.actions]
