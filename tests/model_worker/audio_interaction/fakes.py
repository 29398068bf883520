"""A call of the model without a model: words for tokens, a tone for a voice, answers from the test."""

from collections.abc import Sequence

import numpy as np

from model_worker.duplex.audio_interaction.model_call import ModelCall
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import Emotion
from model_worker.duplex.audio_interaction.work import Decided, Listen, Write, Written
from model_worker.seams import StepInput, StepOutput, Word
from model_worker.tts.paced_voice import Rendered
from wire.ids import NO_TURN, CallId, TurnId

CALL = CallId("call-1")
PREFIX = (1, 2, 3)
SILENT = (5.0, -5.0)
SPEAK = (-5.0, 5.0)
WORD_S = 0.25


def decode(tokens: Sequence[int]) -> str:
    """Token n is the word " wn"; every fifth ends a sentence."""
    return "".join(f" w{token}" + ("." if token % 5 == 0 else "") for token in tokens)


def render(text: str, emotion: Emotion) -> Rendered:
    """A quarter of a second for a word."""
    samples = int(WORD_S * 16_000)
    words = text.split()
    return Rendered(
        np.full(samples * len(words), int(emotion) - int(Emotion.HAPPY) + 1, np.int16),
        [Word(word, n * samples) for n, word in enumerate(words)],
        exact_words=True,
    )


class Driven:
    """A ``ModelCall`` whose model is the test: ``decisions`` and ``tokens`` are used up in order."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(capacity=512, reply_pace=4, temperature=0, loop_repeats=0)
        self.call = ModelCall(CALL, 0, PREFIX, self.policy, decode, render)
        self.decisions: list[tuple[float, float]] = []
        self.tokens: list[int] = []
        self.fed: list[int] = []
        """The sequence that has keys."""
        self.heard: list[str] = []
        """Vectors in it, in order."""
        self._next = 0

    def hear(self, vectors: str, playback_s: tuple[TurnId, float] = (NO_TURN, 0.0)) -> list[StepOutput]:
        """One chunk and all that follows from it."""
        self.give(vectors, playback_s)
        return self.run()

    def give(self, vectors: str, playback_s: tuple[TurnId, float] = (NO_TURN, 0.0), overlap_s: float = 0.0) -> None:
        pcm = np.zeros(6_400, np.int16)
        self.call.hear(StepInput(CALL, self._next, pcm, playback_s, overlap_s=overlap_s), vectors)
        self._next += 1

    def run(self, most: int = 1_000) -> list[StepOutput]:
        """Work until there is none, or ``most`` times."""
        for _ in range(most):
            if not self.work():
                break
        return self.call.take_outputs()

    def work(self) -> bool:
        length = self.call.context.length
        if dropped := self.call.make_room():
            pinned = self.call.context.pinned
            del self.fed[pinned : pinned + dropped]
            assert len(self.fed) == length - dropped
        work = self.call.next_work()
        if work is None:
            return False
        assert self.call.next_work() == work, "asked twice, it is the same"
        assert work.start <= len(self.fed)
        del self.fed[work.start :]
        if isinstance(work, Write):
            self.fed += work.tokens
            self.call.take(Written(self.tokens.pop(0)))
            return True
        assert isinstance(work, Listen)
        logits = [self.decisions.pop(0) for _ in work.read]
        self.fed += work.tokens
        self.call.take(Decided(logits))
        # What was fed beyond the first decision to speak does not count, and will be decided on again.
        kept = self.call.context.length - work.start
        spoken = sum(1 for at in work.read if at < kept)
        self.decisions = [*logits[spoken:], *self.decisions]
        self.heard += [vectors for at, vectors in work.vectors if at < kept]
        del self.fed[self.call.context.length :]
        return True

    @property
    def sequence(self) -> list[int]:
        """All that was decided: what has keys, and what waits to be fed."""
        return [*self.fed[: self.call.context.length], *self.call.context.pending]
