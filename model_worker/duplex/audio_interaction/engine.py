"""Audio-Interaction (arXiv 2606.05121) behind the engine seam: one model, all calls in one forward.

A step takes what is new and makes one tick: decisions of calls that are in time come first, then a token of every
reply that is being written, then calls that are heard again, as far as a tick has room for them.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from tokenizers import Tokenizer

from model_worker.duplex.audio_interaction.model_call import ModelCall
from model_worker.duplex.audio_interaction.nets import Nets
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.snapshot import pack_call, unpack_call
from model_worker.duplex.audio_interaction.tokens import CHUNK_SAMPLES, LISTEN_TOKENS, SYSTEM_PROMPT, Emotion, prefix
from model_worker.duplex.audio_interaction.words import Words
from model_worker.duplex.audio_interaction.work import Failed, Work, Written
from model_worker.duplex.history import Entry
from model_worker.seams import BadSnapshotError, CallSpec, Capabilities, StepInput, StepOutput
from model_worker.tts.paced_voice import Rendered
from wire.ids import CallId, TurnId
from wire.messages import MAX_STATE_BYTES, OverlapRules

RATE_HZ = 16_000
CHUNK_MS = 400
TOKENS_PER_S = LISTEN_TOKENS * 1_000 / CHUNK_MS
CHUNKS_PER_STEP = 8  # 104 tokens of a call that is behind: a minute of it takes some twenty ticks
LICENCE_NOTE = "weights derive from Qwen2.5-Omni-3B: Qwen Research License, not for commercial use"


class AudioInteractionEngine:
    """An ``Engine``. ``render`` speaks a clause with an emotion, int16 at 16 kHz; it may raise TtsError."""

    def __init__(
        self,
        device: Nets,
        tokenizer: Tokenizer,
        policy: Policy,
        render: Callable[[str, Emotion], Rendered],
        words: Words | None = None,
        name: str = "audio-interaction",
    ) -> None:
        self._name = name
        self._device = device
        self._policy = policy
        self._tokenizer = tokenizer
        self._render = render
        self._words = words
        # Two chunks: the one in which the caller is heard, and the model's time to decide on it.
        self._rules = OverlapRules(model_judges=True, judged_within_s=2 * CHUNK_MS / 1_000) if policy.judges else None
        self._prefix = prefix(tokenizer.encode(SYSTEM_PROMPT, add_special_tokens=False).ids)
        self._calls: dict[CallId, ModelCall] = {}
        self.reply_tokens = 0
        """Written since the start."""
        self._free = list(range(policy.sessions))
        heapify(self._free)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine=self._name,
            chunk_ms=CHUNK_MS,
            first_chunk_ms=CHUNK_MS,
            input_rate_hz=RATE_HZ,
            output_rate_hz=RATE_HZ,
            explicit_decision=True,
            hears_while_speaking=True,
            sessions=self._policy.sessions,
            context_s=(self._policy.capacity - len(self._prefix)) / TOKENS_PER_S,
            languages=("en",),
            licence_note=LICENCE_NOTE,
            chunks_per_step=CHUNKS_PER_STEP,
        )

    @property
    def busy(self) -> bool:
        """A reply is being written, a chunk is not answered yet, or words for a reply came."""
        came = self._words is not None and self._words.answers.ready
        return came or any(call.busy for call in self._calls.values())

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Words of others come when they come."""
        if self._words is not None:
            self._words.answers.on_ready(wake)

    @property
    def context_positions(self) -> tuple[int, int]:
        """Positions of the calls that have keys, and for how many there is room."""
        used = sum(call.context.length for call in self._calls.values())
        return used, self._policy.sessions * self._policy.capacity

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position."""
        return self._device.position_bytes

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        """Begin a call, anew if it is open. Raises UnknownAgentError where words are found by agents.

        What was said before it came here has no place in the model's layout; who finds its words is told of it.
        """
        served = self._begin(call, spec)
        for said in spec.said:
            served.history.add(Entry(said.voice, said.text))
        return self._rules_of(call)

    def snapshot(self, call: CallId) -> bytes | None:
        """The call with its keys while nothing is said; None where that is more than the wire carries."""
        served = self._calls.get(call)
        if served is None or not served.at_rest or self._device.slots is None:
            return None
        return self.freeze(call) if served.context.length * self.position_bytes <= MAX_STATE_BYTES // 2 else None

    def freeze(self, call: CallId) -> bytes:
        """As ``snapshot``, of any size: for a hand-over on one machine. Raises ValueError while it cannot tell."""
        served, slots = self._calls[call], self._device.slots
        if not served.at_rest or slots is None:
            raise ValueError("a reply is written or played, or the keys are elsewhere")
        return pack_call(served.state(), *slots.read(served.slot, served.context.length))

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        """As ``open``, of a call that ``snapshot`` or ``freeze`` took. Raises BadSnapshotError."""
        served = self._begin(call, spec)
        try:
            if (slots := self._device.slots) is None:
                raise ValueError("the keys are elsewhere")
            saved = unpack_call(state)
            served.recall(saved.call)
            slots.write(served.slot, saved.keys, saved.values, saved.mel)
            if saved.keys.shape[2] != served.context.length:
                raise ValueError("keys of another length")
        except Exception as error:
            self.close(call)
            raise BadSnapshotError(f"not a snapshot of this model: {type(error).__name__}") from None
        return self._rules_of(call)

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Take new chunks, make one tick, and tell what came of this and earlier ones."""
        outputs = self._take_words()
        outputs += self._hear(inputs)
        outputs += self._tick()
        outputs += self._pass_on()
        for call in self._calls.values():
            outputs += call.take_outputs()
        return outputs

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn. Unknown calls and old turns are ignored."""
        if (served := self._calls.get(call)) is not None:
            served.interrupt(turn, heard_s)

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """What the model said, as far as it was heard; the caller's words it does not tell."""
        served = self._calls.get(call)
        return [] if served is None else served.history.as_dicts()

    def close(self, call: CallId) -> None:
        """End a call. Unknown calls are ignored."""
        served = self._calls.pop(call, None)
        if served is not None:
            self._device.forget(served.slot)
            heappush(self._free, served.slot)
            if self._words is not None:
                self._words.forget(call)

    def _begin(self, call: CallId, spec: CallSpec) -> ModelCall:
        self.close(call)
        if self._words is not None:
            self._words.begin(call, spec)
        served = ModelCall(call, heappop(self._free), self._prefix, self._policy, self._tokenizer.decode, self._render)
        self._calls[call] = served
        return served

    def _rules_of(self, call: CallId) -> OverlapRules | None:
        """How it is talked over: as the agent file says, where there is one."""
        return self._rules if self._words is None else self._words.rules(call, model_judges=self._policy.judges)

    def _take_words(self) -> list[StepOutput]:
        faults: list[StepOutput] = []
        for piece in [] if self._words is None else self._words.answers.poll():
            if (served := self._calls.get(piece.call)) is not None:
                try:
                    served.take_answer(piece, self._encode)
                except Exception as error:  # the voice's, mostly
                    faults.append(self._fail(piece.call, 0, error))
        return faults

    def _pass_on(self) -> list[StepOutput]:
        """What calls want of whoever finds their words."""
        faults: list[StepOutput] = []
        if (words := self._words) is None:
            return faults
        for served in list(self._calls.values()):
            try:
                for wish in served.take_wishes():
                    if (known := words.wish(served.call, wish, served.history)) is not None:
                        served.take_answer(known, self._encode)
            except Exception as error:
                faults.append(self._fail(served.call, 0, error))
        return faults

    def _encode(self, text: str) -> Sequence[int]:
        tokens: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def _hear(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """New chunks to the audio tower, all calls in one batch; those that are no chunk cost their call."""
        faults: list[StepOutput] = []
        good: list[tuple[ModelCall, StepInput]] = []
        for given in inputs:
            served = self._calls.get(given.call)
            if served is None or len(given.pcm) != CHUNK_SAMPLES:
                wrong = f"expected a chunk of {CHUNK_SAMPLES} samples of an open call, got {len(given.pcm)}"
                faults.append(self._fail(given.call, given.index, ValueError(wrong)))
            else:
                good.append((served, given))
        if good:
            vectors = self._device.encode([(served.slot, given.pcm) for served, given in good])
            for (served, given), heard in zip(good, vectors, strict=True):
                served.hear(given, heard)
        return faults

    def _tick(self) -> list[StepOutput]:
        faults: list[StepOutput] = []
        calls = {}
        for work in self._next_works(faults):
            served = self._calls[work.call]
            try:
                length = served.context.length
                if dropped := served.make_room():
                    self._device.evict(served.slot, served.context.pinned, dropped, length)
                calls[served] = served.next_work() or work
            except Exception as error:
                faults.append(self._fail(served.call, 0, error))
        for served, outcome in zip(calls, self._device.run(list(calls.values())), strict=True):
            try:
                if isinstance(outcome, Failed):
                    raise outcome.error
                served.take(outcome)
                self.reply_tokens += isinstance(outcome, Written)
            except Exception as error:  # the voice's too: the fault of one call is that call's
                faults.append(self._fail(served.call, 0, error))
        return faults

    def _next_works(self, faults: list[StepOutput]) -> list[Work]:
        """Decisions, text, then what is heard again, up to the tokens of a tick; the first always."""
        works: list[Work] = []
        for served in list(self._calls.values()):
            try:
                if (work := served.next_work()) is not None:
                    works.append(work)
            except Exception as error:  # the voice's, of a chunk that waits in a reply
                faults.append(self._fail(served.call, 0, error))
        works.sort(key=lambda work: len(work.tokens) > 2 * LISTEN_TOKENS)
        chosen: list[Work] = []
        left = self._policy.tick_tokens
        for work in works:
            if chosen and len(work.tokens) > left:
                continue
            chosen.append(work)
            left -= len(work.tokens)
        return chosen

    def _fail(self, call: CallId, index: int, error: Exception) -> StepOutput:
        self.close(call)
        return StepOutput(call, index, None, fault=error)
